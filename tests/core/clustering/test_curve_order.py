"""The curve that pixels are sorted along."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from embedseg_napari.core.clustering.curve_order import STEP_BITS, encode, hilbert

SHIFT = 20


def places(points: np.ndarray, bits: int) -> np.ndarray:
    """Where points (axes, n) of a grid of so many bits per axis stand along the curve."""
    ndim = len(points)
    scale = np.array([0.0, 1.0, 1.0] if ndim == 2 else [1.0, 1.0, 1.0])
    keys, step = np.empty(points.shape[1], np.uint64), STEP_BITS[ndim]
    encode(points, np.zeros(3), scale, -(-bits // step), hilbert(ndim), step, SHIFT, keys)
    assert_array_equal(keys & np.uint64((1 << SHIFT) - 1), np.arange(len(keys)))
    return keys >> np.uint64(SHIFT)


@pytest.mark.parametrize(("ndim", "bits"), [(2, 1), (2, 4), (2, 7), (3, 2), (3, 5)])
def test_it_goes_through_every_cell_from_neighbour_to_neighbour(ndim: int, bits: int) -> None:
    grid = np.indices((1 << bits,) * ndim).reshape(ndim, -1).astype(np.float32)
    along = places(grid, bits)
    assert_array_equal(np.sort(along), np.arange(grid.shape[1]))
    assert_array_equal(np.abs(np.diff(grid[:, np.argsort(along)])).sum(0), 1)


def test_what_points_nowhere_comes_last_and_what_points_far_outside_stays_at_the_border() -> None:
    points = np.array([[3, np.nan, 1e30, -1e30, np.inf], [3, 0, 15, 0, 2]], np.float32)
    along = places(points, 4)
    assert_array_equal(along[[2, 3]], places(np.array([[15, 0], [15, 0]], np.float32), 4))
    assert_array_equal(along[[1, 4]], np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(SHIFT))
