"""Parts of an image as a network sees them that is handed the whole: its brightness is measured once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.data.normalization import prepare
from embedseg_napari.core.data.spoiled_pixels import SAMPLE
from embedseg_napari.core.files.region import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig
    from embedseg_napari.core.files.region import Region

    Reader = Callable[[Part], NDArray[np.float32]]


class WholeBrightness:
    """Normalises parts of frames, and remembers what was measured of the last frame."""

    def __init__(self) -> None:
        self._last: tuple[Any, tuple[Any, ...], Reader] | None = None
        """Array, what else tells frames and settings apart, and what reads a part."""

    def read(self, region: Region, frame: int, part: Part, config: NormalizationConfig) -> NDArray[np.float32]:
        """Normalised values of a part of a frame, shape (C, (Z,) Y, X).

        Parameters
        ----------
        region : Region
            An image, which may be lazy; all of it counts.
        frame : int
            Time point, 0 in an image without.
        part : Part
            Pixels of the frame.
        config : NormalizationConfig
            Of the network.
        """
        which = (region.axes, region.channel, frame, config)
        last = self._last
        if last is None or last[0] is not region.array or last[1] != which:
            self._last = last = (region.array, which, _measured(region, frame, config))
        return last[2](part)


def _measured(region: Region, frame: int, config: NormalizationConfig) -> Reader:
    """What normalises parts of a frame; of one beyond what is measured pixel by pixel, as in a run over blocks."""
    from embedseg_napari.core.large.segment_block import scaled
    from embedseg_napari.core.large.whole_image import measure_whole

    if math.prod(region.shape) <= SAMPLE:
        ready = prepare(region.read(frame, Part((0,) * len(region.shape), region.shape)), config)
        return lambda part: ready.values(tuple(slice(a, b) for a, b in zip(part.start, part.stop, strict=True)))
    whole, _ = measure_whole(lambda box: region.read(frame, box), region.shape, config)
    return lambda part: scaled(region.read(frame, part), whole, config)
