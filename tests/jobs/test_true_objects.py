"""True objects of a previewed part, the pixels sampled in them, and what the maps say there."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.medoid import medoid
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.jobs.true_objects import (
    MOST_OBJECTS,
    N_PIXELS,
    around,
    mean_margins,
    sample,
    steps,
    true_objects,
)


def whole(labels):
    return tuple(slice(0, side) for side in labels.shape)


def maps_of(shape, offset=0.0, margin=4.0) -> EmbeddingMaps:
    n = len(shape)
    offsets = np.full((n, *shape), offset, np.float32)
    margins = np.full((n, *shape), margin, np.float32)
    return EmbeddingMaps(offsets, margins, np.zeros(shape, np.float32))


@pytest.mark.parametrize("ndim", [2, 3])
def test_each_object_has_its_medoid_and_a_few_of_its_own_pixels(blobs, ndim):
    _, labels = blobs(ndim)
    spacing = (3.0, 1.0, 1.0)[-ndim:]
    objects = true_objects(labels, whole(labels), spacing=spacing)
    np.testing.assert_array_equal(objects.ids, np.unique(labels)[1:])
    np.testing.assert_array_equal(objects.labels, labels)
    for row, identity in enumerate(objects.ids):
        assert tuple(objects.centers[row]) == medoid(labels == identity, spacing)
        pixels = objects.pixels[objects.owners == row]
        assert len(np.unique(pixels, axis=0)) == N_PIXELS
        assert (labels[tuple(pixels.T)] == identity).all()
        if ndim == 3:
            # Most lie in the slice that shows the centre, some beyond it.
            assert np.count_nonzero(pixels[:, 0] == objects.centers[row, 0]) == N_PIXELS - 2


def test_the_same_pixels_are_sampled_whichever_part_is_in_view(blobs):
    _, labels = blobs(2)
    all_of_them = true_objects(labels, whole(labels))
    part = (slice(8, 56), slice(4, 50))
    cut = true_objects(labels, part)
    assert len(cut.ids) > 0
    start = np.array([8, 4])
    for row, identity in enumerate(cut.ids):
        [same] = np.flatnonzero(all_of_them.ids == identity)
        # Objects at the border are known as a whole.
        np.testing.assert_array_equal(cut.centers[row] + start, all_of_them.centers[same])
        known = {tuple(p) for p in all_of_them.pixels[all_of_them.owners == same]}
        assert {tuple(p + start) for p in cut.pixels[cut.owners == row]} <= known
    assert ((cut.pixels >= 0) & (cut.pixels < (48, 46))).all()
    assert cut.is_same(true_objects(labels, part))
    assert not cut.is_same(all_of_them)


def test_of_many_objects_those_nearest_to_the_middle_are_taken():
    labels = np.zeros((100, 100), np.int32)
    labels[5::10, 5::10] = np.arange(1, 101).reshape(10, 10)
    objects = true_objects(labels, whole(labels))
    assert len(objects.ids) == MOST_OBJECTS
    distance = np.linalg.norm(objects.centers - 49.5, axis=1)
    assert distance.max() < 45
    assert set(np.unique(objects.labels)) == {0, *objects.ids}


def test_planes_may_overlap():
    planes = np.zeros((3, 20, 20), bool)
    planes[0, 2:10, 2:10] = planes[2, 6:18, 6:18] = True
    objects = true_objects(planes, (slice(0, 20), slice(0, 20)), planes=True)
    np.testing.assert_array_equal(objects.ids, [1, 3])
    np.testing.assert_array_equal(objects.sizes, [64, 144])


def test_a_part_without_objects_has_none():
    objects = true_objects(np.zeros((16, 16), np.int32), (slice(0, 8), slice(0, 8)))
    assert len(objects.ids) == 0
    assert objects.pixels.shape == steps(objects, maps_of((8, 8))).shape == (0, 2)
    assert mean_margins(objects, maps_of((8, 8))).shape == (0, 2)


def test_steps_are_the_offsets_and_end_within_the_image(blobs):
    _, labels = blobs(2)
    objects = true_objects(labels, whole(labels))
    offsets = np.stack([np.full(labels.shape, 2.0), np.full(labels.shape, -500.0)]).astype(np.float32)
    moves = steps(objects, EmbeddingMaps(offsets, np.ones_like(offsets), offsets[0]))
    ends = objects.pixels + moves
    assert (moves[:, 0] == np.minimum(2.0, 63 - objects.pixels[:, 0])).all()
    assert (ends[:, 1] == 0).all()


def test_the_margin_is_that_of_the_mean_bandwidth():
    labels = np.zeros((20, 30), np.int32)
    labels[4, 4:8], labels[10:12, 10:12] = 1, 2
    maps = maps_of(labels.shape)
    maps.margins[0, 4, 4:8] = (1, 2, 4, 8)
    maps.margins[1, 10:12, 10:12] = 1e12
    margins = mean_margins(true_objects(labels, whole(labels)), maps)
    # The root of the fourth order of 64; what is endless ends with the part.
    np.testing.assert_allclose(margins, [[64**0.25, 4], [4, 30]], rtol=1e-6)


def test_small_objects_are_sampled_whole():
    at = np.array([[0, 1], [0, 2], [1, 1]])
    np.testing.assert_array_equal(sample(at, at[0].astype(float), 7), [0, 1, 2])


def test_the_surroundings_end_with_the_image():
    labels = np.arange(100).reshape(10, 10)
    window, inside = around(labels, [slice(0, 4), slice(6, 10)])
    assert window.shape == (6, 6)
    np.testing.assert_array_equal(window[inside], labels[0:4, 6:10])
