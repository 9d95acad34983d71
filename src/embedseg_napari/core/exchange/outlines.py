"""Outlines of objects along the edges of their pixels, of all objects of a plane at once.

What an outline encloses is its object to the pixel: a pixel belongs to it where its centre (x + 0.5, y + 0.5) lies
inside, as in ImageJ and QuPath.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.measure.sums import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOGETHER = 1 << 18
"""Corners that are joined together."""
Ring = Any
"""Corners (n, 2) of a closed outline as x, y in pixels from the upper left corner of the image, without repetition."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an object that hangs together by edges of pixels: its outline, and those of its holes."""

    outer: Ring
    """Clockwise, y pointing down."""
    holes: tuple[Ring, ...] = ()
    """Counter-clockwise."""

    @property
    def rings(self) -> tuple[Ring, ...]:
        """All outlines, the outer one first."""
        return self.outer, *self.holes


def outlines(labels: NDArray[Any], corner: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, list[Piece]]]:
    """Trace the objects of a plane; each with its pieces, in ascending id.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Ids, 0 is background.
    corner : tuple of int
        Where the first pixel (y, x) lies in the image.
    """
    ids, y, x, pair = _corners(labels)
    first = 0
    while first < len(ids):
        # Some objects at a time: lists of Python take several times the room of arrays.
        last = int(np.searchsorted(ids, ids[min(first + TOGETHER, len(ids)) - 1], "right"))
        part = slice(first, last)
        yield from _traced(labels, ids[part], y[part], x[part], pair[part], corner)
        first = last


def _traced(
    labels: NDArray[Any],
    ids: NDArray[Any],
    y: NDArray[np.int32],
    x: NDArray[np.int32],
    pair: NDArray[np.int8],
    corner: tuple[int, int],
) -> Iterator[tuple[int, list[Piece]]]:
    """Join the corners of some objects to rings."""
    places = np.stack([x, y], axis=1) + np.array(corner[::-1], np.int32)
    # Corners lie in the order of rows: the first of a ring that is met is its uppermost left one. There the outline
    # runs to the right and down; the pixel between the two is one of the object, or of the hole.
    starts_object = labels[np.minimum(y, len(labels) - 1), np.minimum(x, labels.shape[1] - 1)] == ids
    starts_object &= (y < labels.shape[0]) & (x < labels.shape[1])
    is_outer, is_double = starts_object.tolist(), (pair > 0).tolist()
    numbers, down = ids.tolist(), _partners_down(ids, y, x, pair).tolist()
    is_seen = bytearray(len(numbers))
    rings: list[Ring] = []
    current = numbers[0]
    for first, number in enumerate(numbers):
        if is_seen[first]:
            continue
        if number != current:
            yield current, _as_pieces(rings)
            current, rings = number, []
        ring: list[int] = []
        at, has_double = first, False
        while not is_seen[at]:
            # Along a row an outline turns into it and out of it by turns: corners belong together two by two.
            other = at ^ 1
            is_seen[at] = is_seen[other] = 1
            ring += (at, other)
            has_double = has_double or is_double[at] or is_double[other]
            at = down[other]
        corners = places[ring if is_outer[first] else ring[::-1]]
        rings += _simple(corners) if has_double else [corners]
    yield current, _as_pieces(rings)


