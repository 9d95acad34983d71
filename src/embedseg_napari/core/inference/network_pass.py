"""The network over one whole image: tiles, views and number formats; maps come out in pixels of that image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.data.normalization import Prepared
from embedseg_napari.core.data.resizing import resize_image, scaled_shape
from embedseg_napari.core.device import is_out_of_memory
from embedseg_napari.core.errors import ComputeError, Stopped
from embedseg_napari.core.events import Message, TileFinished
from embedseg_napari.core.freed_memory import free_afterwards, give_back_freed_memory
from embedseg_napari.core.inference.device_pass import embed_on_device, fits
from embedseg_napari.core.inference.resizing import resize_maps
from embedseg_napari.core.inference.test_time_augmentation import views
from embedseg_napari.core.inference.tiling import DEFAULT_TILE, Blender, pad, plan_tiles, resolve_tile, round_up
from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps
from embedseg_napari.core.networks.embedding import decode
from embedseg_napari.core.networks.network import device_of, raw_output
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.inference.openvino_engine import CompiledNetwork
    from embedseg_napari.core.inference.test_time_augmentation import View
    from embedseg_napari.core.inference.tiling import Tile
    from embedseg_napari.core.networks.network import EmbeddingNetwork

SMALLEST_TILE = 64
"""Below this side, smaller tiles no longer help against a full memory."""
P = TypeVar("P")
DECODE_PIXELS = 1 << 22
"""Pixels decoded at once: bounds the temporary memory."""


@dataclass(frozen=True, slots=True)
class NetworkPass:
    """How the network is run over images of one shape.

    Parameters
    ----------
    network : EmbeddingNetwork
        On the device it is used on.
    config : ModelConfig
        How images are normalised and the output is read.
    shape : tuple of int
        Spatial shape of the images.
    tile, overlap : tuple of int
        As `resolve_tile` returns them.
    precision : str
        ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    tta : bool
        Whether to average over flipped and turned views.
    scale : float
        Factor by which images are resized for the network, beyond the model's own.
    most_at_once : int, optional
        Most tiles that a GPU sees together; without it as many as hold no more pixels than one of the default size.
    compiled : CompiledNetwork, optional
        Runs in place of the network, which stays on the CPU.
    """

    network: EmbeddingNetwork
    config: ModelConfig
    shape: tuple[int, ...]
    tile: tuple[int, ...]
    overlap: tuple[int, ...]
    precision: str
    tta: bool
    scale: float = 1.0
    most_at_once: int | None = None
    compiled: CompiledNetwork | None = None

    @property
    def network_shape(self) -> tuple[int, ...]:
        """Spatial shape the network sees."""
        return scaled_shape(self.shape, self.config.reference_scale * self.scale)

    @property
    def tiles(self) -> list[Tile]:
        """The tiles of an image."""
        return plan_tiles(self.network_shape, self.tile, self.overlap)

    @property
    def views(self) -> list[View]:
        """The views of a tile."""
        every = views(self.config.grid_spacing)
        return every if self.tta else every[:1]

    @property
    def n_passes(self) -> int:
        """How often the network runs for one image."""
        return len(self.tiles) * len(self.views)

    @property
    def tiles_at_once(self) -> int:
        """Tiles that the network sees together: a CPU has enough to do with one."""
        if not devices.queues_work(device_of(self.network)):
            return 1
        tiles = self.tiles
        fitting = math.prod(DEFAULT_TILE[self.config.ndim]) // math.prod(tiles[0].shape)
        return max(1, min(fitting, len(tiles), self.most_at_once or fitting))

    def with_less_memory(self) -> tuple[NetworkPass, str] | None:
        """The same with fewer tiles at once, or half as large ones, and words for it; None if neither makes sense."""
        if self.tiles_at_once > 1:
            fewer = self.tiles_at_once // 2
            return replace(self, most_at_once=fewer), f"{count(fewer, 'tile')} at once"
        tile = [min(size, round_up(n)) for size, n in zip(self.tile, self.network_shape, strict=True)]
        longest = tile.index(max(tile))
        if tile[longest] <= SMALLEST_TILE:
            return None
        tile[longest] = round_up(tile[longest] // 2)
        sizes, overlap = resolve_tile(len(tile), tile, self.overlap)
        return replace(self, tile=sizes, overlap=overlap, most_at_once=1), f"smaller tiles of {_product(sizes)} pixels"

    @overload
    def run(
        self, image: Prepared, frame: int, should_stop: Callable[[], bool]
    ) -> Generator[Message | TileFinished, None, EmbeddingMaps]: ...

    @overload
    def run(
        self, image: Prepared, frame: int, should_stop: Callable[[], bool], above: float | None
    ) -> Generator[Message | TileFinished, None, EmbeddingMaps | ForegroundMaps]: ...

    def run(
        self, image: Prepared, frame: int, should_stop: Callable[[], bool], above: float | None = None
    ) -> Generator[Message | TileFinished, None, EmbeddingMaps | ForegroundMaps]:
        """Compute the maps of one image; where memory runs out, once more with fewer tiles at once, or smaller ones.

        Parameters
        ----------
        image : Prepared
            The image, ready for the network.
        frame : int
            Number that the events carry.
        should_stop : callable
            Looked at before every run of the network.
        above : float, optional
            Of an image in several tiles, the maps may be those of its pixels with more than this seediness alone.

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
                return (yield from plan._compute(image, frame, should_stop, above))
            except (RuntimeError, MemoryError) as error:
                less = plan.with_less_memory()
                plan, words = less_after(error, device_of(self.network), less, "segment parts of the image")
            # Only here the failed tile's tensors, which the error held, are free.
            torch.cuda.empty_cache()
            yield Message(f"Memory ran out; trying again with {words}.", "warning")

    def _compute(
        self, image: Prepared, frame: int, should_stop: Callable[[], bool], above: float | None
    ) -> Generator[TileFinished, None, EmbeddingMaps | ForegroundMaps]:
        target = self.network_shape
        if target == self.shape:
            return (yield from self._embed(image, frame, should_stop, above))
        image = Prepared.as_given(resize_image(image.values(), target))
        maps = yield from self._embed(image, frame, should_stop, None)
        assert isinstance(maps, EmbeddingMaps)
        return resize_maps(maps, self.shape)

    def _embed(
        self, image: Prepared, frame: int, should_stop: Callable[[], bool], above: float | None
    ) -> Generator[TileFinished, None, EmbeddingMaps | ForegroundMaps]:
        """Maps in pixels that the network sees, of an image of that shape."""
        config, target, device = self.config, self.network_shape, device_of(self.network)
        if devices.queues_work(device) and fits(device, target):
            run = embed_on_device(
                self.network, image, frame, self.tiles, self.views, config.grid_spacing, self.precision,
                self.tiles_at_once, should_stop,
            )  # fmt: skip
            return (yield from run)
        tiles, done, n_passes, n_views = self.tiles, 0, self.n_passes, len(self.views)
        blender, parts = Blender(tiles, target), list[ForegroundMaps]()
        whole = np.empty((2 * config.ndim + 1, *target), np.float32) if len(tiles) > 1 and above is None else None
        if len(tiles) > 1:
            give_back_freed_memory(also_kept=True)
        for tile in tiles:
            values = image.values(tile.within(target))
            batch = torch.from_numpy(pad(values, tile.shape))[None].to(device)
            total: torch.Tensor | None = None
            for view in self.views:
                if should_stop():
                    raise Stopped("The prediction was stopped.")
                # No inference mode around a yield: it would leak into whoever drains this generator.
                with torch.inference_mode():
                    output = view.undo(self._output(view.apply(batch), should_stop))
                    total = output if total is None else total.add_(output)
                done += 1
                yield TileFinished(frame, done, n_passes)
            assert total is not None
            with torch.inference_mode():
                mean = (total[0] if n_views == 1 else total[0] / n_views).cpu().numpy()
            raw = blender.add(mean, tile)
            # Otherwise these would stay while the network sees the next tile.
            del output, total, mean
            if whole is not None:
                whole[(slice(None), *(slice(a, a + n) for a, n in zip(tile.start, raw.shape[1:], strict=True)))] = raw
                give_back_freed_memory(also_kept=True)
            elif len(tiles) > 1 and above is not None:
                maps = decode_in_place(np.ascontiguousarray(raw), config.grid_spacing)
                parts.append(maps.above(above, tile.start, target))
        if self.compiled is not None and len(tiles) > 1:
            self.compiled.free_memory()
        elif self.compiled is not None:
            # Taking it anew for the next image costs a twentieth of a prediction in 8-bit integers.
            free_afterwards(self.compiled)
        if len(tiles) > 1:
            give_back_freed_memory(also_kept=True)
        if parts:
            return ForegroundMaps.joined(parts)
        return decode_in_place(np.ascontiguousarray(raw) if whole is None else whole, config.grid_spacing)

    def _output(self, batch: torch.Tensor, should_stop: Callable[[], bool]) -> torch.Tensor:
        if self.compiled is not None:
            return self.compiled(batch, should_stop)
        return raw_output(self.network, batch, self.precision)


