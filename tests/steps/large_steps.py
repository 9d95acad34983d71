"""Images, networks and runs that show whether blocks find what the whole image yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from embedseg_napari.core.config import ModelConfig, NormalizationConfig, PredictionConfig
from embedseg_napari.core.large.field import receptive_field
from embedseg_napari.core.large.numbering import Numbering
from embedseg_napari.core.large.run_folder import FrameScale, RunFolder, RunRecord
from embedseg_napari.core.large.segment_block import segment_block
from embedseg_napari.core.large.whole_image import measure_whole
from embedseg_napari.core.model.model import Model
from embedseg_napari.jobs.large.run import BlockFinished

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 1 / 1023


class BlobNetwork(nn.Module):
    """Finds bright blobs: pixels point up the brightness; what a coarse grid of 8 pixels sees counts a little, too."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.ndim = ndim
        self.unused = nn.Parameter(torch.zeros(1))
        self.smooth = getattr(nn, f"AvgPool{ndim}d")(5, 1, 2, count_include_pad=True)
        self.shrink = getattr(nn, f"MaxPool{ndim}d")(8)

    def forward(self, x: Tensor) -> Tensor:
        smooth = self.smooth(self.smooth(x))
        coarse = nn.functional.interpolate(self.shrink(x), scale_factor=8, mode="nearest")
        slopes = []
        for axis in range(2, 2 + self.ndim):
            padded = nn.functional.pad(
                smooth, [side for a in range(self.ndim + 1, 1, -1) for side in (int(a == axis),) * 2]
            )
            n = smooth.shape[axis]
            slopes.append((padded.narrow(axis, 2, n) - padded.narrow(axis, 0, n)) * 12 * STEP / (0.2 + smooth.abs()))
        bandwidth = torch.full_like(smooth, float(np.log(np.log(2.0) / (4.0 * STEP) ** 2) / 10))
        seediness = 14 * smooth - 3 + 0.1 * coarse
        return torch.cat([*slopes, *[bandwidth] * self.ndim, seediness], 1)

    def part(self, x: Tensor, wanted: Sequence[slice]) -> Tensor:
        return self(x)[(..., *wanted)]


def blob_model(ndim: int, **settings: object) -> Model:
    """A model of that network; its settings use all that needs a rule of its own in blocks."""
    given = {"seed_threshold": 0.9, "faint_seeds": 0.3, "margin_scale": 1.2, "min_object_size": 8} | settings
    config = ModelConfig(
        ndim=ndim,
        grid_spacing=(STEP,) * ndim,
        normalization=NormalizationConfig(),
        prediction=PredictionConfig.parse(given),
    )
    return Model(config, BlobNetwork(ndim))


def blobs(shape: tuple[int, ...], n: int, seed: int = 0, radius: tuple[float, float] = (2.0, 4.5)) -> np.ndarray:
    """Blobs of several sizes and brightnesses, some touching, some at the border; uint16."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 4, shape)
    for _ in range(n):
        center, r = [rng.uniform(0, side) for side in shape], rng.uniform(*radius)
        low = [max(0, int(c - 4 * r)) for c in center]
        high = [min(side, int(c + 4 * r) + 1) for c, side in zip(center, shape, strict=True)]
        part = np.ix_(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
        distance = sum((at - c) ** 2 for at, c in zip(part, center, strict=True))
        image[part] += rng.uniform(150, 900) * np.exp(-distance / (2 * r * r))
    return image.clip(0, 65535).astype(np.uint16)


class InMemory:
    """An image TC(Z)YX that is read in parts; `n_read` counts the pixels."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.n_read = frames, 0

    def read(self, frame, box):
        part = self.frames[(frame, slice(None), *box.slices)]
        self.n_read += part[0].size
        return part


def record_for(model: Model, frames: np.ndarray, block, reach, tile=None, margin=None, **more) -> RunRecord:
    """A run over frames TC(Z)YX."""
    shape = frames.shape[2:]
    margin = receptive_field(model.network, frames.shape[1]) if margin is None else margin
    whole = [
        measure_whole(lambda box, t=t: frames[(t, slice(None), *box.slices)], shape, model.config.normalization)[0]
        for t in range(len(frames))
    ]
    return RunRecord(
        signature="test",
        model="",
        image="",
        region=((0,) * len(shape), shape),
        n_frames=len(frames),
        block=block,
        halo=reach,
        margin=margin,
        tile=tile or tuple(64 + 2 * m for m in margin),
        precision="float32",
        settings=model.config.prediction,
        frames=tuple(FrameScale.of(one) for one in whole),
        **more,
    )


def run_blocks(model: Model, frames: np.ndarray, record: RunRecord, folder: RunFolder) -> None:
    """Do all blocks."""
    for number in range(len(record.grid)):
        folder.save(number, segment_block(InMemory(frames), model, record, number, lambda: False))


def numbered(record: RunRecord, folder: RunFolder) -> tuple[np.ndarray, Numbering]:
    """Labels T(Z)YX of a run whose blocks are done, and its numbers."""
    numbering = Numbering(record.grid, folder.rows, record.settings)
    out = np.zeros((record.n_frames, *record.shape), np.uint32)
    for number in range(len(record.grid)):
        block = record.grid.block(number)
        out[(block.frame, *block.core.slices)] = numbering.numbers(number)[folder.load(block).labels]
    return out, numbering


def stop_after(n):
    """A listener and a stop that becomes true after so many blocks."""
    seen = []
    return lambda event: seen.append(event) if isinstance(event, BlockFinished) else None, lambda: len(seen) >= n


def same_but_for_numbers(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images hold the same objects, pixel for pixel."""
    pairs = np.unique(np.stack([one.ravel().astype(np.int64), other.ravel().astype(np.int64)]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


def write_store(path, image: np.ndarray, axes: str = "YX", step: float = 0.5):
    """An OME-Zarr 0.5 of one level."""
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    chunks = tuple(min(64, n) for n in image.shape)
    group.create_array("0", shape=image.shape, dtype=image.dtype, chunks=chunks)[...] = image
    kinds = {"T": {"type": "time"}, "C": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}
    scale = [1.0 if letter in kinds else step for letter in axes]
    multiscale = {
        "axes": [{"name": letter.lower()} | kinds.get(letter, space) for letter in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return path


def labels_of(store, name: str = "embedseg") -> np.ndarray:
    """Labels that lie in a store."""
    import zarr

    return zarr.open_array(str(store / "labels" / name / "0"), mode="r")[...]
