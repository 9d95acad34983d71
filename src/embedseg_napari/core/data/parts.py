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
    # As many as fit side by side, spread so that the first and the last reach the image's ends.
    counts = [max(1, n // side) for n, side in zip(shape, sides, strict=True)]
    if len(centers) == 0:
        centers = np.array([shape], float) / 2
    cells = [
        np.clip(centers[:, axis] * counts[axis] / n, 0, counts[axis] - 1).astype(np.int64)
        for axis, n in enumerate(shape)
    ]
    numbers, held = np.unique(np.ravel_multi_index(cells, counts), return_counts=True)
    if len(numbers) > most:
        # Of neighbours the fullest: parts with a crumb of an object tell little.
        groups = np.array_split(np.arange(len(numbers)), most)
        numbers = np.array([numbers[group[held[group].argmax()]] for group in groups])
    parts = []
    for place in zip(*np.unravel_index(numbers, counts), strict=True):
        start = tuple(
            round(int(i) * (n - side) / max(1, count - 1))
            for i, n, side, count in zip(place, shape, sides, counts, strict=True)
        )
        parts.append(Part(start, tuple(a + side for a, side in zip(start, sides, strict=True))))
    return parts