def _corners(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Where outlines turn: ids, y, x, and what to do where two pixels of an object touch at a corner alone.

    There the outline turns twice, and the two corners are numbered 1 and 2 where the pixels are upper left and lower
    right, else 3 and 4. Sorted by id, row and column; of two at one place the first is joined to the left.
    """
    found: list[tuple[NDArray[Any], ...]] = []
    for piece in pieces(labels.shape):
        # The row before the piece, and after the last row one that is empty.
        last = piece.stop + (piece.stop == len(labels))
        rows = labels[max(piece.start - 1, 0) : min(last, len(labels))]
        part = np.pad(rows, ((int(piece.start == 0), int(last > len(labels))), (1, 1)))
        a, b, c, d = part[:-1, :-1], part[:-1, 1:], part[1:, :-1], part[1:, 1:]
        y, x = np.nonzero((a != b) | (a != c) | (a != d))
        a, b, c, d = (corner[y, x] for corner in (a, b, c, d))
        y, x = (y + piece.start).astype(np.int32), x.astype(np.int32)
        for own, beside, above, opposite in ((a, b, c, d), (b, a, d, c), (c, d, a, b), (d, c, b, a)):
            is_alone = (own != beside) & (own != above) & (own != opposite)
            is_inner = (own == beside) & (own == above) & (own != opposite)
            at = np.flatnonzero((own > 0) & (is_alone | is_inner))
            found.append((own[at], y[at], x[at], np.zeros(len(at), np.int8)))
        for own, other, left, right, first in ((a, d, b, c, 1), (b, c, a, d, 3)):
            at = np.flatnonzero((own > 0) & (own == other) & (own != left) & (own != right))
            found += [(own[at], y[at], x[at], np.full(len(at), number, np.int8)) for number in (first, first + 1)]
    ids, y, x, pair = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((pair, x, y, ids))
    return ids[order], y[order], x[order], pair[order]


def _partners_down(
    ids: NDArray[Any], y: NDArray[np.int32], x: NDArray[np.int32], pair: NDArray[np.int8]
) -> NDArray[np.int64]:
    """The corner that each is joined with along its column."""
    # Of two at one place the one whose pixel is above goes up: the first where they are upper left and lower right.
    upper = np.where(pair == 3, 4, np.where(pair == 4, 3, pair))
    order = np.lexsort((upper, y, x, ids))
    down = np.empty_like(order)
    down[order] = order[np.arange(len(ids)) ^ 1]
    return down


def _simple(corners: NDArray[np.int32]) -> list[Ring]:
    """Divide a ring that touches itself into such that do not; none of its corners is lost."""
    found: list[Ring] = []
    path: list[tuple[int, ...]] = []
    where: dict[tuple[int, ...], int] = {}
    for corner in corners.tolist():
        key = tuple(corner)
        if key in where:
            start = where[key]
            for left in path[start:]:
                del where[left]
            found.append(np.array(path[start:]))
            del path[start:]
        where[key] = len(path)
        path.append(key)
    return [*found, np.array(path)]


def area(ring: Ring) -> float:
    """Area of a ring in pixels, positive if it runs clockwise with y pointing down."""
    x, y = np.asarray(ring, float).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _as_pieces(rings: list[Ring]) -> list[Piece]:
    if len(rings) == 1:
        return [Piece(rings[0])]
    areas = [area(ring) for ring in rings]
    outer = [ring for ring, size in zip(rings, areas, strict=True) if size > 0]
    holes = [ring for ring, size in zip(rings, areas, strict=True) if size < 0]
    if len(outer) == 1 or not holes:
        return [Piece(ring, tuple(holes)) for ring in outer]
    # The smallest outline around a hole is that of the piece it is a hole of.
    own: list[list[Ring]] = [[] for _ in outer]
    sizes = [area(ring) for ring in outer]
    for hole in holes:
        # Of the hole's first edge, the middle, a little to the side of the object.
        ahead = hole[1] - hole[0]
        point = (hole[0] + hole[1]) / 2 + 0.25 * np.array([-ahead[1], ahead[0]]) / np.abs(ahead).sum()
        around = [i for i, ring in enumerate(outer) if _is_inside(point, ring)]
        own[min(around, key=sizes.__getitem__)].append(hole)
    return [Piece(ring, tuple(inside)) for ring, inside in zip(outer, own, strict=True)]


def _is_inside(point: NDArray[np.float64], ring: Ring) -> bool:
    x, y = np.asarray(ring, float).T
    ahead_x, ahead_y = np.roll(x, -1), np.roll(y, -1)
    is_beside = (y > point[1]) != (ahead_y > point[1])
    # Edges of pixels that cross a row are upright.
    return bool((is_beside & (np.minimum(x, ahead_x) > point[0])).sum() % 2)
