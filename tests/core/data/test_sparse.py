"""Sparse labels: unknown pixels of masks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.data.sparse import (
    describe_sparse,
    known_background,
    known_instances,
    split_ignore_label,
)
from embedseg_napari.core.data.statistics import measure


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_the_value_of_unknown_pixels_is_taken_out(dtype):
    mask = np.array([[0, 1, 9], [2, 9, 9]], dtype)
    labels, ignore = split_ignore_label(mask, 9)
    assert labels.dtype == dtype
    assert_array_equal(labels, [[0, 1, 0], [2, 0, 0]])
    assert_array_equal(ignore, [[0, 0, 1], [0, 1, 1]])
    labels, ignore = split_ignore_label(mask, 0)
    assert_array_equal(labels, mask)
    assert_array_equal(ignore, [[1, 0, 0], [0, 0, 0]])
    assert split_ignore_label(mask, 5)[1] is None
    assert split_ignore_label(mask, None)[1] is None


def test_unknown_may_be_a_negative_number():
    (example,) = from_arrays([(np.zeros((2, 3)), np.array([[0, -1, 3], [3, -1, 0]]))], ignore_label=-1)
    assert_array_equal(example.instances, [[0, 0, 3], [3, 0, 0]])
    assert_array_equal(example.ignore, [[0, 1, 0], [0, 1, 0]])


def test_planes_hold_unknown_pixels_in_a_plane_of_their_own_or_outside_of_all():
    planes = np.zeros((3, 4, 5), np.uint8)
    planes[0, :2], planes[1, :, :2], planes[2, 3] = 1, 1, 7
    (marked,) = from_arrays([(np.zeros((4, 5)), planes)], ignore_label=7)
    assert_array_equal(marked.ignore, planes[2] == 7)
    assert not marked.instances[2].any()
    (outside,) = from_arrays([(np.zeros((4, 5)), planes)], ignore_label=0)
    assert_array_equal(outside.ignore, ~planes.any(0))


def test_unknown_by_value_and_by_mask_are_united_also_in_finished_examples():
    labels = np.array([[0, 1, 9, 2]])
    ignore = np.array([[True, False, False, False]])
    (example,) = from_arrays([(np.zeros((1, 4)), labels, ignore)], ignore_label=9)
    assert_array_equal(example.ignore, [[1, 0, 1, 0]])
    raw = Example("a", np.zeros((1, 1, 4)), labels.astype(np.int32), ignore)
    (again,) = from_arrays([raw], ignore_label=9)
    assert_array_equal(again.ignore, example.ignore)
    assert_array_equal(known_instances(again), [[0, 1, 0, 2]])
    (twice,) = from_arrays([again], ignore_label=9)
    assert twice is again


@pytest.mark.parametrize("planes", [False, True])
def test_every_pixel_is_object_background_or_unknown(planes):
    labels = np.array([[0, 1, 1, 0], [0, 2, 2, 0]], np.int32)
    instances = np.stack([labels == 1, labels == 2]) if planes else labels
    ignore = np.array([[True, True, False, False]] * 2)
    example = Example("a", np.zeros((1, 2, 4)), instances, ignore)
    known = known_instances(example)
    inside = known.any(0) if planes else known != 0
    assert_array_equal(inside + 2 * known_background(example, known) + 4 * ignore, [[4, 4, 1, 2], [4, 4, 1, 2]])


def test_without_known_background_nothing_is_weighed_by_it():
    labels = np.zeros((20, 12, 12), np.int32)
    labels[4:9, 2:10, 1:9] = 1
    found = measure(from_arrays([(np.zeros(labels.shape), labels)], ignore_label=0))
    assert (found.background_over_foreground, found.foreground_fraction) == (1.0, 1.0)


def test_how_much_is_labelled_is_said_in_words():
    labels = np.zeros((20, 12, 22), np.int32)
    labels[6, 2:10, 1:9], labels[6, 2:10, 11:19] = 1, 3
    ignore = np.ones(labels.shape, bool)
    ignore[6] = False
    dense, sparse = from_arrays([(labels, labels), (labels, labels, ignore)])
    assert describe_sparse([dense]) is None
    assert describe_sparse([sparse]).startswith("2 objects and 5 % of the pixels are labelled")
    ignore = np.ones(labels.shape, bool)
    ignore[6, 2:4, 1:3] = False
    assert "1 object and 0.1 % of" in describe_sparse(from_arrays([(labels, labels, ignore)]))
