"""Scores where the truth is known in part."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.matching import match


def boxes(shape, *places):
    labels = np.zeros(shape, np.int32)
    for number, place in enumerate(places, 1):
        labels[place] = number
    return labels


LEFT, RIGHT, EDGE = np.s_[2:10, 2:10], np.s_[2:10, 30:38], np.s_[20:30, 17:27]


def counts(truth, labels, ignore):
    (row,) = match(truth, labels, [0.5], ignore)
    return row.tp, row.fp, row.fn


def half():
    ignore = np.zeros((40, 40), bool)
    ignore[:, 20:] = True
    return ignore


def test_unknown_objects_are_neither_missed_nor_invented():
    both = boxes((40, 40), LEFT, RIGHT)
    assert counts(both, boxes((40, 40), LEFT), half()) == (1, 0, 0)
    assert counts(boxes((40, 40), LEFT), both, half()) == (1, 0, 0)


def test_what_reaches_over_from_the_unknown_is_no_mistake_but_what_lies_mostly_on_background_is():
    truth = boxes((40, 40), LEFT)
    assert counts(truth, boxes((40, 40), LEFT, EDGE), half()) == (1, 0, 0)
    assert counts(truth, boxes((40, 40), LEFT, np.s_[20:30, 13:23]), half()) == (1, 1, 0)


def test_a_partly_known_object_is_found_by_its_known_part():
    # Three of its ten columns are known; the prediction is right there, whatever it does beyond.
    truth = boxes((40, 40), EDGE)
    assert counts(truth, boxes((40, 40), np.s_[20:30, 17:39]), half()) == (1, 0, 0)
    # Mostly beside it and mostly unknown: not found, but no mistake either.
    assert counts(truth, boxes((40, 40), np.s_[20:30, 10:39]), half()) == (0, 0, 1)


@pytest.mark.parametrize("planes", [False, True])
def test_planes_of_a_volume_can_be_compared(planes):
    truth = boxes((20, 40, 40), np.s_[4:14, 2:10, 2:10])
    ignore = np.ones(truth.shape, bool)
    ignore[8] = False
    ghost = boxes(truth.shape, np.s_[5:12, 3:11, 2:10], np.s_[5:12, 20:28, 20:28])
    assert counts(truth[None] > 0 if planes else truth, ghost, ignore) == (1, 1, 0)


def test_nothing_ignored_changes_nothing():
    truth, labels = boxes((40, 40), LEFT, RIGHT), boxes((40, 40), LEFT, EDGE)
    assert match(truth, labels, ignore=np.zeros(truth.shape, bool)) == match(truth, labels)


def test_a_mask_of_another_image_is_refused():
    with pytest.raises(DataError, match="same image"):
        match(np.ones((4, 4), int), np.ones((4, 4), int), ignore=np.ones((4, 5), bool))
