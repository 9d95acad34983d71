"""Slices through the object that a person looks at."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.review.slices import object_slices, pixels_near

WHOLE = (slice(None),) * 3


@pytest.fixture
def volume():
    """Each pixel says where it is: 10,000 z + 100 y + x."""
    z, y, x = np.indices((12, 30, 40))
    return 10_000 * z + 100 * y + x


@pytest.fixture
def labels(volume):
    """A box of 3 x 9 x 5 pixels whose middle is (5, 14, 22)."""
    labels = np.zeros(volume.shape, np.int32)
    labels[4:7, 10:19, 20:25] = 7
    return labels


def test_the_planes_meet_in_the_middle_of_the_object(volume, labels):
    xy, xz, yz = object_slices(volume, "ZYX", np.nonzero(labels), (1, 1, 1))
    assert [one.axes for one in (xy, xz, yz)] == ["YX", "ZX", "YZ"]
    # A third of nine pixels around it.
    assert np.array_equal(xy.pixels, volume[5, 7:22, 17:28])
    assert np.array_equal(xz.pixels, volume[1:10, 14, 17:28])
    assert np.array_equal(yz.pixels, volume[1:10, 7:22, 22].T)
    assert np.array_equal(xy.inside, labels[5, 7:22, 17:28] == 7)
    assert np.array_equal(yz.inside, labels[1:10, 7:22, 22].T == 7)


def test_planes_are_as_thick_as_the_voxels_say(volume, labels):
    xy, xz, yz = object_slices(volume, "ZYX", np.nonzero(labels), (2.5, 0.5, 0.5))
    # The largest side is 7.5: 2.25 around it are a plane along z and five pixels along y and x.
    assert xy.inside.shape == (19, 15)
    assert xz.inside.shape == (7, 15)
    assert (xy.sides, xz.sides, yz.sides) == ((9.5, 7.5), (17.5, 7.5), (9.5, 17.5))


def test_the_border_of_the_volume_cuts_what_is_around(volume):
    xy, xz, _ = object_slices(volume, "ZYX", ([0], [0], [39]), (1, 1, 1))
    assert np.array_equal(xy.pixels, volume[0, :3, 37:])
    assert xz.start == (0, 0, 37)


def test_other_orders_of_axes_and_channels_are_read(volume, labels):
    image = np.stack([volume, volume + 2]).transpose(3, 0, 1, 2)
    for one, plain in zip(
        object_slices(image, "XCZY", np.nonzero(labels), (1, 1, 1)),
        object_slices(volume, "ZYX", np.nonzero(labels), (1, 1, 1)),
        strict=True,
    ):
        assert np.array_equal(one.pixels, plain.pixels + 1)
        assert np.array_equal(one.inside, plain.inside)


def test_each_plane_meets_an_object_whose_middle_is_empty(volume):
    ring = np.zeros(volume.shape, bool)
    ring[3:9, 5:20, 5:20], ring[3:9, 8:17, 8:17] = True, False
    assert all(one.inside.any() for one in object_slices(volume, "ZYX", np.nonzero(ring), (1, 1, 1)))


def test_a_place_of_a_slice_is_a_pixel_of_the_volume(volume, labels):
    slices = object_slices(volume, "ZYX", np.nonzero(labels), (1, 1, 1))
    assert [one.pixel_at(0, 0) for one in slices] == [(5, 7, 17), (1, 14, 17), (1, 7, 22)]
    assert [one.pixel_at(1, 1) for one in slices] == [(5, 21, 27), (9, 14, 27), (9, 21, 22)]
    assert slices[1].pixel_at(0.5, 0.5) == (5, 14, 22)


def test_an_object_is_found_from_where_it_was(labels):
    """Larger than the box by now, and in pieces as long as these are close."""
    labels[8, 10:19, 20:25] = 7
    found = pixels_near(labels, 7, (slice(5, 6), slice(14, 15), slice(20, 50)))
    assert np.array_equal(found, np.nonzero(labels == 7))


@pytest.mark.parametrize("box", [(slice(5, 6), slice(0, 10), slice(None)), (slice(40, 41), *WHOLE[1:])])
def test_an_object_that_is_not_in_the_box_is_not_found(labels, box):
    assert [len(axis) for axis in pixels_near(labels, 7, box)] == [0, 0, 0]
