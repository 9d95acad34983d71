"""What a run over a large image will be: blocks, halos, tiles and brightness, decided once."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedseg_napari.core.errors import SettingsError, Stopped
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.files.region import Region
    from embedseg_napari.core.inference.openvino_engine import CompiledNetwork
    from embedseg_napari.core.large.block_pass import BlockPass
    from embedseg_napari.core.large.run_folder import FrameScale, RunRecord
    from embedseg_napari.core.model.model import Model

Halo = Literal["auto", "exact"] | tuple[int, ...]
DEFAULT_NAME = "embedseg"
"""Of labels in the store of an image, where no other is given."""
LONGEST_HALO = 256
"""Pixels up to which the whole receptive field is looked at in images; the paper's network has two and a half times as
many."""
REACH = {2: 96, 3: 32}
"""Pixels around a core in which objects are looked for where the model does not know how large they are."""
SPREADS = 4
"""Standard deviations above the mean extent of the model's objects up to which that is."""
LEAST_USE = 64
"""Pixels between the margins of a tile, at least."""
LEAN_TILE = {2: (2208, 2208)}
"""Pixels of a tile in images where neither the user nor the model says: a worker then takes less than 1.5 GB."""
N_TILES = {2: 1, 3: 2}
"""Tiles along each axis that see a block, by the number of axes: one, as in images, costs the least halo."""
STEP = {2: 128, 3: 32}
"""What sides of blocks are multiples of, by the number of axes: chunks of labels that divide them are large enough."""
LOOKED_AT = {2: (1024, 1024), 3: (64, 256, 256)}
"""Part of the image on which is measured how far a network looks in effect."""
SAMPLED, N_SAMPLED = 16, 8
"""Pixels along each axis of the spots by which an array is known again, and how many they are."""
CLOSE = 0.02
"""Difference from 1 up to which a scale changes nothing."""


@dataclass(frozen=True, slots=True)
class LargeJob:
    """What is segmented, how, and where it goes."""

    image: Any
    """Path of an OME-Zarr or TIFF, or a `LazyImage` of an array, at `level`."""
    model: str | Path
    """Name or file."""
    device: str = "auto"
    changes: dict[str, Any] | None = None
    """Settings that replace those stored with the model."""
    axes: str | None = None
    channel: Channel = "all"
    level: int = 0
    region: tuple[tuple[int, int], ...] | None = None
    """First pixel and one past the last per spatial axis."""
    output: Path | None = None
    """A new store; by default the labels go into the image's own."""
    name: str = DEFAULT_NAME
    """Of the labels in the image's own store; a new one is the label image itself."""
    table: Path | None = None
    """CSV or Parquet; by default a CSV beside the store."""
    overwrite: bool = False
    block: int | tuple[int, ...] | None = None
    """Pixels of a block per axis (z, y, x)."""
    halo: Halo = "auto"
    """What is seen around a tile: as much as counts, all that can count ("exact"), or pixels per axis (z, y, x)."""
    workers: int = 1
    scheduler: str | None = None
    """Address or file of a running scheduler of Dask."""
    part: tuple[int, int] | None = None
    """Which of how many parts, counted from 1."""
    finish: bool = False
    """Only write the labels of blocks that are done."""
    skip_background: bool = True
    near: Callable[[], Sequence[float] | None] | None = None
    """Gives the place, in pixels of the level (z, y, x), that blocks are done around first."""
    preview: bool = False
    """Whether each block's labels are written as soon as it is done, with ids that change in the end."""


def image_of(job: LargeJob) -> LazyImage:
    """The image of a job, at its level.

    Raises
    ------
    DataError
        If its file is none, or cannot be read.
    """
    from embedseg_napari.core.files.in_parts import open_image

    return job.image if isinstance(job.image, LazyImage) else open_image(job.image, job.level, job.axes)


