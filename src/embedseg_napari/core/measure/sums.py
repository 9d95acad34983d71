"""Sums over the pixels of each object: of all objects at once, part by part of the image."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from embedseg_napari.core.data.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Sized

    from numpy.typing import NDArray

Part = TypeVar("Part", bound="Sized")
PIECE = 1 << 21
"""Pixels that are looked at together."""
PENDING = 1 << 20
"""Rows of parts that are kept until they are added up."""


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
    """(n, ndim, ndim) of the pixels' places, in pixels."""
    totals: NDArray[np.float64]
    """(n, channels) sum of the pixels' values."""
    largest: NDArray[np.float64]
    """(n, channels) largest of them."""
    neighbours: NDArray[np.int64]
    """(n,) other objects that each touches: at an edge of a pixel, in a volume at a face of one; 0 where they were
    not counted."""


def pieces(shape: Sequence[int]) -> Iterator[slice]:
    """Divide an array along its first axis into pieces of about `PIECE` pixels, one row of it at least."""
    rows = max(1, PIECE // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))


def _boxes(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The same along two axes where a plane is larger than a piece."""
    if len(shape) > 2 and math.prod(shape[1:]) > PIECE:
        for i in range(shape[0]):
            for box in _boxes(shape[1:]):
                yield slice(i, i + 1), *box
    else:
        for piece in pieces(shape):
            yield piece, *(slice(0, n) for n in shape[1:])


def ids_of(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Ids of a label image in ascending order, without 0."""
    if not labels.size:
        return np.zeros(0, np.int64)
    found = np.unique(np.concatenate([np.unique(runs_of(labels[piece])[1]) for piece in pieces(labels.shape)]))
    return found[found > 0].astype(np.int64)


def sums_of(labels: NDArray[Any]) -> Sums:
    """Measure all objects of a label image; neighbours are not counted.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Ids, 0 is background.
    """
    tally = Tally(labels.ndim, has_neighbours=False)
    tally.add(labels, (0,) * labels.ndim, labels.shape)
    return tally.sums()


class Tally:
    """Adds up what is known of objects while parts of their image are looked at, in any order, each pixel once.

    It keeps about 100 bytes for each object in 2D and 160 in 3D, 16 for each channel and 16 for each pair that meets.
    Sums of whole numbers are exact, so that it does not matter how an image is divided.

    Parameters
    ----------
    ndim : int
        Axes of the label image, ((z,) y, x).
    n_channels : int
        Of the image whose brightness is measured.
    has_neighbours : bool
        Whether neighbours are counted.
    """

    def __init__(self, ndim: int, n_channels: int = 0, *, has_neighbours: bool = True) -> None:
        self.ndim = ndim
        self._parts = [_Parts.nothing(ndim, n_channels)]
        """What is added up, and what is yet to be added to it."""
        self._pairs = [np.zeros((0, 2), np.int64)]
        self._has_neighbours = has_neighbours

    def add(
        self,
        labels: NDArray[Any],
        start: Sequence[int],
        shape: Sequence[int],
        channels: Sequence[NDArray[Any]] = (),
    ) -> None:
        """Look at a part of the image.

        Parameters
        ----------
        labels : ndarray of int, shape ((Z,) Y, X)
            Ids, 0 is background: the part, and behind it along each axis one pixel more unless the image ends there,
            for the sake of neighbours.
        start : sequence of int
            Its first pixel in the image.
        shape : sequence of int
            Pixels of the part itself.
        channels : sequence of ndarray, each of `shape`
            The image there.
        """
        for box in _boxes(shape):
            at = [first + one.start for first, one in zip(start, box, strict=True)]
            self._parts.append(_Parts.of(labels[box], at, [channel[box] for channel in channels]))
            if self._has_neighbours:
                beyond = labels[tuple(slice(one.start, one.stop + 1) for one in box)]
                self._pairs += _meetings(beyond, [one.stop - one.start for one in box])
        self._parts = _compact(self._parts, _Parts.together)
        self._pairs = _compact(self._pairs, _distinct)

    def sums(self) -> Sums:
        """All that is known by now."""
        whole = _Parts.together(self._parts)
        self._parts, self._pairs = [whole], [_distinct(self._pairs)]
        n = whole.sizes[:, None]
        mean = whole.first / np.maximum(n, 1)
        covariances = np.zeros((len(n), self.ndim, self.ndim))
        for k, (i, j) in enumerate(_axis_pairs(self.ndim)):
            both = whole.second[:, k] / np.maximum(whole.sizes, 1) - mean[:, i] * mean[:, j]
            covariances[:, i, j] = covariances[:, j, i] = both
        rows = np.searchsorted(whole.ids, self._pairs[0])
        return Sums(
            whole.ids,
            whole.sizes,
            whole.lower,
            whole.upper,
            whole.lower + mean,
            covariances,
            whole.total,
            whole.largest,
            np.bincount(rows.ravel(), minlength=len(whole.ids)),
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Objects, or what of them lies in a part of the image, in ascending id."""

    ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    first: NDArray[np.float64]
    """(n, ndim) sums of places, counted from `lower`: such sums of whole numbers are exact."""
    second: NDArray[np.float64]
    """(n, pairs of axes) sums of their products."""
    total: NDArray[np.float64]
    largest: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def nothing(cls, ndim: int, n_channels: int) -> _Parts:
        """No objects."""
        none = np.zeros((0, ndim), np.int64)
        sums, per_channel = np.zeros((0, ndim)), np.zeros((0, n_channels))
        products = np.zeros((0, len(_axis_pairs(ndim))))
        return cls(none[:, 0], none[:, 0], none, none, sums, products, per_channel, per_channel)

    @classmethod
    def of(cls, labels: NDArray[Any], start: Sequence[int], channels: Sequence[NDArray[Any]]) -> _Parts:
        """The objects of a part, run by run along its last axis."""
        starts, values, lengths = runs_of(labels)
        inside = np.flatnonzero(values > 0)
        ids, row = np.unique(values[inside], return_inverse=True)
        n, ndim = len(ids), labels.ndim
        length = lengths[inside]
        places = [
            index + first for index, first in zip(np.unravel_index(starts[inside], labels.shape), start, strict=True)
        ]
        lower, upper = np.full((n, ndim), np.iinfo(np.int64).max), np.zeros((n, ndim), np.int64)
        for axis, place in enumerate(places):
            np.minimum.at(lower[:, axis], row, place)
            np.maximum.at(upper[:, axis], row, place + (length if axis == ndim - 1 else 1))
        own = [(place - lower[row, axis]).astype(np.float64) for axis, place in enumerate(places)]
        # Of a run x, x + 1, ... and of the squares of these.
        along = length * own[-1] + length * (length - 1) // 2
        squares = (
            length * own[-1] ** 2 + own[-1] * (length * (length - 1)) + (length - 1) * length * (2 * length - 1) // 6
        )
        sums = [*(length * place for place in own[:-1]), along]
        products = [squares if i == j == ndim - 1 else own[i] * sums[j] for i, j in _axis_pairs(ndim)]
        total, largest = np.zeros((n, len(channels))), np.full((n, len(channels)), -np.inf)
        for number, channel in enumerate(channels):
            pixels = channel.reshape(-1).astype(np.float64, copy=False)
            total[:, number] = np.bincount(row, np.add.reduceat(pixels, starts)[inside], n) if n else 0
            # What has a pixel that is no number has no largest one.
            with np.errstate(invalid="ignore"):
                np.maximum.at(largest[:, number], row, np.maximum.reduceat(pixels, starts)[inside])
        return cls(
            ids.astype(np.int64),
            np.bincount(row, length, n).astype(np.int64),
            lower,
            upper,
            _columns([np.bincount(row, one, n) for one in sums], n),
            _columns([np.bincount(row, one, n) for one in products], n),
            total,
            largest,
        )

    @staticmethod
    def together(parts: Sequence[_Parts]) -> _Parts:
        """Add up the parts of objects."""
        if len(parts) == 1:
            return parts[0]
        ids, sizes, lower, upper, first, second, total, largest = (
            np.concatenate([getattr(part, name) for part in parts]) for name in _Parts.__slots__
        )
        order = np.argsort(ids, kind="stable")
        ids, sizes, lower, first, second = (one[order] for one in (ids, sizes, lower, first, second))
        begins = np.flatnonzero(np.diff(ids, prepend=-1))
        least = np.minimum.reduceat(lower, begins)
        # From the corner of the part to that of the whole.
        shift = (lower - np.repeat(least, np.diff(begins, append=len(ids)), axis=0)).astype(np.float64)
        for k, (i, j) in enumerate(_axis_pairs(lower.shape[1])):
            second[:, k] += shift[:, i] * first[:, j] + shift[:, j] * first[:, i] + sizes * shift[:, i] * shift[:, j]
        first += sizes[:, None] * shift
        with np.errstate(invalid="ignore"):
            brightest = np.maximum.reduceat(largest[order], begins)
        return _Parts(
            ids[begins],
            np.add.reduceat(sizes, begins),
            least,
            np.maximum.reduceat(upper[order], begins),
            np.add.reduceat(first, begins),
            np.add.reduceat(second, begins),
            np.add.reduceat(total[order], begins),
            brightest,
        )


def _axis_pairs(ndim: int) -> list[tuple[int, int]]:
    return list(itertools.combinations_with_replacement(range(ndim), 2))


def _columns(sums: Sequence[NDArray[Any]], n: int) -> NDArray[np.float64]:
    return np.stack(sums, axis=1) if n else np.zeros((0, len(sums)))


def _meetings(labels: NDArray[Any], shape: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """Pairs of ids (n, 2), the smaller first, that meet along each axis in a part with one more pixel behind it."""
    for axis in range(labels.ndim):
        inner = labels[tuple(slice(0, None if other == axis else n) for other, n in enumerate(shape))]
        one, other = (inner[(slice(None),) * axis + (side,)] for side in (slice(None, -1), slice(1, None)))
        meets = (one != other) & (one > 0) & (other > 0)
        pair = np.sort(np.stack([one[meets], other[meets]], axis=1).astype(np.int64), axis=1)
        yield _distinct([pair])


def _distinct(pairs: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Each pair once."""
    every = np.concatenate(pairs)
    ids, rows = np.unique(every, return_inverse=True)
    keys = np.unique(rows.reshape(-1, 2) @ np.array([len(ids), 1]))
    found: NDArray[np.int64] = ids[np.stack(np.divmod(keys, max(len(ids), 1)), axis=1)]
    return found


def _compact(parts: list[Part], together: Callable[[Sequence[Part]], Part]) -> list[Part]:
    """Add up parts now and then: rarely enough that it costs little, often enough that they take little memory."""
    n = sum(map(len, parts[1:]))
    return [together(parts)] if n > max(PENDING, len(parts[0])) else parts
