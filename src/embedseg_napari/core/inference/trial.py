"""A model tried on a part of an image, at some scale."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.device import supports_precision
from embedseg_napari.core.inference.network_pass import NetworkPass
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.inference.tiling import resolve_tile
from embedseg_napari.core.networks.network import device_of
from embedseg_napari.core.runs import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.data.normalization import Prepared
    from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps
    from embedseg_napari.core.networks.network import Trained


MOST_FRAMES = 16
"""Of so many frames of a time-lapse the busiest is chosen."""
SURE, DOUBTFUL = 0.9, (0.2, 0.8)
"""Seediness of pixels that are clearly object, and of those in doubt."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model made of a part of an image."""

    maps: EmbeddingMaps | ForegroundMaps
    found: Segmentation

    @classmethod
    def of(
        cls, model: Trained, settings: PredictionConfig, part: Prepared, scale: float, should_stop: Callable[[], bool]
    ) -> Trial:
        """Segment a part at a scale, whatever that of the settings."""
        config, precision = model.config, settings.precision
        tile, overlap = resolve_tile(config.ndim, None, None, config.architecture)
        if not supports_precision(device_of(model.network), precision):
            precision = "float32"
        plan = NetworkPass(model.network, config, part.shape, tile, overlap, precision, False, scale)
        maps = drain(plan.run(part, 0, should_stop))
        # A part has borders that the image does not have, and at another scale other sizes.
        settings = settings.at_scale(scale, config.ndim).changed({"drop_border_objects": False, "max_object_size": 0})
        return cls(maps, Segmentation.collect(maps, settings, should_stop))


def certainty(seed_map: NDArray[np.float32], n_pixels: int | None = None) -> float:
    """Part of the pixels that are clearly object, among those and the pixels in doubt; 0 where there are none.

    Parameters
    ----------
    seed_map : ndarray
        Seediness, from 0 to 1, of all pixels or of those above `DOUBTFUL[0]`.
    n_pixels : int, optional
        How many the image has, where these are not all.
    """
    n_sure, n_doubtful = (seed_map > SURE).sum(), ((seed_map > DOUBTFUL[0]) & (seed_map < DOUBTFUL[1])).sum()
    return float(n_sure / (n_sure + n_doubtful + max(1.0, 1e-3 * (n_pixels or seed_map.size))))


def busiest(image: Prepared, most: Sequence[int]) -> tuple[slice, ...]:
    """Where intensities differ most, once normalised; at most so many pixels per axis."""
    sides = [min(n, side) for n, side in zip(image.shape, most, strict=True)]
    starts = [
        sorted({*range(0, n - side + 1, max(1, side // 2)), n - side})
        for n, side in zip(image.shape, sides, strict=True)
    ]
    windows = [
        tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*starts)
    ]

    def spread(window: tuple[slice, ...]) -> float:
        # Every third pixel is enough.
        values = image.values(tuple(slice(side.start, side.stop, 3) for side in window))
        return float(values.std())

    return max(windows, key=spread)


def busiest_frame(frames: Any) -> int:
    """The frame of a time-lapse (T, ...) in which intensities differ most: a colony begins with a cell or two.

    A few frames of a long one are enough; they are read.
    """
    at = sorted({round(t) for t in np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES))})

    def spread(t: int) -> float:
        values = np.asarray(frames[t])[..., ::3, ::3]
        values = values[np.isfinite(values)].astype(float)
        # A pixel that glares counts no more than another.
        return float(np.abs(values - np.median(values)).mean()) if values.size else 0.0

    return max(at, key=spread) if len(at) > 1 else 0
