"""What is measured once for a whole image, so that all its blocks are seen in the same way."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.normalization import Scaling, measure_scaling
from embedseg_napari.core.data.percentiles import percentiles
from embedseg_napari.core.data.spoiled_pixels import SAMPLE, mend, sample
from embedseg_napari.core.large.grid import Box
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig

SPOTS = {2: 256, 3: 64}
"""Pixels along each axis of the parts of a large image that are measured, by its number of axes; together as many as
are looked at of an image in memory."""
FLAT = 0.05
"""Parts of the image's range within which a block is nothing but background."""
GROUP = 4
"""Pixels each way in a plane over which is averaged first: noise is no object."""


@dataclass(frozen=True, slots=True)
class WholeImage:
    """How all blocks of a frame are brought to one scale.

    Parameters
    ----------
    scaling : Scaling
        From the brightness of the whole frame.
    contrast : ndarray of float64, shape (C,)
        Range of each channel.
    """

    scaling: Scaling
    contrast: NDArray[np.float64]

    def is_background(self, part: np.ndarray) -> bool:
        """Whether a part of the image, shape (C, (Z,) Y, X), shows nothing."""
        for channel, contrast in zip(part, self.contrast, strict=True):
            sides = [n // GROUP * GROUP for n in channel.shape[-2:]]
            if 0 in sides:
                calm = channel.astype(np.float64)
            else:
                cut = channel[..., : sides[0], : sides[1]]
                groups = cut.reshape(*channel.shape[:-2], sides[0] // GROUP, GROUP, sides[1] // GROUP, GROUP)
                calm = groups.mean(axis=(-3, -1), dtype=np.float64)
            finite = calm[np.isfinite(calm)]
            if len(finite) and float(finite.max()) - float(finite.min()) > FLAT * contrast:
                return False
        return True


def measure_whole(
    read: Callable[[Box], np.ndarray], shape: tuple[int, ...], config: NormalizationConfig
) -> tuple[WholeImage, str]:
    """Measure the brightness of a frame, and say from what.

    Parameters
    ----------
    read : callable
        Gives a part of the frame, shape (C, (Z,) Y, X).
    shape : tuple of int
        Spatial shape of the frame.
    config : NormalizationConfig
        As for an image in memory.
    """
    if math.prod(shape) <= SAMPLE:
        image = read(Box((0,) * len(shape), shape))
        mended = mend(image, config.low, config.high, numbers_only=config.clip is None)
        image, outside = mended.image, mended.outside
        words = "Brightness is measured on the whole image."
    else:
        boxes = _spots(shape)
        parts = [read(box) for box in boxes]
        image = np.stack(parts, 1)
        # What was never written, or lies beyond the slide, is no part of the image's range.
        is_empty = np.array([part.min() == part.max() for part in parts])
        if is_empty.all():
            is_empty[:] = False
        outside = np.zeros(image.shape, bool)
        outside[:, is_empty] = True
        side = " x ".join(map(str, boxes[0].shape))
        words = f"Brightness is measured on {count(len(boxes), 'part')} of {side} pixels, spread over the whole image."
    contrast = []
    for c, channel in enumerate(image):
        values = (sample(channel) if outside is None else channel[~outside[c]]).ravel()
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        # No arithmetic is defined for yes and no.
        values = values.astype(np.uint8) if values.dtype == bool else values
        low, high = percentiles(values, [config.low, config.high]) if values.size else (0.0, 0.0)
        contrast.append(float(high) - float(low))
    return WholeImage(measure_scaling(image, config, outside), np.array(contrast)), words


def _spots(shape: tuple[int, ...]) -> list[Box]:
    """Boxes of one shape, spread evenly, that hold about as many pixels as a sample."""
    sides = [min(SPOTS[len(shape)], n) for n in shape]
    most = max(1, SAMPLE // math.prod(sides))
    # As many along each axis as its length allows, together no more than wanted.
    rooms = [n // side for n, side in zip(shape, sides, strict=True)]
    numbers = [1] * len(shape)
    while True:
        more = [a for a in range(len(shape)) if numbers[a] < rooms[a]]
        if not more:
            break
        axis = max(more, key=lambda a: rooms[a] / numbers[a])
        if math.prod(numbers) // numbers[axis] * (numbers[axis] + 1) > most:
            break
        numbers[axis] += 1
    starts = [
        [round((i + 0.5) * (n - side) / number) for i in range(number)]
        for n, side, number in zip(shape, sides, numbers, strict=True)
    ]
    return [Box(at, tuple(a + side for a, side in zip(at, sides, strict=True))) for at in itertools.product(*starts)]
