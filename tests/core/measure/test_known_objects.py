"""Scores and margins stay with the objects that are as they were found."""

from __future__ import annotations

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.added_region import Placed
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.measure.known_objects import with_known


def found(ndim: int, *scores: float, margin: float | None = None) -> Segmentation:
    """Boxes in a row."""
    labels = np.zeros((6,) * (ndim - 1) + (5 * len(scores) + 1,), np.int32)
    for i in range(len(scores)):
        labels[(slice(1, 5),) * (ndim - 1) + (slice(5 * i + 1, 5 * i + 5),)] = i + 1
    maps = None
    if margin is not None:
        maps = EmbeddingMaps(*np.zeros((2, ndim, *labels.shape), np.float32), np.zeros(labels.shape, np.float32))
        maps.margins[:] = margin
    centers = np.zeros((len(scores), ndim), np.float32)
    return Segmentation(labels, centers, np.array(scores), PredictionConfig(), kept_maps=maps)


@pytest.mark.parametrize("ndim", [2, 3])
def test_only_what_was_changed_has_none(ndim: int) -> None:
    one = found(ndim, 0.6, 0.7, 0.8, 0.9, margin=3)
    now = one.labels.copy()
    # As many pixels as before, at another place.
    now[now == 2] = 0
    now[(0,) * (ndim - 1) + (slice(6, 10),)] = 2
    # Split, and called otherwise.
    now[..., 12][now[..., 12] == 3] = 30
    now[now == 4] = 17
    table = with_known(es.measure(now), now, [Placed(one, (0,) * ndim)])
    assert table["label"].tolist() == [1, 2, 3, 17, 30]
    np.testing.assert_array_equal(table["score"], [0.6, np.nan, np.nan, 0.9, np.nan])
    np.testing.assert_array_equal(table["margin_px"], [3, np.nan, np.nan, 3, np.nan])


def test_a_part_lies_where_it_was_found_and_the_last_that_knows_an_object_counts() -> None:
    before, part = found(2, 0.5, 0.6, margin=2), found(2, 0.9, margin=4)
    labels = np.zeros((6, 20), np.int32)
    labels[:, :11] = before.labels
    labels[:, 10:16] = np.where(part.labels, 7, 0)
    whole = Segmentation(np.where(labels == 7, 3, labels), np.zeros((3, 2)), np.array([0.5, 0.7, 0.9]), before.settings)
    parts = [Placed(before, (0, 0)), Placed(part, (0, 10)), Placed(whole, (0, 0))]
    table = with_known(es.measure(labels), labels, parts)
    assert table["score"].tolist() == [0.5, 0.7, 0.9]
    assert table["margin_px"].tolist() == [2, 2, 4]


def test_frames_are_looked_at_one_by_one() -> None:
    film = Segmentation.stack([found(2, 0.6, 0.7), found(2, 0.8, 0.9)])
    now = film.labels.copy()
    # The number of the first object of all goes on in the second frame, where another one vanishes.
    now[1, 1:5, 1:5] = 1
    now[1, 1, 9] = 0
    table = with_known(es.measure(now, axes="TYX"), now, [Placed(film, (0, 0, 0))])
    assert list(zip(table["frame"].tolist(), table["label"].tolist(), strict=True)) == [(0, 1), (0, 2), (1, 1), (1, 4)]
    np.testing.assert_array_equal(table["score"], [0.6, 0.7, 0.8, np.nan])
    assert "margin_px" not in table


def test_labels_of_other_size_and_none_know_nothing() -> None:
    one = found(2, 0.6)
    for now in (one.labels[:, :4], np.stack([one.labels] * 2), np.zeros_like(one.labels)):
        table = es.measure(now)
        assert list(with_known(table, now, [Placed(one, (0, 0))])) == list(table)
