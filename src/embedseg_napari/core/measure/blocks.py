"""Label images and their images, read frame by frame, and block by block where they are not in memory."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import read_part, spatial_axes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.named_axes import pixels_of
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.measure.sums import Sums

MEMORY = 256 << 20
"""Bytes that a block of labels and image takes at most, unless the pieces in which they are stored are larger."""
LARGEST_OBJECT = 1 << 30
"""Pixels of the box around an object that is looked at by itself."""

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Blocks:
    """How labels, and the image that they belong to, are read.

    Parameters
    ----------
    labels : array of int
        Anything with a shape and a type that can be sliced.
    axes : str
        Its axes, (T)(Z)YX in any order.
    image : array, optional
        Its image, of the same size.
    image_axes : str
        Its axes, the same and perhaps channels.

    Raises
    ------
    DataError
        If there is no pixel.
    """

    labels: Any
    axes: str
    image: Any = None
    image_axes: str = ""

    def __post_init__(self) -> None:
        if 0 in self.labels.shape:
            raise DataError(f"Labels of shape {shape_words(self.labels.shape)} have no pixels.")

    @property
    def n_frames(self) -> int:
        """Time points."""
        return int(self.labels.shape[self.axes.index("T")]) if "T" in self.axes else 1

    @property
    def n_channels(self) -> int:
        """Channels of the image."""
        return 0 if self.image is None else self._along(self.image, self.image_axes, "C", 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels of a frame along (z, y, x)."""
        return tuple(int(self.labels.shape[self.axes.index(letter)]) for letter in spatial_axes(self.axes))

    @property
    def is_lazy(self) -> bool:
        """Whether pixels are read when they are looked at."""
        return any(is_lazy(array) for array, _ in self._arrays)

    @property
    def n_bytes(self) -> int:
        """Bytes of a block of what is not in memory."""
        lazy = [(array, axes) for array, axes in self._arrays if is_lazy(array)]
        return math.prod(self.sides) * sum(self._per_pixel(array, axes) for array, axes in lazy)

    @property
    def _arrays(self) -> list[tuple[Any, str]]:
        both = [(self.labels, self.axes), (self.image, self.image_axes)]
        return both if self.image is not None else both[:1]

    def _per_pixel(self, array: Any, axes: str) -> int:
        return int(np.dtype(array.dtype).itemsize) * self._along(array, axes, "C", 1)

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Pixels of a block along (z, y, x), such that little is read twice; the whole frame where it is in memory."""
        pixel, stored = 0, []
        for array, axes in self._arrays:
            if is_lazy(array):
                chunks, n_bytes = dict(zip(axes, _chunks(array), strict=True)), self._per_pixel(array, axes)
                pixel += n_bytes
                stored.append(([chunks[letter] for letter in spatial_axes(axes)], n_bytes, array is self.labels))
        if not stored:
            return self.shape
        sides = tuple(min(n, *(chunks[i] for chunks, *_ in stored)) for i, n in enumerate(self.shape))
        while True:
            larger = [
                (*sides[:i], min(2 * side, n), *sides[i + 1 :])
                for i, (side, n) in enumerate(zip(sides, self.shape, strict=True))
                if side < n
            ]
            larger = [one for one in larger if math.prod(one) * pixel <= MEMORY]
            if not larger:
                return sides
            sides = min(larger, key=lambda one: _read_twice(one, self.shape, stored))

    @property
    def n_blocks(self) -> int:
        """Blocks of a frame."""
        return math.prod(-(-n // side) for n, side in zip(self.shape, self.sides, strict=True))

    def boxes(self) -> Iterator[Box]:
        """The blocks of a frame."""
        cuts = [
            [slice(first, min(first + side, n)) for first in range(0, n, side)]
            for n, side in zip(self.shape, self.sides, strict=True)
        ]
        yield from itertools.product(*cuts)

    def read(self, frame: int, box: Box, *, beyond: int = 0) -> NDArray[Any]:
        """Labels of a box, with some pixels more behind it as far as the image goes.

        Raises
        ------
        DataError
            If they are no numbers of objects.
        """
        part = read_part(self.labels, self.axes, self._key(frame, box, beyond))
        if is_lazy(self.labels):
            require_kept_ids(part, "The label image")
        return part.view(np.uint8) if part.dtype == bool else part

    def read_channels(self, frame: int, box: Box) -> Sequence[NDArray[Any]]:
        """The channels of the image there."""
        if self.image is None:
            return ()
        part = read_part(self.image, self.image_axes, self._key(frame, box))
        return list(part) if "C" in self.image_axes else [part]

    def objects(self, sums: Sums) -> Iterator[tuple[NDArray[np.int64], Box]]:
        """Boxes that hold some objects whole, such as are near each other: rows of these, and the box.

        Raises
        ------
        DataError
            If an object is larger than what can be read at once.
        """
        if not len(sums.ids):
            return
        if not is_lazy(self.labels):
            yield np.arange(len(sums.ids)), tuple(slice(0, n) for n in self.shape)
            return
        counts = [-(-n // side) for n, side in zip(self.shape, self.sides, strict=True)]
        block = np.ravel_multi_index(tuple((sums.lower // self.sides).T), counts)
        order = np.argsort(block, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
            box = _around(sums, rows)
            alone = _size(box) > 2 ** len(self.sides) * math.prod(self.sides)
            for some in rows[:, None] if alone and len(rows) > 1 else [rows]:
                box = _around(sums, some)
                if _size(box) > LARGEST_OBJECT:
                    words = shape_words([side.stop - side.start for side in box])
                    raise DataError(f"Object {sums.ids[some[0]]} spans {words} pixels, too many to be looked at whole.")
                yield some, box

    def _key(self, frame: int, box: Box, beyond: int = 0) -> dict[str, int | slice]:
        space = spatial_axes(self.axes)
        key: dict[str, int | slice] = {
            letter: slice(side.start, min(side.stop + beyond, n))
            for letter, side, n in zip(space, box, self.shape, strict=True)
        }
        return key | {"T": frame}

    @staticmethod
    def _along(array: Any, axes: str, letter: str, otherwise: int) -> int:
        return int(array.shape[axes.index(letter)]) if letter in axes else otherwise


def is_lazy(array: Any) -> bool:
    """Whether an array reads its pixels when they are asked for."""
    return not isinstance(array, np.ndarray)


def as_array(values: Any) -> Any:
    """What can be sliced as it is, and everything else as an array in memory."""
    values = pixels_of(values)
    can_be_read = all(hasattr(values, name) for name in ("shape", "dtype", "__getitem__"))
    return values if can_be_read else np.asarray(values)


def _chunks(array: Any) -> tuple[int, ...]:
    """Pixels that are read at once, per axis."""
    found = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    return tuple(found) if found else (*(1,) * (len(array.shape) - 1), int(array.shape[-1]))


def _read_twice(sides: Sequence[int], shape: Sequence[int], stored: Sequence[tuple[Sequence[int], int, bool]]) -> float:
    """Bytes that are read for each pixel: a piece that reaches into several blocks is read for each of them."""
    total = 0.0
    for chunks, n_bytes, is_labels in stored:
        # On average; of labels a pixel behind the block is read, too.
        total += n_bytes * math.prod(
            1 if side == n else (side + chunk - (0 if is_labels else math.gcd(side, chunk))) / side
            for side, n, chunk in zip(sides, shape, chunks, strict=True)
        )
    return total


def _around(sums: Sums, rows: NDArray[np.int64]) -> Box:
    low, high = sums.lower[rows].min(0).tolist(), sums.upper[rows].max(0).tolist()
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _size(box: Box) -> int:
    return math.prod(side.stop - side.start for side in box)
