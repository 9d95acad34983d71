"""Maps from the network's pixels to those of the image."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.clustering.clustering import cluster
from embedseg_napari.core.inference.resizing import resize_maps
from embedseg_napari.core.maps import EmbeddingMaps


def bar_maps(ndim: int, wrong: float) -> tuple[EmbeddingMaps, np.ndarray]:
    """Maps of a thin bar whose pixels all point to its middle, background to somewhere else; and the bar."""
    shape = (24,) * (ndim - 1) + (48,)
    bar = np.zeros(shape, bool)
    bar[(*[slice(10, 14)] * (ndim - 1), slice(8, 40))] = True
    position = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    middle = position[:, bar].mean(1).reshape(-1, *[1] * ndim)
    offsets = np.where(bar, middle - position, np.float32(wrong)).astype(np.float32)
    margins = np.full((ndim, *shape), 3.0, np.float32)
    return EmbeddingMaps(offsets, margins, np.where(bar, np.float32(0.98), np.float32(0.0))), bar


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("wrong", [-40.0, 0.0, 40.0])
def test_outlines_of_enlarged_maps_are_not_frayed_by_what_background_points_to(ndim, wrong):
    maps, bar = bar_maps(ndim, wrong)
    shape = tuple(2 * n for n in bar.shape)
    large = resize_maps(maps, shape)
    foreground = large.seed_map > 0.5
    position = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    points = (position + large.offsets)[:, foreground]
    assert np.abs(points - np.median(points, axis=1, keepdims=True)).max() < 1.0
    assert large.margins[:, foreground] == pytest.approx(6.0, rel=1e-3)
    assert np.count_nonzero(foreground) == pytest.approx(2**ndim * np.count_nonzero(bar), rel=0.05)


def test_maps_of_another_size_give_the_same_object():
    maps, bar = bar_maps(2, 40.0)
    shape = tuple(2 * n for n in bar.shape)
    labels = cluster(resize_maps(maps, shape))
    assert np.unique(labels).tolist() == [0, 1]
    assert np.count_nonzero(labels) == pytest.approx(4 * np.count_nonzero(bar), rel=0.05)
