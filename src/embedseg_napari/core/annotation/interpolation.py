"""Shapes between two shapes (Raya and Udupa 1990): their signed distances, averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def between(first: np.ndarray, last: np.ndarray, n: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the shapes on `n` planes between two planes.

    The centroid moves evenly from one to the other, so that an object that lies aslant does not vanish halfway.

    Parameters
    ----------
    first, last : ndarray of bool, shape (Y, X)
        Two shapes, neither empty.
    n : int
        Number of planes between them.

    Yields
    ------
    plane : int
        1 to `n`, counted from `first`.
    shape : ndarray of bool, shape (Y, X)
    """
    either = np.nonzero(first | last)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in either)
    centers = [np.mean(np.nonzero(shape[box]), axis=1) for shape in (first, last)]
    way = centers[1] - centers[0]
    # So wide that no distance is asked for beyond it.
    margin = 1 + int(np.ceil(np.abs(way)).max())
    depths = [_depth(np.pad(shape[box], margin)) for shape in (first, last)]
    core = (slice(margin, -margin),) * 2
    for plane in range(1, n + 1):
        share = plane / (n + 1)
        moved = [ndimage.shift(depths[0], share * way, order=1, mode="nearest")]
        moved += [ndimage.shift(depths[1], (share - 1) * way, order=1, mode="nearest")]
        out = np.zeros(first.shape, bool)
        out[box] = ((1 - share) * moved[0] + share * moved[1])[core] > 0
        yield plane, out


def _depth(shape: np.ndarray) -> NDArray[np.float64]:
    """Distance to the border of a shape, in pixels: positive inside, negative outside."""
    inside, outside = ndimage.distance_transform_edt(shape), ndimage.distance_transform_edt(~shape)
    # Pixels have a width: the border lies half a pixel from the centres on both sides.
    depth: NDArray[np.float64] = np.where(shape, inside - 0.5, 0.5 - outside)
    return depth