def resolve(
    job: LargeJob,
    region: Region,
    model: Model,
    places: dict[str, str],
    signature: str,
    should_stop: Callable[[], bool],
) -> Generator[Message, None, RunRecord]:
    """Decide all that blocks have in common, and say what was measured.

    Parameters
    ----------
    job, region, model
        What is asked for, opened.
    places : dict of str
        Where workers find ``image`` and ``model``.
    signature : str
        Of the run, see `decided`.
    should_stop : callable
        Looked at between frames.

    Raises
    ------
    EmbedSegError
        If a setting does not fit.
    """
    from embedseg_napari.core.inference.openvino_engine import engine_of
    from embedseg_napari.core.large.run_folder import FrameScale, RunRecord
    from embedseg_napari.core.large.whole_image import measure_whole

    settings = settings_for(job, model)
    if model.config.settings_with(**job.changes or {}).find_scale:
        yield Message("The model looks for the scale of each image, but not in blocks: every block has the scale 1.")
    shape = region.shape
    precision, words = _precision(model, settings)
    if words:
        yield Message(words)
    compiled, words, is_odd = _engine(job, region, model, settings)
    if words:
        yield Message(words, "warning" if is_odd else "info")
    frames = []
    for t in range(region.n_frames):
        if should_stop():
            raise Stopped("The run was stopped.")
        whole, words = measure_whole(lambda box, t=t: region.read(t, box), shape, model.config.normalization)  # type: ignore[misc]
        frames.append(FrameScale.of(whole))
        if t == 0:
            yield Message(words)
    margin, words = _margin(job.halo, region, model, frames[0])
    if words:
        yield Message(words)
    reach, tile = _reach(model), _tile(model, settings, margin)
    block = _block(job.block, shape, tile, margin, reach)
    values = {
        "signature": signature,
        **places,
        "level": job.level,
        "axes": job.axes,
        "channel": job.channel,
        "region": (region.start, region.stop),
        "n_frames": region.n_frames,
        "block": block,
        "halo": tuple(min(r, _up(n)) for r, n in zip(reach, shape, strict=True)),
        "margin": margin,
        "tile": tile,
        "precision": precision,
        "engine": engine_of(compiled),
        "settings": settings,
        "skips_background": job.skip_background,
        "frames": tuple(frames),
    }
    record = RunRecord.parse(values)
    grid = record.grid
    yield Message(
        f"{shape_words(shape)} pixels in {count(len(grid), 'block')} of {shape_words(block)}; "
        f"objects are looked for {max(reach)} pixels around each, and the network sees {max(margin)} more."
    )
    return record


def settings_for(job: LargeJob, model: Model) -> PredictionConfig:
    """The settings of a job.

    Raises
    ------
    SettingsError
        If one is none, or the image would have to be resized.
    """
    settings = model.config.settings_with(**job.changes or {})
    _refuse_scale(model, settings, job)
    if (job.changes or {}).get("tile_overlap") is not None:
        raise SettingsError("In blocks, what tiles see beyond their border is set by --halo; leave out --tile-overlap.")
    # What is looked for in a part of one image is no scale for all blocks.
    return settings.changed({"find_scale": False})


def network_pass(
    job: LargeJob, region: Region, model: Model, settings: PredictionConfig, scale: FrameScale
) -> BlockPass:
    """How the network is run over any part of a region, as blocks run it.

    Raises
    ------
    SettingsError
        If a setting does not fit.
    """
    from embedseg_napari.core.large.block_pass import BlockPass

    margin, _ = _margin(job.halo, region, model, scale)
    precision, _ = _precision(model, settings)
    tile = _tile(model, settings, margin)
    compiled, _, _ = _engine(job, region, model, settings)
    return BlockPass(model.network, model.config, region.shape, tile, margin, precision, settings.tta, compiled)


def _engine(
    job: LargeJob, region: Region, model: Model, settings: PredictionConfig
) -> tuple[CompiledNetwork | None, str, bool]:
    """What runs the network, see `choose_engine`."""
    from embedseg_napari.core.inference.openvino_engine import choose_engine

    n_pixels = region.n_frames * math.prod(region.shape) / job.workers
    precision, _ = _precision(model, settings)
    # In 2D the network works in bands, block by block as fast as OpenVINO (`docs/performance.md`).
    wanted = "torch" if settings.engine == "auto" and model.config.ndim == 2 else settings.engine
    return choose_engine(
        wanted,
        model.network,
        model.config.n_channels,
        precision,
        n_pixels=n_pixels,
        calibration=model.config.calibration,
    )


def _precision(model: Model, settings: PredictionConfig) -> tuple[str, str]:
    """The precision that the device has, and what to say about it."""
    from embedseg_napari.core.device import supports_precision

    wanted = settings.precision
    if supports_precision(model.device, wanted):
        return wanted, ""
    return (
        "float32",
        f"The network runs in float32: the {model.device.type} of this machine has no {wanted} of its own.",
    )


def _tile(model: Model, settings: PredictionConfig, margin: tuple[int, ...]) -> tuple[int, ...]:
    from embedseg_napari.core.inference.tiling import resolve_tile

    given = LEAN_TILE.get(model.config.ndim) if settings.tile is None else settings.tile
    tile, _ = resolve_tile(model.config.ndim, given, None)
    return tuple(max(side, 2 * m + LEAST_USE) for side, m in zip(tile, margin, strict=True))


def decided(job: LargeJob, region: Region, model: Model) -> list[object]:
    """All of a job that decides on its labels, beside the weights; where things lie and who works does not."""
    settings = model.config.settings_with(**job.changes or {})
    image = (region.array.shape, str(region.array.dtype), region.axes, job.level, region.start, region.stop)
    values: list[object] = [
        image,
        region.channel,
        job.block,
        job.halo,
        job.skip_background,
        sorted(settings.model_dump().items()),
    ]
    return [*values, _sampled(region)]


