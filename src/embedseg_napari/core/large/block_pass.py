"""The network over one window of an image, with outputs as if it had seen the whole image at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.freed_memory import free_afterwards
from embedseg_napari.core.inference.network_pass import SMALLEST_TILE, decode_in_place, less_after
from embedseg_napari.core.inference.test_time_augmentation import views
from embedseg_napari.core.inference.tiling import pad
from embedseg_napari.core.large.grid import Box, cut_tiles
from embedseg_napari.core.networks.network import device_of, raw_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.inference.openvino_engine import CompiledNetwork
    from embedseg_napari.core.large.grid import CutTile
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.networks.network import EmbeddingNetwork


@dataclass(frozen=True, slots=True)
class BlockPass:
    """How the network is run over windows of one image.

    Parameters
    ----------
    network : EmbeddingNetwork
        On the device it is used on.
    config : ModelConfig
        How the output is read.
    shape : tuple of int
        Spatial shape of the image.
    tile : tuple of int
        Largest tile, multiples of 8.
    margin : tuple of int
        Pixels at a tile's ends whose outputs are thrown away, unless the image ends there; multiples of 8.
    precision : str
        ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    tta : bool
        Whether to average over flipped and turned views.
    compiled : CompiledNetwork, optional
        Runs in place of the network, which stays on the CPU.
    """

    network: EmbeddingNetwork
    config: ModelConfig
    shape: tuple[int, ...]
    tile: tuple[int, ...]
    margin: tuple[int, ...]
    precision: str
    tta: bool = False
    compiled: CompiledNetwork | None = None

    def seen(self, window: Box) -> Box:
        """The part of the image that the maps of a window are made from."""
        return window.grown(self.margin, self.shape)

    def run(
        self,
        values: NDArray[np.float32],
        window: Box,
        should_stop: Callable[[], bool],
    ) -> EmbeddingMaps:
        """Compute the maps of a window; where memory runs out, once more with smaller tiles.

        Parameters
        ----------
        values : ndarray, shape (C, (Z,) Y, X)
            Normalised values of the part that `seen` names.
        window : Box
            Starts at multiples of 8.
        should_stop : callable
            Looked at before every run of the network.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        ComputeError
            If memory does not suffice for small tiles either, or the device fails.
        """
        plan = self
        while True:
            try:
                return plan._compute(values, window, should_stop)
            except (RuntimeError, MemoryError) as error:
                less = plan.with_less_memory()
                plan = less_after(error, device_of(self.network), less, "take fewer workers or smaller blocks")
            torch.cuda.empty_cache()

    def with_less_memory(self) -> BlockPass | None:
        """The same with half as much between the margins, or None if that is little already."""
        useful = [side - 2 * m for side, m in zip(self.tile, self.margin, strict=True)]
        longest = useful.index(max(useful))
        if useful[longest] <= SMALLEST_TILE:
            return None
        tile = list(self.tile)
        tile[longest] -= useful[longest] // 2 // 8 * 8
        return replace(self, tile=tuple(tile))

    def _compute(self, values: NDArray[np.float32], window: Box, should_stop: Callable[[], bool]) -> EmbeddingMaps:
        raw = np.empty((2 * self.config.ndim + 1, *window.shape), np.float32)
        seen = self.seen(window)
        for tile in cut_tiles(window, self.shape, self.tile, self.margin):
            # Torch reorders the values, of which those of a pixel lie side by side, many times as fast as NumPy.
            place = torch.from_numpy(raw[(slice(None), *tile.used.within(window))])
            place.copy_(self._outputs(values, seen, tile, should_stop))
        if self.compiled is not None:
            # The next block begins soon; taking it anew would be a tenth of the work in 8-bit integers.
            free_afterwards(self.compiled)
        return decode_in_place(raw, self.config.grid_spacing)

    def _outputs(
        self, values: NDArray[np.float32], seen: Box, tile: CutTile, should_stop: Callable[[], bool]
    ) -> torch.Tensor:
        """Raw output of the used part of a tile."""
        inside = tile.seen.grown((0,) * len(self.shape), self.shape).within(seen)
        image = pad(values[(slice(None), *inside)], tile.seen.shape)
        batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(device_of(self.network))
        every = views(self.config.grid_spacing)
        every = every if self.tta else every[:1]
        used = tile.used.within(tile.seen)
        total: torch.Tensor | None = None
        with torch.inference_mode():
            for view in every:
                if should_stop():
                    raise Stopped("The prediction was stopped.")
                wanted = view.part(used, tile.seen.shape)
                output = view.undo(self._output(view.apply(batch), wanted, should_stop))
                total = output if total is None else total.add_(output)
            assert total is not None
            return total[0] if len(every) == 1 else total[0] / len(every)

    def _output(self, batch: torch.Tensor, wanted: Sequence[slice], should_stop: Callable[[], bool]) -> torch.Tensor:
        if self.compiled is not None:
            return self.compiled(batch, should_stop)[(slice(None), slice(None), *wanted)]
        return raw_output(self.network, batch, self.precision, wanted)
