"""Objects cut off by unknown voxels, and how far they are taken to go on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.data.statistics import measure, suggested_crop_size
from embedseg_napari.core.data.unknown import all_open, object_extents, open_objects, with_middle_planes


def volume(*boxes, known=None, depth=20):
    """Boxes (z0, z1) of 8 x 8 voxels side by side; all planes but `known` are ignored."""
    labels = np.zeros((depth, 12, 10 * len(boxes) + 2), np.int32)
    for index, (start, stop) in enumerate(boxes):
        labels[start:stop, 2:10, 10 * index + 1 : 10 * index + 9] = 2 * index + 1
    ignore = np.zeros(labels.shape, bool)
    if known is not None:
        ignore[[z for z in range(depth) if z not in known]] = True
    return np.where(ignore, 0, labels), ignore


def ids_open(instances, ignore, planes=False):
    return [ids.tolist() for ids in open_objects(instances, ignore, planes=planes)]


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
    assert ids_open(instances, ignore, planes=planes)[0] == expected
    assert ids_open(instances, None, planes=planes) == [[], [], []]


def test_a_few_unknown_voxels_above_do_not_open_an_object():
    labels, ignore = volume((4, 9))
    ignore[9, 2:5, 1:9] = True
    assert ids_open(labels, ignore)[0] == []
    ignore[9, 2:7, 1:9] = True
    assert ids_open(labels, ignore)[0] == [1]


def test_open_objects_are_as_deep_as_wide():
    labels, _ = volume((4, 6), (4, 6), known={4, 5, 6})
    table = measure_objects(labels)
    none = np.zeros(0, int)
    both = np.array([1, 3]), none, none
    assert object_extents(table, (np.array([3]), none, none), None, labels.shape).tolist() == [[2, 8, 8], [8, 8, 8]]
    assert object_extents(table, both, (2.0, 0.5, 0.5), labels.shape)[:, 0].tolist() == [2, 2]
    assert object_extents(table, both, (1.0, 0.5, 0.5), labels.shape)[:, 0].tolist() == [4, 4]
    assert object_extents(table, both, (0.5, 0.5, 0.5), (5, 12, 22))[:, 0].tolist() == [5, 5]


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


@pytest.mark.parametrize("planes", [False, True])
def test_the_centre_of_an_open_object_lies_between_its_planes(planes):
    labels, ignore = volume((4, 16), (4, 16), known={4, 15})
    instances = np.stack([labels == 1, labels == 3]) if planes else labels
    table = measure_objects(instances, planes=planes)
    moved = with_middle_planes(table, instances, open_objects(instances, ignore, planes=planes))
    assert table.centers[:, 0].tolist() == [4, 4]
    assert moved.centers[:, 0].tolist() == [9.5, 9.5]
    assert_array_equal(moved.centers[:, 1:], table.centers[:, 1:])


def balls(axis, at, *, is_rim_known):
    """Balls 9 voxels wide of which planes across an axis are painted; all else is unknown, or all beside these planes.

    The last one touches the border.
    """
    labels = np.zeros((30, 30, 60), np.int32)
    grid = np.indices(labels.shape)
    middles = np.array([(14, 14, 10), (14, 14, 30), (14, 14, 55)])
    for number, middle in enumerate(middles, 1):
        labels[sum((grid - middle[:, None, None, None]) ** 2) <= 4.5**2] = 2 * number
    seen = np.zeros(labels.shape, bool)
    for number, planes in enumerate(at, 1):
        index = [slice(None)] * 3
        index[axis] = middles[number - 1][axis] + np.array(planes)
        mine = np.zeros_like(seen)
        mine[tuple(index)] = True
        seen |= mine & (is_rim_known | (labels == 2 * number))
    return np.where(seen, labels, 0), ~seen


@pytest.mark.parametrize("is_rim_known", [True, False])
@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_objects_on_single_planes_are_as_long_across_them_as_wide(axis, planes, is_rim_known):
    labels, ignore = balls(axis, [(-2, 2), (0,), (0,)], is_rim_known=is_rim_known)
    instances, expected = labels, [2, 4, 6]
    if planes:
        instances, expected = np.stack([labels == number for number in expected]), [1, 2, 3]
    found = open_objects(instances, ignore, planes=planes)
    assert found[axis].tolist() == expected
    assert all_open(found).tolist() == expected
    assert all(len(found[other]) == 0 for other in {1, 2} - {axis})
    table = measure_objects(instances, planes=planes)
    extents = object_extents(table, found, None, labels.shape)
    assert extents[:, axis].min() > 7
    moved = with_middle_planes(table, instances, found)
    assert moved.centers[:, axis].tolist() == [[14, 14, 14], [14, 14, 14], [10, 30, 55]][axis]


def test_voxels_of_another_depth_are_counted_across_the_planes():
    labels, ignore = balls(1, [(0,), (0,), (0,)], is_rim_known=True)
    table = measure_objects(labels)
    extents = object_extents(table, open_objects(labels, ignore), (4.0, 1.0, 1.0), labels.shape)
    assert extents[0].tolist() == [9, 18, 9]
    flat = object_extents(table, open_objects(labels, ignore), (4.0, 1.0, 1.0), (30, 16, 60))
    assert flat[0].tolist() == [9, 16, 9]


def test_what_is_painted_on_planes_along_z_or_in_lines_is_as_wide_as_it_seems():
    labels = np.zeros((20, 20, 60), np.int32)
    labels[5:8, 4:12, 4:12] = 1
    # One voxel thick on a plane, and on three of them.
    labels[10, 4, 20:50] = 2
    labels[12:15, 5:15, 55] = labels[12:15, 14, 50:56] = 3
    assert ids_open(labels, labels == 0) == [[1, 2, 3], [], []]
    across = labels.copy()
    across[6, 4:12, 4:12] = across[2:12, 8, 4:12] = 1
    assert ids_open(across, across == 0)[1:] == [[], []]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_images_are_not_resized_for_objects_on_single_planes(axis):
    labels, ignore = balls(axis, [(0,), (0,), (0,)], is_rim_known=False)
    found = measure(from_arrays([(np.zeros(labels.shape), labels, ignore)]))
    assert found.n_open == 3
    assert min(found.sizes.mean) > 7
