"""Sparse labels: unknown pixels of masks, objects cut off by them, and how deep those are taken to be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.data.sparse import (
    describe_sparse,
    known_background,
    known_instances,
    object_extents,
    open_in_z,
    split_ignore_label,
    with_middle_planes,
)
from embedseg_napari.core.data.statistics import measure, suggested_crop_size


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


def volume(*boxes, known=None, depth=20):
    """Boxes (z0, z1) of 8 x 8 voxels side by side; all planes but `known` are ignored."""
    labels = np.zeros((depth, 12, 10 * len(boxes) + 2), np.int32)
    for index, (start, stop) in enumerate(boxes):
        labels[start:stop, 2:10, 10 * index + 1 : 10 * index + 9] = 2 * index + 1
    ignore = np.zeros(labels.shape, bool)
    if known is not None:
        ignore[[z for z in range(depth) if z not in known]] = True
    return np.where(ignore, 0, labels), ignore


@pytest.mark.parametrize(
    ("boxes", "known", "expected"),
    [
        ([(4, 9)], None, []),
        ([(4, 9)], {6}, [1]),
        ([(4, 9), (10, 15)], set(range(3, 12)), [3]),
        ([(4, 9), (10, 15)], {5, 8, 12}, [1, 3]),
        # At the border of the volume there is nothing more to know.
        ([(0, 3)], set(range(5)), []),
        ([(0, 3)], {0}, [1]),
    ],
)
@pytest.mark.parametrize("planes", [False, True])
def test_objects_cut_off_by_unknown_voxels(boxes, known, expected, planes):
    labels, ignore = volume(*boxes, known=known)
    instances = np.stack([labels == 1, labels == 2, labels == 3]) if planes else labels
    assert open_in_z(instances, ignore, planes=planes).tolist() == expected
    assert open_in_z(instances, None, planes=planes).tolist() == []


def test_a_few_unknown_voxels_above_do_not_open_an_object():
    labels, ignore = volume((4, 9))
    ignore[9, 2:5, 1:9] = True
    assert open_in_z(labels, ignore).tolist() == []
    ignore[9, 2:7, 1:9] = True
    assert open_in_z(labels, ignore).tolist() == [1]


def test_open_objects_are_as_deep_as_wide():
    labels, _ = volume((4, 6), (4, 6), known={4, 5, 6})
    table = measure_objects(labels)
    both = np.array([1, 3])
    assert object_extents(table, np.array([3]), None, 20).tolist() == [[2, 8, 8], [8, 8, 8]]
    assert object_extents(table, both, (2.0, 0.5, 0.5), 20)[:, 0].tolist() == [2, 2]
    assert object_extents(table, both, (1.0, 0.5, 0.5), 20)[:, 0].tolist() == [4, 4]
    assert object_extents(table, both, (0.5, 0.5, 0.5), 5)[:, 0].tolist() == [5, 5]


def test_statistics_of_labels_on_single_planes_follow_the_voxels():
    labels, ignore = volume((0, 20), (0, 20), known={10})
    found = measure(from_arrays([(np.zeros(labels.shape), labels, ignore)], spacing=(2.0, 1.0, 1.0)))
    assert found.n_open == 2
    assert found.sizes.mean == (4.0, 8.0, 8.0)
    assert suggested_crop_size(found.sizes, [labels.shape]) == (8, 8, 8)
    cubes = measure(from_arrays([(np.zeros(labels.shape), labels, ignore)]))
    assert cubes.sizes.mean == (8.0, 8.0, 8.0)
    assert cubes.background_over_foreground == pytest.approx((12 * 22 - 128) / 128)
    dense = measure(from_arrays([(np.zeros(labels.shape), labels)]))
    assert (dense.n_open, dense.sizes.mean[0]) == (0, 1.0)


def test_without_known_background_nothing_is_weighed_by_it():
    labels, _ = volume((4, 9))
    found = measure(from_arrays([(np.zeros(labels.shape), labels)], ignore_label=0))
    assert (found.background_over_foreground, found.foreground_fraction) == (1.0, 1.0)


@pytest.mark.parametrize("planes", [False, True])
def test_the_centre_of_an_open_object_lies_between_its_planes(planes):
    labels, ignore = volume((4, 16), (4, 16), known={4, 15})
    instances = np.stack([labels == 1, labels == 3]) if planes else labels
    table = measure_objects(instances, planes=planes)
    moved = with_middle_planes(table, instances, open_in_z(instances, ignore, planes=planes))
    assert table.centers[:, 0].tolist() == [4, 4]
    assert moved.centers[:, 0].tolist() == [9.5, 9.5]
    assert_array_equal(moved.centers[:, 1:], table.centers[:, 1:])


def test_how_much_is_labelled_is_said_in_words():
    labels, ignore = volume((4, 9), (4, 9), known={6})
    dense, sparse = from_arrays([(labels, labels), (labels, labels, ignore)])
    assert describe_sparse([dense]) is None
    assert describe_sparse([sparse]).startswith("2 objects and 5 % of the pixels are labelled")
    ignore = np.ones(labels.shape, bool)
    ignore[6, 2:4, 1:3] = False
    assert "1 object and 0.1 % of" in describe_sparse(from_arrays([(labels, labels, ignore)]))
