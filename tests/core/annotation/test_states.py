from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedseg_napari.core.annotation.states import (
    BACKGROUND,
    COLOR_CYCLE,
    free_labels,
    next_free_label,
    object_ids,
    region_mask,
)
from embedseg_napari.core.errors import DataError

SHAPES = st.sampled_from([(5, 6), (3, 4, 5)])
LABELS = SHAPES.flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 7, BACKGROUND, 70000]))
)


@given(LABELS)
def test_free_label_is_new_and_never_the_colour_of_background(labels):
    label = next_free_label(labels)
    assert label > max(object_ids(labels), default=0)
    assert label % COLOR_CYCLE != BACKGROUND % COLOR_CYCLE


def test_free_labels_skip_the_colour_of_background():
    grey = BACKGROUND % COLOR_CYCLE
    assert next_free_label(np.zeros((2, 2), np.int32)) == 1
    assert free_labels(np.full((2, 2), grey - 2), 3) == [grey - 1, grey + 1, grey + 2]
    assert next_free_label(np.array([[65534, BACKGROUND]])) == 65536


def test_object_ids_of_huge_numbers():
    assert object_ids(np.array([[2**31 - 1, 0, BACKGROUND, 4]], np.int32)).tolist() == [4, 2**31 - 1]


def test_region_in_2d_reaches_over_the_border():
    mask = region_mask((10, 12), [[(-5, -5), (-5, 3.4), (4.6, 3.4), (4.6, -5)], np.array([[8, 8], [8, 20], [20, 20]])])
    assert mask[:5, :4].all()
    assert mask.sum() == 20 + mask[8:, 8:].sum()
    assert mask[9, 11]


@pytest.mark.parametrize("plane", [None, 1])
def test_region_in_3d_fills_one_plane_or_all(plane):
    square = [(9, 1, 1), (9, 1, 4), (9, 3, 4), (9, 3, 1)]
    mask = region_mask((3, 5, 6), [square], plane)
    expected = np.zeros((3, 5, 6), bool)
    expected[slice(None) if plane is None else plane, 1:4, 1:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_regions_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="plane 3"):
        region_mask((3, 5, 6), [], 3)
    with pytest.raises(DataError, match="three corners"):
        region_mask((5, 6), [[(0, 0), (1, 1)]])


def winding_number(point, corners):
    """Independent check of inside and outside: the angle under which a point sees the border."""
    away = corners - point
    angles = np.arctan2(away[:, 0], away[:, 1])
    steps = np.diff(np.append(angles, angles[0]))
    return round(float(np.sum((steps + np.pi) % (2 * np.pi) - np.pi) / (2 * np.pi)))


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 30)), min_size=3, max_size=12))
def test_region_holds_the_pixels_that_the_polygon_surrounds(corners):
    # Irrational steps keep corners and edges off the centres of pixels.
    corners = np.array(corners) * 0.987654321 + np.sqrt(2) / 100
    mask = region_mask((20, 24), [corners])
    for y in range(0, 20, 3):
        for x in range(0, 24, 3):
            edges = np.roll(corners, -1, 0) - corners
            away = np.array([y, x]) - corners
            length = np.maximum((edges**2).sum(1), 1e-12)
            share = np.clip((away * edges).sum(1) / length, 0, 1)
            if np.sqrt(((away - share[:, None] * edges) ** 2).sum(1)).min() > 1e-6:
                assert mask[y, x] == bool(winding_number(np.array([y, x]), corners) % 2)
