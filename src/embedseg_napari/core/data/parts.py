"""Parts of an annotated image on the disk that stand for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.files.region import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDES = {2: (512, 512), 3: (48, 192, 192)}
"""Pixels of a part per axis (z, y, x)."""
MOST = 8
"""Parts of an image."""


def parts_with(centers: NDArray[np.float64], shape: Sequence[int], most: int = MOST) -> list[Part]:
    """Choose parts of an image that hold objects, spread over those that do.

    Parameters
    ----------
    centers : ndarray, shape (n, ndim)
        Of the objects that count, in pixels; without any, the middle of the image is taken.
    shape : sequence of int
        Of the image, ((z,) y, x).
    most : int
        Parts at most.
    """
    sides = [min(side, n) for side, n in zip(SIDES[len(shape)], shape, strict=True)]
    counts = [n // side for n, side in zip(shape, sides, strict=True)]
    at = np.clip(np.rint(centers), 0, np.array(shape) - 1).astype(np.int64)
    if len(at) == 0:
        at, counts = np.array([shape]) // 2, [1] * len(shape)
    # Cells that cover the image, none smaller than a part: parts that stay within theirs do not overlap.
    edges = [np.arange(n_cells + 1) * n // n_cells for n, n_cells in zip(shape, counts, strict=True)]
    places = [np.searchsorted(edge, at[:, axis], "right") - 1 for axis, edge in enumerate(edges)]
    cells = np.ravel_multi_index(places, counts)
    numbers, held = np.unique(cells, return_counts=True)
    if len(numbers) > most:
        # Of neighbours the fullest: parts with a crumb of an object tell little.
        groups = np.array_split(np.arange(len(numbers)), most)
        numbers = np.array([numbers[group[held[group].argmax()]] for group in groups])
    parts = []
    for number in numbers:
        inside = at[cells == number]
        middle = inside[np.abs(inside - inside.mean(0)).sum(1).argmin()].tolist()
        start = tuple(
            min(max(a - side // 2, int(edge[cell])), int(edge[cell + 1]) - side)
            for a, side, edge, cell in zip(middle, sides, edges, np.unravel_index(number, counts), strict=True)
        )
        parts.append(Part(start, tuple(a + side for a, side in zip(start, sides, strict=True))))
    return parts
