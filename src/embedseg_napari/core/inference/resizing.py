"""From the pixels the network works on to those of the image, where the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


LEAST_WEIGHT = np.float32(1e-3)
"""Weight of offsets and margins where the seed map is 0."""


def resize_maps(maps: EmbeddingMaps, shape: Sequence[int]) -> EmbeddingMaps:
    """Resample maps to a spatial shape; offsets and margins are measured in the new pixels.

    Pixel centres correspond as x_new + 0.5 = (x_old + 0.5) * n_new / n_old, so an embedding that was one point before
    is one point after.
    """
    from skimage.transform import resize

    def resample(channel: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = resize(channel, shape, order=1, anti_aliasing=False, mode="edge")
        return out.astype(np.float32, copy=False)

    # What background points to means nothing. Without these weights it would move the pixels at an outline out of
    # their object, and outlines would come out frayed.
    weights = np.maximum(maps.seed_map, LEAST_WEIGHT)
    total = resample(weights)
    factors = [np.float32(new / old) for new, old in zip(shape, maps.seed_map.shape, strict=True)]

    def weighed(channels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([resample(c * weights) / total * factor for c, factor in zip(channels, factors, strict=True)])

    return EmbeddingMaps(weighed(maps.offsets), weighed(maps.margins), resample(maps.seed_map))
