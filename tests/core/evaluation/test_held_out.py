"""Scores of single held-out objects."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.held_out import HeldOutScore, held_out_score


def truth(ignore=None, planes=False):
    labels = np.zeros((30, 60), np.int32)
    for index in range(3):
        labels[5:15, 20 * index : 20 * index + 10] = index + 4
    instances = np.stack([labels == i for i in (4, 5, 6)]) if planes else labels
    return Example("a", np.zeros((1, 30, 60)), instances, ignore)


@pytest.mark.parametrize("planes", [False, True])
def test_predictions_elsewhere_do_not_count(planes):
    example = truth(planes=planes)
    ids = [1, 2] if planes else [4, 5]
    labels = np.zeros((30, 60), np.int32)
    labels[5:15, 0:10] = 7  # exact
    labels[5:11, 20:30] = 2  # six tenths
    labels[20:28, :] = 3  # invented
    assert held_out_score(labels, example, ids) == HeldOutScore(2, 1.0, pytest.approx(0.8))
    assert held_out_score(labels, example, ids, iou=0.7).found == 0.5
    assert held_out_score(np.zeros_like(labels), example, ids) == HeldOutScore(2, 0.0, 0.0)
    assert held_out_score(labels, example, []) == HeldOutScore(0, 0.0, 0.0)


def test_spilling_into_the_unknown_counts_against_it():
    ignore = truth().instances == 0
    labels = np.ones((30, 60), np.int32)
    score = held_out_score(labels, truth(ignore), [4])
    assert score.found == 0
    assert score.mean_iou == pytest.approx(100 / 1800)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_object_on_one_plane_is_compared_on_that_plane(axis):
    labels = np.zeros((9, 12, 12), np.int32)
    labels[4, 2:8, 2:8] = 1
    ignore = np.ones(labels.shape, bool)
    ignore[4] = False
    deep = np.zeros_like(labels)
    deep[2:7, 2:8, 2:8] = 5
    labels, ignore, deep = (np.moveaxis(one, 0, axis) for one in (labels, ignore, deep))
    sparse = Example("a", np.zeros((1, *labels.shape)), labels, ignore)
    assert held_out_score(deep, sparse, [1]).mean_iou == 1
    dense = Example("a", sparse.image, labels)
    assert held_out_score(deep, dense, [1]).mean_iou == pytest.approx(0.2)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(DataError, match="same image"):
        held_out_score(np.zeros((30, 61), int), truth(), [4])
    with pytest.raises(DataError, match="no object 9"):
        held_out_score(np.zeros((30, 60), int), truth(), [9])
