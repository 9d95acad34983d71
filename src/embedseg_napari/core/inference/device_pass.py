"""The network over an image on a GPU: tiles in batches, sums and maps on the device, copies while it works on.

Tiles are cut and normalised in a thread while the network sees those before, and nothing is read back but the maps.
"""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import TileFinished
from embedseg_napari.core.inference.tiling import pad
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.networks.embedding import decode_by
from embedseg_napari.core.networks.network import device_of, raw_output

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from embedseg_napari.core.data.normalization import Prepared
    from embedseg_napari.core.inference.test_time_augmentation import View
    from embedseg_napari.core.inference.tiling import Tile
    from embedseg_napari.core.networks.network import EmbeddingNetwork

SHARE_OF_MEMORY = 0.4
"""Part of the free memory that the sums over all tiles may take; where they are larger, the host holds them."""
PASSES_AHEAD = 2
"""Passes that may wait in the device's queue: enough to keep it busy, few enough to stop soon."""
PIXELS_AT_ONCE = 1 << 22
"""Pixels whose maps are decoded and copied together."""


def fits(device: torch.device, shape: Sequence[int]) -> bool:
    """Whether the sums over all tiles of an image of that shape fit beside the network's pass."""
    return 4.0 * (2 * len(shape) + 1) * math.prod(shape) <= SHARE_OF_MEMORY * devices.free_memory(device)


def embed_on_device(
    network: EmbeddingNetwork,
    image: Prepared,
    frame: int,
    tiles: Sequence[Tile],
    views: Sequence[View],
    spacing: Sequence[float],
    precision: str,
    at_once: int,
    should_stop: Callable[[], bool],
) -> Generator[TileFinished, None, EmbeddingMaps]:
    """Compute the maps of an image; the generator's value.

    Parameters
    ----------
    network : EmbeddingNetwork
        On its device.
    image : Prepared
        Of the size that the network sees.
    frame : int
        Number that the events carry.
    tiles, views
        That the image is seen in; tiles of one shape.
    spacing : sequence of float
        Grid units per pixel (z, y, x).
    precision : str
        Number format.
    at_once : int
        Tiles that the network sees together.
    should_stop : callable
        Looked at before every run of the network.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    device, shape = device_of(network), image.shape
    groups = [tiles[i : i + at_once] for i in range(0, len(tiles), at_once)]
    raw = torch.zeros((2 * len(shape) + 1, *shape), device=device)
    queue: deque[devices.Arrival] = deque()
    done, n_passes = 0, len(tiles) * len(views)

    def cut(group: Sequence[Tile]) -> Tensor:
        values = torch.from_numpy(np.stack([pad(image.values(t.within(shape)), t.shape) for t in group]))
        return values.pin_memory() if device.type == "cuda" else values

    with ThreadPoolExecutor(1, "embedseg-tiles") as thread:
        coming = thread.submit(cut, groups[0])
        for index, group in enumerate(groups):
            values = devices.send(coming.result(), device)
            if index + 1 < len(groups):
                coming = thread.submit(cut, groups[index + 1])
            total: Tensor | None = None
            for view in views:
                if should_stop():
                    raise Stopped("The prediction was stopped.")
                # No inference mode around a yield: it would leak into whoever drains this generator.
                with torch.inference_mode():
                    output = view.undo(raw_output(network, view.apply(values), precision))
                    total = output if total is None else total.add_(output)
                queue.append(devices.make_event(device))
                queue[-1].record()
                if len(queue) > PASSES_AHEAD:
                    queue.popleft().synchronize()
                for _ in group:
                    done += 1
                    yield TileFinished(frame, done, n_passes)
            assert total is not None
            with torch.inference_mode():
                for one, tile in zip(total / len(views), group, strict=True):
                    _blend(raw, one, tile)
    with torch.inference_mode():
        return _maps(raw, spacing)


def _blend(raw: Tensor, output: Tensor, tile: Tile) -> None:
    """As `tiling.blend`, on the device."""
    inside = tile.within(raw.shape[1:])
    output = output[(slice(None), *(slice(0, part.stop - part.start) for part in inside))]
    for axis, weights in enumerate(tile.weights):
        if (weights != 1).any():
            along = torch.from_numpy(np.ascontiguousarray(weights[: output.shape[axis + 1]]))
            output = output * devices.send(along, raw.device).reshape(-1, *[1] * (len(tile.weights) - axis - 1))
    raw[(slice(None), *inside)] += output


def _maps(raw: Tensor, spacing: Sequence[float]) -> EmbeddingMaps:
    """Decode on the device, part by part; one part travels while the host puts the one before in its place."""
    ndim, device = len(spacing), raw.device
    out: NDArray[np.float32] = np.empty(tuple(raw.shape), np.float32)
    rest = math.prod(raw.shape[2:])
    step = min(max(1, PIXELS_AT_ONCE // max(1, rest)), raw.shape[1])
    room = [devices.host_memory((len(out) * step * rest,), raw.dtype, device) for _ in range(2)]
    travelling: deque[tuple[int, Tensor, devices.Arrival]] = deque()

    def put_in_place() -> None:
        start, values, arrival = travelling.popleft()
        arrival.synchronize()
        out[:, start : start + values.shape[1]] = values.numpy()

    grid = devices.send(torch.tensor(list(spacing), dtype=torch.float32), device)
    for index, start in enumerate(range(0, out.shape[1], step)):
        offsets, margins, seed_map = decode_by(raw[:, start : start + step], grid, ndim)
        decoded = torch.cat([offsets, margins, seed_map[None]])
        if len(travelling) == len(room):
            put_in_place()
        # Both sides in one piece: else the copy would go through memory that is not pinned.
        values = room[index % len(room)][: decoded.numel()].reshape(decoded.shape)
        values.copy_(decoded, non_blocking=device.type == "cuda")
        arrival = devices.make_event(device)
        arrival.record()
        travelling.append((start, values, arrival))
    while travelling:
        put_in_place()
    return EmbeddingMaps(out[:ndim], out[ndim : 2 * ndim], out[2 * ndim])
