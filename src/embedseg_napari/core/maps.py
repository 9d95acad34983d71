"""What the network says about an image, in pixels of that image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class MapsError(DataError, ValueError):
    """Arrays that are no maps of one image."""


@dataclass(frozen=True, slots=True)
class EmbeddingMaps:
    """Offsets, margins and seed map of one image.

    Parameters
    ----------
    offsets : ndarray, shape (ndim, (Z,) Y, X), float32
        Where each pixel points, in pixels from itself, axes (z, y, x).
    margins : ndarray, shape (ndim, (Z,) Y, X), float32
        Semi-axes in pixels of the ellipse phi = 0.5 that an object seeded at the pixel would have, axes (z, y, x).
    seed_map : ndarray, shape ((Z,) Y, X), float32
        Seediness, 0 to 1.

    Raises
    ------
    MapsError
        If they are no arrays, or their shapes do not belong together; a ValueError, too.
    """

    offsets: NDArray[np.float32]
    margins: NDArray[np.float32]
    seed_map: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not all(hasattr(array, "shape") for array in (self.offsets, self.margins, self.seed_map)):
            raise MapsError("EmbeddingMaps takes three arrays: offsets, margins and seed_map.")
        shape = (self.seed_map.ndim, *self.seed_map.shape)
        if self.offsets.shape != shape or self.margins.shape != shape:
            raise MapsError(
                f"offsets {self.offsets.shape} and margins {self.margins.shape} must have shape {shape} "
                f"for a seed map of shape {self.seed_map.shape}."
            )

    def __repr__(self) -> str:
        return f"EmbeddingMaps({shape_words(self.seed_map.shape)} pixels)"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image, ((Z,) Y, X)."""
        return tuple(self.seed_map.shape)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return int(self.seed_map.ndim)

    def count_missing(self) -> int:
        """Count the pixels that can be of no object because a map holds no number there."""
        is_known = np.isfinite(self.seed_map)
        for offset, margin in zip(self.offsets, self.margins, strict=True):
            is_known &= np.isfinite(offset) & ~np.isnan(margin)
        return int(is_known.size - np.count_nonzero(is_known))

    def above(self, seediness: float, start: Sequence[int], shape: Sequence[int]) -> ForegroundMaps:
        """The maps at the pixels with more than this seediness.

        Parameters
        ----------
        seediness : float
            From 0 to 1.
        start, shape : sequence of int
            Where these maps lie in an image, and its shape.
        """
        is_above = self.seed_map > np.float32(seediness)
        places = tuple(place + first for place, first in zip(np.nonzero(is_above), start, strict=True))
        kind = np.uint32 if math.prod(shape) <= 1 << 32 else np.int64
        pixels = np.ravel_multi_index(places, tuple(shape)).astype(kind)
        return ForegroundMaps(
            tuple(shape),
            pixels,
            self.offsets[:, is_above],
            self.margins[:, is_above],
            self.seed_map[is_above],
            self.count_missing(),
        )


@dataclass(frozen=True, slots=True)
class ForegroundMaps:
    """The maps of one image at those of its pixels that may be of objects, in a fraction of the memory.

    Parameters
    ----------
    shape : tuple of int
        Of the image, ((Z,) Y, X).
    pixels : ndarray of int, shape (n,)
        Flat indices in the image, rising.
    offsets, margins : ndarray, shape (ndim, n), float32
        As those of EmbeddingMaps.
    seed_map : ndarray, shape (n,), float32
        Likewise.
    n_missing : int
        Pixels of the whole image at which maps hold no number.
    """

    shape: tuple[int, ...]
    pixels: NDArray[Any]
    offsets: NDArray[np.float32]
    margins: NDArray[np.float32]
    seed_map: NDArray[np.float32]
    n_missing: int = 0

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    def count_missing(self) -> int:
        """As that of EmbeddingMaps."""
        return self.n_missing

    @classmethod
    def joined(cls, parts: list[ForegroundMaps]) -> ForegroundMaps:
        """Those of an image from those of parts that share no pixel; empties the list."""
        n_missing, shape = sum(part.n_missing for part in parts), parts[0].shape
        columns = [[part.pixels, *part.offsets, *part.margins, part.seed_map] for part in parts]
        parts.clear()
        # One after the other: each stands in memory twice while it is put together.
        pixels = np.concatenate([column.pop(0) for column in columns])
        order = np.argsort(pixels, kind="stable")
        pixels = pixels[order]
        ndim = len(shape)
        maps = np.empty((2 * ndim + 1, len(pixels)), np.float32)
        for out in maps:
            np.take(np.concatenate([column.pop(0) for column in columns]), order, out=out)
        return cls(shape, pixels, maps[:ndim], maps[ndim : 2 * ndim], maps[2 * ndim], n_missing)


def missing_words(n: int) -> str:
    """A sentence on pixels at which maps hold no number; empty where there are none."""
    return f"The maps hold no number (NaN) at {count(n, 'pixel')}, where there can be no object." if n else ""
