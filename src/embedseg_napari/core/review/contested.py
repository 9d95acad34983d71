"""Pixels that two objects lay claim to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps


def contested_shares(segmentation: Segmentation) -> NDArray[np.float64]:
    """Return for each object the share of the pixels pointing into it that another object has or could have.

    A pixel points into an object if its embedding lies inside the ellipse of the object's mean margins around its
    centre; the mean is taken over the object's pixels.

    Parameters
    ----------
    segmentation : Segmentation
        Of one image, with its maps.
    """
    maps, labels = segmentation.maps, segmentation.labels.ravel()
    n = len(segmentation.scores)
    if n == 0:
        return np.zeros(0)
    foreground = np.flatnonzero(maps.seed_map.ravel() > segmentation.settings.foreground_threshold)
    own = labels[foreground]
    at = np.unravel_index(foreground, maps.seed_map.shape)
    points = [at[a] + maps.offsets[a].ravel()[foreground] for a in range(maps.ndim)]
    margins = np.float32(segmentation.settings.margin_scale) * _mean_margins(maps, foreground, own, n)
    candidates = _candidates(segmentation.centers, margins, points, maps.seed_map.shape)

    inside = []
    for candidate in candidates:
        distance = np.zeros(len(own), np.float32)
        for axis, values in enumerate(points):
            center, margin = segmentation.centers[:, axis], margins[:, axis]
            distance += ((values - _of(center, candidate)) / _of(margin, candidate)) ** 2
        inside.append((candidate > 0) & (distance < 1))
    first, second = candidates
    is_claimed_twice = inside[0] & inside[1] & (first != second)
    claims, lost = np.zeros(n + 1), np.zeros(n + 1)
    for candidate, is_inside, is_new in ((first, inside[0], True), (second, inside[1], first != second)):
        counted = is_inside & is_new
        is_lost = counted & (is_claimed_twice | ((own != candidate) & (own > 0)))
        claims += np.bincount(candidate[counted], minlength=n + 1)
        lost += np.bincount(candidate[is_lost], minlength=n + 1)
    shares: NDArray[np.float64] = (lost / np.maximum(claims, 1))[1:]
    return shares


def _of(values: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Value of each pixel's object; that of the first where there is none."""
    return values[np.maximum(labels - 1, 0)]


def _mean_margins(
    maps: EmbeddingMaps, foreground: NDArray[np.int64], own: NDArray[np.int32], n: int
) -> NDArray[np.float32]:
    """Margins (n, ndim) of the objects."""
    count = np.maximum(np.bincount(own, minlength=n + 1), 1)
    sums = [np.bincount(own, margin.ravel()[foreground], n + 1) for margin in maps.margins]
    means = np.stack([total / count for total in sums], axis=1)[1:]
    return np.maximum(means, 1e-3).astype(np.float32)


def _candidates(
    centers: NDArray[np.float32], margins: NDArray[np.float32], points: list[np.ndarray], shape: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Up to two objects that each embedding may lie inside, 0 for none: the ellipses are drawn on the pixels' grid.

    Where more than two meet, they are the first and the last in order of labels.
    """
    first, last = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for label, (center, margin) in enumerate(zip(centers, margins, strict=True), 1):
        low = [max(int(np.floor(c - m)), 0) for c, m in zip(center, margin, strict=True)]
        high = [min(int(np.ceil(c + m)) + 1, side) for c, m, side in zip(center, margin, shape, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        # Half a pixel wider: embeddings are rounded to the grid.
        lines = [
            ((np.arange(a, b) - c) / (m + 0.71)) ** 2 for a, b, c, m in zip(low, high, center, margin, strict=True)
        ]
        drawn = lines[0]
        for line in lines[1:]:
            drawn = drawn[..., None] + line
        is_in = drawn < 1
        last[box][is_in] = label
        fresh = is_in & (first[box] == 0)
        first[box][fresh] = label
    place = tuple(
        np.clip(np.rint(axis), 0, side - 1).astype(np.int64) for axis, side in zip(points, shape, strict=True)
    )
    flat = np.ravel_multi_index(place, shape)
    return first.ravel()[flat], last.ravel()[flat]
