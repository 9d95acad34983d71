"""Outlines back to pixels: a pixel belongs to an object where its centre (x + 0.5, y + 0.5) lies inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TOGETHER = 1 << 18
"""Corners, crossings of rows, or pixels that are looked at together."""
FARTHEST = 1e12
"""Pixels from the first one within which corners lie."""


def fill(plane: NDArray[Any], numbers: Sequence[int], objects: Sequence[Sequence[Any]]) -> int:
    """Paint objects on a plane, the later ones over the earlier ones; returns how many pixels were painted over.

    Parameters
    ----------
    plane : ndarray of int, shape (Y, X)
        Where they are painted.
    numbers : sequence of int
        Number of each object.
    objects : sequence of sequence of array_like, shape (n, 2)
        Outlines of each object, corners as x, y. What lies inside an even number of them is a hole. What lies outside
        the plane is left out.

    Raises
    ------
    DataError
        If a corner is no number, or lies beyond all images.
    """
    n_over, first = 0, 0
    sizes = [sum(len(ring) for ring in rings) for rings in objects]
    while first < len(objects):
        last, n = first, 0
        while last < len(objects) and (n == 0 or n + sizes[last] <= TOGETHER):
            n += sizes[last]
            last += 1
        n_over += _fill(plane, np.asarray(numbers[first:last]), objects[first:last])
        first = last
    return n_over


def _fill(plane: NDArray[Any], numbers: NDArray[Any], objects: Sequence[Sequence[Any]]) -> int:
    height = len(plane)
    rings = [(i, ring) for i, rings in enumerate(objects) for ring in rings if len(ring)]
    if not rings:
        return 0
    lengths = np.array([len(ring) for _, ring in rings])
    corners = np.concatenate([ring for _, ring in rings]).astype(np.float64)
    if not (np.abs(corners) < FARTHEST).all():
        raise DataError("An outline has a corner whose place is no number, or beyond all images.")
    own = np.repeat([i for i, _ in rings], lengths)
    # Each corner is joined with the next one, the last with the first of its ring.
    ends = np.cumsum(lengths)
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = ends - lengths
    (x0, y0), (x1, y1) = corners.T, corners[following].T
    # Rows whose middle an edge crosses: where it begins exactly there it counts, where it ends there it does not.
    low, high = (np.clip(np.ceil(end(y0, y1) - 0.5), 0, height).astype(np.int64) for end in (np.minimum, np.maximum))
    n_over = 0
    for first, last in _bands(low, high, height):
        here = np.flatnonzero((low < last) & (high > first))
        begin, n = low[here].clip(min=first), high[here].clip(max=last) - low[here].clip(min=first)
        edge = np.repeat(here, n)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(n) - n, n) + np.repeat(begin, n)
        x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
        n_over += _paint(plane, numbers, own[edge], row, x)
    return n_over


def _bands(low: NDArray[np.int64], high: NDArray[np.int64], height: int) -> Iterator[tuple[int, int]]:
    """Divide rows into such that edges cross about `TOGETHER` times: an outline may go up and down without end."""
    crossed = np.cumsum(np.bincount(low, minlength=height + 1) - np.bincount(high, minlength=height + 1))
    ends, first = np.cumsum(crossed), 0
    while first < height:
        last = int(np.searchsorted(ends, (ends[first - 1] if first else 0) + TOGETHER, "right"))
        last = min(max(first + 1, last), height)
        yield first, last
        first = last


def _paint(
    plane: NDArray[Any],
    numbers: NDArray[Any],
    own: NDArray[np.int64],
    row: NDArray[np.int64],
    x: NDArray[np.float64],
) -> int:
    """Paint between the places, two by two, at which the edges of each object cross a row."""
    width = plane.shape[1]
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    order = np.lexsort((column, row, own))
    start, stop, row, own = column[order[::2]], column[order[1::2]], row[order[::2]], own[order[::2]]
    n_over, lengths = 0, stop - start
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        last = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + TOGETHER, "right")))
        n = lengths[first:last]
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        at = np.repeat(row[first:last] * width + start[first:last], n) + within
        painted = np.repeat(numbers[own[first:last]], n)
        flat = plane.reshape(-1)
        n_over += int(np.count_nonzero(flat[at]))
        flat[at] = painted
        # Where two of these objects meet, one of them is gone again.
        n_over += int(np.count_nonzero(flat[at] != painted))
        first = last
    return n_over