def _sampled(region: Region) -> str:
    """A number that stands for some of a region's pixels."""
    from embedseg_napari.core.large.grid import Box

    digest = hashlib.blake2s(digest_size=8)
    for i in range(N_SAMPLED):
        start = tuple(round((n - 1) * (i + 0.5) / N_SAMPLED) for n in region.shape)
        stop = tuple(min(a + SAMPLED, n) for a, n in zip(start, region.shape, strict=True))
        digest.update(np.ascontiguousarray(region.read(0, Box(start, stop))).tobytes())
    return digest.hexdigest()


def _refuse_scale(model: Model, settings: PredictionConfig, job: LargeJob) -> None:
    scale = model.config.reference_scale * settings.scale
    if abs(scale - 1) <= CLOSE:
        return
    raise SettingsError(
        f"The model would see the image at {scale:.3g} times its size, which is not done in blocks; choose a --level "
        f"whose pixels are about so large, with --scale {1 / model.config.reference_scale:.3g}, or another model."
    )


def _margin(halo: Halo, region: Region, model: Model, scale: Any) -> tuple[tuple[int, ...], str]:
    """Pixels that tiles see beyond what is used of them, and what to say about it."""
    from embedseg_napari.core.inference.tiling import round_up
    from embedseg_napari.core.large.field import effective_field, receptive_field
    from embedseg_napari.core.large.grid import Box

    ndim, shape = model.config.ndim, region.shape
    if not isinstance(halo, str):
        wanted = halo * ndim if len(halo) == 1 else halo
        if len(wanted) != ndim or any(side < 0 for side in wanted):
            raise SettingsError(f"halo {halo}: give one number, or one for each of the {ndim} axes.")
        return tuple(round_up(side) for side in wanted), ""
    field = receptive_field(model.network, region.n_channels)
    if halo == "exact" or (ndim == 2 and max(field) <= LONGEST_HALO):
        return field, ""
    sides = [max(16, min(side, n // 16 * 16)) for side, n in zip(LOOKED_AT[ndim], shape, strict=True)]
    start = [max(0, (n - side) // 2) for side, n in zip(sides, shape, strict=True)]
    box = Box(tuple(start), tuple(min(a + side, n) for a, side, n in zip(start, sides, shape, strict=True)))
    values = scale.whole.scaling.apply(region.read(0, box))
    missing = [(0, 0), *((0, side - n) for side, n in zip(sides, values.shape[1:], strict=True))]
    seen = effective_field(model.network, np.pad(values, missing, mode="edge"), model.config.grid_spacing)
    margin = tuple(min(a, b) for a, b in zip(seen, field, strict=True))
    words = shape_words(margin)
    return margin, (
        f"The network can look {max(field)} pixels far; in effect it looks {words}, measured on a part of the image, "
        "and tiles see as much around them. The report on seams says whether that was enough."
    )


def _reach(model: Model) -> tuple[int, ...]:
    """Pixels around a core in which objects are looked for."""
    ndim, sizes = model.config.ndim, model.config.object_sizes
    if len(sizes.mean) != ndim or len(sizes.std) != ndim or min(sizes.mean) <= 0:
        return (REACH[ndim],) * ndim
    return tuple(_up(math.ceil(mean + SPREADS * std)) for mean, std in zip(sizes.mean, sizes.std, strict=True))


def _block(
    wanted: int | tuple[int, ...] | None,
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    margin: tuple[int, ...],
    reach: tuple[int, ...],
) -> tuple[int, ...]:
    """Sides of a block: as wanted, or such that `N_TILES` along each axis see it."""
    ndim = len(shape)
    if isinstance(wanted, int):
        wanted = (wanted,) * ndim
    if wanted is not None:
        if len(wanted) != ndim or any(side < 8 or side % 8 for side in wanted):
            raise SettingsError(
                f"block {wanted}: give one number, or one for each of the {ndim} axes, multiples of 8, such as "
                f"{','.join(map(str, STEP[ndim] * np.ones(ndim, int)))}."
            )
        return tuple(min(side, _up(n)) for side, n in zip(wanted, shape, strict=True))
    sides = []
    for axis, (n, t, m, r) in enumerate(zip(shape, tile, margin, reach, strict=True)):
        step = 8 if ndim == 3 and axis == 0 else STEP[ndim]
        side = max(step, (N_TILES[ndim] * (t - 2 * m) - 2 * r) // step * step)
        # What one tile sees anyway needs no block of its own.
        sides.append(_up(n) if n <= max(side, t) and (ndim == 3 and axis == 0) else min(side, _up(n)))
    return tuple(sides)


def _up(n: int) -> int:
    return -(-n // 8) * 8
