"""Objects that cross each other keep the pixels they share."""

import numpy as np
import pytest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps

SETTINGS = PredictionConfig(seed_threshold=0.9, foreground_threshold=0.5, min_object_size=3, faint_seeds=0.0)


def crossing(ndim=2):
    """Maps of two bars whose embeddings meet: pixels of both lie inside the ellipse of either."""
    shape = (5,) * (ndim - 2) + (30, 40)
    seed_map = np.zeros(shape, np.float32)
    seed_map[..., 10:14, 5:35] = 0.8
    seed_map[..., 2:28, 18:22] = 0.8
    first, second = (*(2,) * (ndim - 2), 12, 7), (*(2,) * (ndim - 2), 4, 20)
    seed_map[first], seed_map[second] = 0.99, 0.98
    offsets = np.zeros((ndim, *shape), np.float32)
    margins = np.zeros((ndim, *shape), np.float32)
    # A wide flat ellipse at the one seed, a high narrow one at the other: where they cross they share pixels.
    for seed, (y, x) in ((first, (2.5, 40.0)), (second, (40.0, 2.5))):
        margins[(slice(None), *seed)] = [*(9.0,) * (ndim - 2), y, x]
    return EmbeddingMaps(offsets, margins, seed_map)


@pytest.mark.parametrize("ndim", [2, 3])
def test_where_two_cross_both_have_the_pixels(ndim):
    found = Segmentation.collect(crossing(ndim), SETTINGS)
    planes = found.planes
    assert planes.shape == (2, *found.labels.shape)
    shared = planes.all(0)
    assert shared.any()
    assert (found.labels[shared] == 2).all(), "the later one is on top in the labels"
    for label, plane in enumerate(planes, 1):
        assert (plane[found.labels == label]).all(), "nothing of the labels is missing"
    assert ((planes.any(0)) == (found.labels > 0)).all()
    for plane, one in zip(planes, found.objects(), strict=True):
        assert one.mask.sum() == plane.sum()


def test_planes_have_the_axes_of_the_labels():
    found = Segmentation.collect(crossing(3), SETTINGS)
    turned = found.turned("XYZ")
    assert turned.planes.shape == (2, *turned.labels.shape)
    assert (turned.planes == found.planes.transpose(0, 3, 2, 1)).all()


def test_objects_that_are_left_out_have_no_plane():
    maps = crossing()
    maps.seed_map[2:8] = 0
    maps.seed_map[9, 20] = 0.98
    maps.margins[:, 9, 20] = [40.0, 2.5]
    sizes = np.bincount(Segmentation.collect(maps, SETTINGS).labels.ravel())[1:]
    found = Segmentation.collect(maps, SETTINGS.changed({"max_object_size": int(sizes.mean())}))
    assert len(found.planes) == len(found.scores) == 1
    assert (found.planes[0] >= (found.labels == 1)).all()


def test_faint_objects_have_what_the_labels_give_them():
    maps = crossing()
    maps.seed_map[22:28, 30:38] = 0.88
    maps.margins[:, 22:28, 30:38] = 6.0
    found = Segmentation.collect(maps, SETTINGS.changed({"faint_seeds": 0.05}))
    assert found.n_bright < len(found.scores)
    for label in range(found.n_bright + 1, len(found.scores) + 1):
        assert (found.planes[label - 1] == (found.labels == label)).all()


def test_without_maps_it_says_what_to_do():
    with pytest.raises(SettingsError, match="keep_maps=True"):
        _ = Segmentation.collect(crossing(), SETTINGS, keep_maps=False).planes
    movie = Segmentation.stack([Segmentation.collect(crossing(), SETTINGS) for _ in range(2)])
    with pytest.raises(SettingsError, match="frames"):
        _ = movie.planes
    assert len(movie.frames[1].planes) == 2
