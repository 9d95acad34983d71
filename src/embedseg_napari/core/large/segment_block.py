"""One block: read, see, collect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from embedseg_napari.core.data.normalization import Prepared
from embedseg_napari.core.data.spoiled_pixels import mend
from embedseg_napari.core.freed_memory import give_back_freed_memory
from embedseg_napari.core.inference.openvino_engine import engine_begun
from embedseg_napari.core.large.block_objects import collect_objects, empty_result
from embedseg_napari.core.large.block_pass import BlockPass

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig
    from embedseg_napari.core.large.block_objects import BlockResult
    from embedseg_napari.core.large.grid import Box
    from embedseg_napari.core.large.run_folder import RunRecord
    from embedseg_napari.core.large.whole_image import WholeImage
    from embedseg_napari.core.networks.network import Trained

WIDENED = 2
"""Times that the halo is doubled where an object of the core reaches its end."""


class FrameReader(Protocol):
    """An image of which parts are read."""

    def read(self, frame: int, box: Box) -> np.ndarray:
        """A part of a frame, shape (C, (Z,) Y, X); the box counts from the region's first pixel."""


def segment_block(
    image: FrameReader, model: Trained, record: RunRecord, number: int, should_stop: Callable[[], bool]
) -> BlockResult:
    """Find the objects of one block.

    Where an object of its core reaches the end of the halo, the block is done again with a wider one.

    Parameters
    ----------
    image : FrameReader
        The region of the image that is segmented.
    model : Trained
        Network and configuration.
    record : RunRecord
        What all blocks have in common.
    number : int
        Which block.
    should_stop : callable
        Looked at between tiles and while objects are collected.

    Raises
    ------
    EmbedSegError
        If the image cannot be read, memory does not suffice, or the engine of the run cannot be had.
    Stopped
        If `should_stop` returned True.
    """
    grid, whole = record.grid, record.frames[record.grid.block(number).frame].whole
    config, precision = model.config, record.precision
    compiled = engine_begun(record.engine, model.network, config.n_channels, precision, config.calibration)
    plan = BlockPass(
        model.network, config, grid.shape, record.tile, record.margin, precision, record.settings.tta, compiled
    )
    halo = grid.halo
    for attempt in range(WIDENED + 1):
        block = grid.block(number)
        block = replace(block, window=block.core.grown(halo, grid.shape))
        seen = plan.seen(block.window)
        pixels = image.read(block.frame, seen)
        if (
            attempt == 0
            and record.skips_background
            and whole.is_background(pixels[(slice(None), *block.window.within(seen))])
        ):
            return empty_result(block)
        values = scaled(pixels, whole, config.normalization)
        del pixels
        maps = plan.run(values, block.window, should_stop)
        del values
        give_back_freed_memory()
        result = collect_objects(maps, grid, block, record.settings, should_stop)
        del maps
        give_back_freed_memory()
        if not result.rows["is_cut"].any() or block.window.shape == grid.shape:
            break
        halo = tuple(2 * n for n in halo)
    return result


def scaled(pixels: NDArray[Any], whole: WholeImage, config: NormalizationConfig) -> NDArray[np.float32]:
    """A part of an image, (C, (Z,) Y, X), as the network sees it: numbers that are none are filled in.

    What is far from all around it is not looked for: it is only known by the whole image.
    """
    return Prepared(mend(pixels, config.low, config.high, numbers_only=True), whole.scaling).values()
