"""What the network says about an image, in pixels of that image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
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
    def ndim(self) -> int:
        """Number of spatial axes."""
        return int(self.seed_map.ndim)

    def count_missing(self) -> int:
        """Count the pixels that can be of no object because a map holds no number there."""
        is_known = np.isfinite(self.seed_map)
        for offset, margin in zip(self.offsets, self.margins, strict=True):
            is_known &= np.isfinite(offset) & ~np.isnan(margin)
        return int(is_known.size - np.count_nonzero(is_known))


def missing_words(n: int) -> str:
    """A sentence on pixels at which maps hold no number; empty where there are none."""
    return f"The maps hold no number (NaN) at {count(n, 'pixel')}, where there can be no object." if n else ""
