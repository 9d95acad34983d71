"""Sums over the pixels of each object: of all objects at once, piece by piece of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

PIECE = 1 << 21
"""Pixels that are looked at together."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What is known of the pixels of each object of one image, rows in ascending id."""

    ids: NDArray[np.int64]
    """(n,)"""
    sizes: NDArray[np.int64]
    """(n,) pixels."""
    lower: NDArray[np.int64]
    """(n, ndim) first pixel of the bounding box."""
    upper: NDArray[np.int64]
    """(n, ndim) one past its last pixel."""
    centroids: NDArray[np.float64]
    """(n, ndim) mean of the pixels' places, in pixels."""
    covariances: NDArray[np.float64]
    """(n, ndim, ndim) of the pixels' places, in pixels; empty (n, 0, 0) where they were not asked for."""


@dataclass(frozen=True, slots=True)
class Brightness:
    """Sums over one channel."""

    total: NDArray[np.float64]
    """(n,)"""
    largest: NDArray[np.float64]
    """(n,)"""


def pieces(shape: Sequence[int]) -> Iterator[slice]:
    """Divide an array along its first axis into pieces of about `PIECE` pixels, one row of it at least."""
    rows = max(1, PIECE // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))


class Rows:
    """Which row of a table belongs to which id.

    Parameters
    ----------
    ids : ndarray, shape (n,)
        In ascending order, without 0.
    """

    def __init__(self, ids: NDArray[np.int64]) -> None:
        self.ids = ids
        most = int(ids[-1]) if len(ids) else 0
        # Ids of billions, as some programs write them, are looked for instead.
        self._table = None
        if most < 4 * len(ids) + PIECE:
            self._table = np.zeros(most + 1, np.int32)
            self._table[ids] = np.arange(len(ids))

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Rows of ids that are all among them."""
        # Together with unsigned ones, whole numbers would become fractions, and lose their last digits.
        return np.searchsorted(self.ids, values.astype(np.int64)) if self._table is None else self._table[values]


def ids_of(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Ids of a label image in ascending order, without 0."""
    if not labels.size:
        return np.zeros(0, np.int64)
    most = max(int(labels[piece].max()) for piece in pieces(labels.shape))
    if most < labels.size + PIECE:
        is_there = np.zeros(most + 1, bool)
        for piece in pieces(labels.shape):
            is_there[labels[piece].ravel()] = True
        found = np.flatnonzero(is_there)
    else:
        found = np.unique(np.concatenate([np.unique(labels[piece]) for piece in pieces(labels.shape)])).astype(np.int64)
    return found[found > 0]


def sums_of(labels: NDArray[Any], *, shapes: bool = True) -> Sums:
    """Measure all objects of a label image.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Ids, 0 is background.
    shapes : bool
        Whether covariances are wanted; they take another look at all pixels.
    """
    ids, ndim = ids_of(labels), labels.ndim
    rows, n = Rows(ids), len(ids)
    sizes = np.zeros(n, np.int64)
    lower = np.full((ndim, n), np.iinfo(np.int64).max)
    upper = np.zeros((ndim, n), np.int64)
    first = np.zeros((ndim, n))
    for row, places in _pixels(labels, rows):
        sizes += np.bincount(row, minlength=n)
        for axis, place in enumerate(places):
            first[axis] += np.bincount(row, place, n)
            np.minimum.at(lower[axis], row, place)
            np.maximum.at(upper[axis], row, place + 1)
    centroids = first / np.maximum(sizes, 1)
    covariances = _covariances(labels, rows, sizes, lower, centroids) if shapes else np.zeros((n, 0, 0))
    return Sums(ids, sizes, lower.T, upper.T, centroids.T, covariances)


def brightness_of(labels: NDArray[Any], image: Any, ids: NDArray[np.int64]) -> Brightness:
    """Sums over one channel of an image.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Ids, 0 is background.
    image : array
        Of the same shape; it may be lazy, and is read piece by piece.
    ids : ndarray, shape (n,)
        As in :attr:`Sums.ids`.
    """
    rows, n = Rows(ids), len(ids)
    total, largest = np.zeros(n), np.full(n, -np.inf)
    for piece in pieces(labels.shape):
        part = labels[piece]
        inside = part > 0
        row, values = rows.of(part[inside]), np.asarray(image[piece])[inside].astype(np.float64)
        total += np.bincount(row, values, n)
        # What has a pixel that is no number has no largest one.
        with np.errstate(invalid="ignore"):
            np.maximum.at(largest, row, values)
    return Brightness(total, largest)


def touching(labels: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count how many other objects each object touches: at an edge of a pixel, in a volume at a face of one.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Ids, 0 is background.
    ids : ndarray, shape (n,)
        As in :attr:`Sums.ids`.
    """
    rows, n = Rows(ids), len(ids)
    found: list[NDArray[np.int64]] = []
    for piece in pieces(labels.shape):
        # With the first row of the next piece.
        part = labels[piece.start : piece.stop + 1]
        for axis in range(labels.ndim):
            inner = part[: piece.stop - piece.start] if axis else part
            one, other = (inner[(slice(None),) * axis + (side,)] for side in (slice(None, -1), slice(1, None)))
            meets = (one != other) & (one > 0) & (other > 0)
            pair = np.sort(np.stack([rows.of(one[meets]), rows.of(other[meets])]).astype(np.int64), axis=0)
            found.append(np.unique(pair[0] * n + pair[1]))
    pairs = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
    return np.bincount(np.concatenate(np.divmod(pairs, max(n, 1))), minlength=n)


def _pixels(labels: NDArray[Any], rows: Rows) -> Iterator[tuple[NDArray[Any], list[NDArray[np.int64]]]]:
    """Pixels of objects, piece by piece: the row of each, and its place along each axis."""
    for piece in pieces(labels.shape):
        part = labels[piece]
        flat = np.flatnonzero(part > 0)
        first, *places = np.unravel_index(flat, part.shape)
        yield rows.of(part.ravel()[flat]), [first + piece.start, *places]


def _covariances(
    labels: NDArray[Any],
    rows: Rows,
    sizes: NDArray[np.int64],
    lower: NDArray[np.int64],
    centroids: NDArray[np.float64],
) -> NDArray[np.float64]:
    ndim, n = labels.ndim, len(sizes)
    second = np.zeros((ndim, ndim, n))
    for row, places in _pixels(labels, rows):
        # Counted from the object's own corner: sums of such whole numbers are exact.
        own = [(place - low[row]).astype(np.float64) for place, low in zip(places, lower, strict=True)]
        for i in range(ndim):
            for j in range(i, ndim):
                second[i, j] += np.bincount(row, own[i] * own[j], n)
    mean = centroids - lower
    for i in range(ndim):
        for j in range(i, ndim):
            second[i, j] = second[j, i] = second[i, j] / np.maximum(sizes, 1) - mean[i] * mean[j]
    return second.transpose(2, 0, 1)
