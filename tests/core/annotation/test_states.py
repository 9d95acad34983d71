from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedseg_napari.core.annotation.states import (
    BACKGROUND,
    COLOR_CYCLE,
    count_states,
    free_labels,
    next_free_label,
    object_ids,
    region_mask,
    to_example,
)
from embedseg_napari.core.errors import DataError

SHAPES = st.sampled_from([(5, 6), (3, 4, 5)])
LABELS = SHAPES.flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 7, BACKGROUND, 70000]))
)


@given(labels=LABELS, data=st.data())
def test_example_knows_exactly_what_is_annotated(labels, data):
    regions = data.draw(st.none() | arrays(bool, labels.shape))
    example = to_example("a", np.zeros(labels.shape, np.uint8), labels, regions)
    known = np.zeros(labels.shape, bool) if example.ignore is None else ~example.ignore
    if example.ignore is None:
        known[:] = True
    inside = np.zeros(labels.shape, bool) if regions is None else regions
    np.testing.assert_array_equal(known, (labels != 0) | inside)
    is_object = (labels != 0) & (labels != BACKGROUND)
    np.testing.assert_array_equal(example.instances[is_object], labels[is_object])
    assert not example.instances[~is_object].any()
    assert example.image.shape == (1, *labels.shape)
    counts = count_states(labels, regions)
    assert counts.n_objects == len(np.unique(labels[is_object]))
    assert counts.object_pixels == is_object.sum()
    assert counts.unlabelled_pixels == (~known).sum()
    assert counts.labelled_pixels + counts.unlabelled_pixels == labels.size


def test_fully_annotated_example_ignores_nothing():
    labels = np.array([[0, 3], [BACKGROUND, 0]], np.int32)
    assert to_example("a", np.zeros((2, 2)), labels, np.ones((2, 2), bool)).ignore is None


def test_example_keeps_no_hold_on_what_is_painted():
    labels = np.array([[0, 3]], np.int32)
    example = to_example("a", np.zeros((1, 2)), labels, spacing=[2, 3], unit="um")
    labels[:] = 5
    assert example.instances.tolist() == [[0, 3]]
    assert example.spacing == (2.0, 3.0)
    assert example.unit == "um"


def test_image_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"cells.*\(1, 3, 2\).*\(2, 2\)"):
        to_example("cells", np.zeros((3, 2)), np.zeros((2, 2), np.int32))
    with pytest.raises(DataError, match="regions"):
        count_states(np.zeros((2, 2), np.int32), np.zeros((3, 2), bool))


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
