"""From the pixels the network works on to those of the image, where the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def resize_maps(maps: EmbeddingMaps, shape: Sequence[int]) -> EmbeddingMaps:
    """Resample maps to a spatial shape; offsets and margins are measured in the new pixels.

    Pixel centres correspond as x_new + 0.5 = (x_old + 0.5) * n_new / n_old, so an embedding that was one point before
    is one point after.
    """
    from skimage.transform import resize

    def resample(channel: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        out: NDArray[np.float32] = resize(channel, shape, order=1, anti_aliasing=False, mode="edge")
        return (out * np.float32(factor)).astype(np.float32, copy=False)

    factors = [new / old for new, old in zip(shape, maps.seed_map.shape, strict=True)]
    offsets = np.stack([resample(channel, factor) for channel, factor in zip(maps.offsets, factors, strict=True)])
    margins = np.stack([resample(channel, factor) for channel, factor in zip(maps.margins, factors, strict=True)])
    return EmbeddingMaps(offsets, margins, resample(maps.seed_map, 1.0))
