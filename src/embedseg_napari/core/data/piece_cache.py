"""Images on the disk whose pieces stay in memory once they were read, up to a number of bytes."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.wording import memory_words, shape_words

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.files.lazy_image import LazyImage

LEAST_SIDE = {"Y": 128, "X": 128, "Z": 8}
"""Pixels of a piece along these axes at least: lines and strips that lie by themselves are kept several at a time."""
PIECES = 16
"""Pieces that must fit into the memory."""
OPEN = 64
"""Files that are kept open: a system allows about a thousand."""


class PieceCache:
    """Pieces of images, kept up to a number of bytes; what was not used for longest goes first.

    Threads may read at the same time.

    Parameters
    ----------
    limit : int
        Bytes of the pixels that are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_bytes = 0
        self._pieces: OrderedDict[tuple[Any, ...], np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._open = lru_cache(maxsize=OPEN)(open_image)

    def of(self, image: LazyImage) -> CachedImage:
        """The same image, read through this cache.

        Raises
        ------
        DataError
            If it is stored in pieces of which only few fit into the memory.
        """
        piece = _piece(image)
        n_bytes = math.prod(piece) * image.dtype.itemsize
        if PIECES * n_bytes > self.limit:
            raise DataError(
                f"{image.path}: is stored in pieces of {shape_words(piece)} pixels ({memory_words(n_bytes)}), too "
                f"large to be read from the disk with a memory of {memory_words(self.limit)}; allow more memory, or "
                "store it in smaller chunks."
            )
        return CachedImage(
            self, image.path, image.level, image.stored_axes, image.axes, image.shape, image.dtype, piece
        )

    def piece(self, image: CachedImage, place: tuple[int, ...]) -> np.ndarray:
        """A piece of an image by its place in the grid of pieces; from the disk where it is not kept."""
        key = (image.path, image.level, place)
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        lazy = self._open(image.path, image.level, image.stored_axes)
        sides = zip(place, image.piece, image.shape, strict=True)
        # A copy where it is a view: that of a file would keep nothing in memory.
        found = np.array(lazy[tuple(slice(at * side, min((at + 1) * side, n)) for at, side, n in sides)])
        with self._lock:
            if key not in self._pieces:
                self._pieces[key] = found
                self.n_bytes += found.nbytes
            while self.n_bytes > self.limit:
                self.n_bytes -= self._pieces.popitem(last=False)[1].nbytes
        return found

    def forget(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._pieces.clear()
            self.n_bytes = 0


@dataclass(frozen=True, slots=True, eq=False)
class CachedImage:
    """An image that is read through a cache, as an array by shape, type and slices."""

    cache: PieceCache = field(repr=False)
    path: Path
    level: int
    stored_axes: str
    axes: str
    """One letter per axis."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    piece: tuple[int, ...]
    """Pixels along each axis that are kept together."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: tuple[int | slice, ...]) -> np.ndarray:
        """Read a part, by a slice without steps or a whole number for every axis.

        Raises
        ------
        DataError
            If the file is damaged there.
        """
        ends = [
            (one, one + 1) if not isinstance(one, slice) else one.indices(n)[:2]
            for one, n in zip(key, self.shape, strict=True)
        ]
        out = np.empty([high - low for low, high in ends], self.dtype)
        grid = [range(low // side, -(-high // side)) for (low, high), side in zip(ends, self.piece, strict=True)]
        for place in itertools.product(*grid):
            piece = self.cache.piece(self, place)
            here, there = [], []
            for at, side, n, (low, high) in zip(place, self.piece, piece.shape, ends, strict=True):
                first, last = max(low, at * side), min(high, at * side + n)
                here.append(slice(first - low, last - low))
                there.append(slice(first - at * side, last - at * side))
            out[tuple(here)] = piece[tuple(there)]
        return out[tuple(slice(None) if isinstance(one, slice) else 0 for one in key)]


def _piece(image: LazyImage) -> tuple[int, ...]:
    """Pixels that are kept together: what lies together in the file, or several of these."""
    # Of a file that is mapped into memory any part can be taken.
    chunks = (1,) * image.ndim if isinstance(image.array, np.ndarray) else image.chunks
    sides = []
    for letter, chunk, n in zip(image.axes, chunks, image.shape, strict=True):
        sides.append(min(n, chunk * -(-LEAST_SIDE.get(letter, 1) // chunk)))
    return tuple(sides)