def less_after(error: BaseException, device: torch.device, less: P | None, remedy: str) -> P:
    """What to try after the network failed: what takes less memory, if memory was the reason.

    Raises
    ------
    ComputeError
        If it was not, or there is nothing that takes less; then it names the remedy.
    """
    if not is_out_of_memory(error):
        raise ComputeError(f"The network could not be run on the device {device.type}: {error}") from error
    if less is None:
        raise ComputeError(
            f"Memory ran out even with small tiles; close other programs, {remedy}, or use device cpu."
        ) from error
    return less


def decode_in_place(raw: NDArray[np.float32], spacing: Sequence[float]) -> EmbeddingMaps:
    """Turn raw output into maps part by part in the same memory: they hold as many numbers."""
    ndim = len(spacing)
    step = max(1, DECODE_PIXELS // max(1, math.prod(raw.shape[2:])))
    for start in range(0, raw.shape[1], step):
        part = raw[:, start : start + step]
        offsets, margins, seed_map = decode(torch.from_numpy(part), spacing)
        part[:ndim], part[ndim : 2 * ndim], part[2 * ndim] = offsets.numpy(), margins.numpy(), seed_map.numpy()
    return EmbeddingMaps(raw[:ndim], raw[ndim : 2 * ndim], raw[2 * ndim])


def _product(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
