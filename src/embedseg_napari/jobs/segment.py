"""One image in, its segmentation out. PyTorch is imported only here, late."""

from __future__ import annotations

import importlib
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import mean_of_channels, to_frames
from embedseg_napari.core.errors import DataError, ModelError, Stopped
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.atomic import version_of
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.units import in_unit
from embedseg_napari.core.inference.given_image import ONE_CHANNEL
from embedseg_napari.core.model.known_models import bundled_models
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.events import PredictionEvent
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.model.model import Model

MOST_MAP_BYTES = 4 << 30
"""Maps of a time-lapse larger than this are dropped frame by frame; its thresholds cannot be moved afterwards."""


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The model is in memory."""

    config: ModelConfig
    device: str


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """The next file is being read."""

    index: int
    n_images: int
    name: str


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """Everything one run needs."""

    array: Any
    """The image or the part of it; NumPy or lazy."""
    axes: str
    channel: Channel
    model: str | Path
    """Name or file."""
    device: str
    spacing: tuple[float, ...] | None
    changes: dict[str, Any]
    """Settings that replace those stored with the model."""
    unit: str | None = None
    """Of the pixel size."""
    advise: bool = True
    """Whether other scales and models are tried where the model is unsure; `advise` does so afterwards."""
    remarks: bool = False
    """Whether it is told that nothing was found, or that the image is blank or overexposed, if nothing is tried."""
    n_images: int = 1
    """Images like this one that will be segmented."""


def segment(job: SegmentJob, should_stop: Callable[[], bool]) -> Generator[Any, None, Segmentation]:
    """Load the model and segment; the events of the core and `ModelLoaded`.

    Raises
    ------
    EmbedSegError
        Whatever the core finds wrong; `Stopped` where `should_stop` returned True.
    """
    model = yield from loaded(job.model, job.device, should_stop)
    return (yield from predict(model, job, should_stop))


def loaded(source: str | Path, device: str, should_stop: Callable[[], bool]) -> Generator[Any, None, Model]:
    """The model of a name or file, from memory if it was the last one used and has not changed."""
    model = cached_model(source, device)
    if should_stop():
        raise Stopped("Stopped while the model was loaded.")
    yield ModelLoaded(model.config, model.device.type)
    return model


def settings_of(model: Model, changes: dict[str, Any]) -> PredictionConfig:
    """The stored settings of a model, some of them replaced.

    Raises
    ------
    SettingsError
        If one does not fit, or the tile does not fit the model.
    """
    from embedseg_napari.core.inference.tiling import resolve_tile

    settings = model.config.settings_with(**changes)
    resolve_tile(model.config.ndim, settings.tile, settings.tile_overlap, model.config.architecture)
    return settings


def predict(
    model: Model,
    job: SegmentJob,
    should_stop: Callable[[], bool],
    *,
    keep_maps: bool = True,
    take_maps: Callable[[EmbeddingMaps], None] | None = None,
    take_frame: Callable[[int, Segmentation], None] | None = None,
) -> Generator[PredictionEvent, None, Segmentation]:
    """Segment the image of a job with a model in memory; maps are kept on request, unless they are too large."""
    from embedseg_napari.core.inference.predictor import Predictor

    array, axes = take_channel(job.array, job.axes, job.channel)
    _check_channels(model.config, np.shape(array), axes, _n_left(job, axes))
    # Axes that do not fit are told by the predictor.
    n_pixels = math.prod(n for n, letter in zip(array.shape, axes, strict=False) if letter != "C")
    bytes_of_maps = n_pixels * 4 * (2 * model.config.ndim + 1)
    if keep_maps and bytes_of_maps > MOST_MAP_BYTES and "T" in axes:
        keep_maps = False
        yield Message("This time-lapse is too large for moving the thresholds afterwards; its maps are not kept.")
    predictor = Predictor(model, settings_of(model, job.changes), job.n_images)
    with interruptible(model, should_stop):
        run = predictor.run(
            array,
            axes,
            should_stop,
            spacing=in_unit(job.spacing, job.unit, model.config.spacing_unit),
            keep_maps=keep_maps,
            take_maps=take_maps,
            take_frame=take_frame,
            remarks=job.remarks,
            advise=job.advise,
            others=others_for(model, job.device, _n_left(job, axes) or 1),
            every_channel=partial(_every_channel, job) if _n_left(job, axes) else None,
        )
        return (yield from run)


def _check_channels(config: ModelConfig, shape: tuple[int, ...], axes: str | None, n_left: int) -> None:
    """Name the bundled model for images with such channels, where this one is not for them; else the core says it.

    Of `n_left` channels, where there are any, only one was taken, or their mean.
    """
    if n_left == config.n_channels > 1:
        raise ModelError(
            f"The model works on {n_left} channels, and the image has as many, but only one of them or their mean was "
            "chosen; take all of them (leave out --channel)."
        )
    n = shape[axes.index("C")] if axes and "C" in axes else config.n_channels
    fitting = (one.name for one in bundled_models() if (one.config().ndim, one.config().n_channels) == (config.ndim, n))
    name = next(fitting, "") if n != config.n_channels else ""
    if name:
        raise ModelError(
            f"The image has {count(n, 'channel')} (axes {axes}) but the model works on {config.n_channels}; take the "
            f"model {name} if it looks like what that learned from, or {ONE_CHANNEL}."
        )


def advise(
    job: SegmentJob, found: Segmentation, should_stop: Callable[[], bool]
) -> Generator[PredictionEvent, None, None]:
    """Look for something clearly better than what a job found without advice; an `Advice` names it, if any."""
    from embedseg_napari.core.inference.predictor import Predictor
    from embedseg_napari.core.inference.trial import busiest_frame

    model = yield from loaded(job.model, job.device, should_stop)
    array, axes = take_channel(job.array, job.axes, job.channel)
    t = 0
    if found.frames:
        t = busiest_frame(np.moveaxis(array, axes.index("T"), 0))
        array, axes, found = _frame(array, axes, t), axes.replace("T", ""), found.frames[t]
    every_channel = _every_channel(job, t) if _n_left(job, axes) else None
    with interruptible(model, should_stop):
        others = others_for(model, job.device, _n_left(job, axes) or 1)
        predictor = Predictor(model, settings_of(model, job.changes))
        yield from predictor.advise(array, axes, found, others, should_stop, every_channel)


def _n_left(job: SegmentJob, axes: str) -> int:
    """Channels of the image of a job; 0 if what is segmented, with these axes, has all of them."""
    return job.array.shape[job.axes.index("C")] if "C" in job.axes and "C" not in axes else 0


def _every_channel(job: SegmentJob, t: int) -> np.ndarray:
    """A frame of the image of a job with all its channels, axes (C, (Z,) Y, X)."""
    frame = _frame(job.array, job.axes, t) if "T" in job.axes else job.array
    return np.asarray(to_frames(np.asarray(frame), job.axes.replace("T", ""))[0])


def _frame(array: Any, axes: str, t: int) -> Any:
    """A frame of a time-lapse."""
    return array[(slice(None),) * axes.index("T") + (t,)]


def others_for(model: Model, device: str, also: int = 1) -> Iterator[tuple[str, Model]]:
    """Other models for images like those of a model, or of so many channels, and their names; they stay in memory."""
    from embedseg_napari.core.model.model import others_like

    return others_like(model.config, model.path, device, cached_model, also)


def take_channel(array: Any, axes: str, channel: Channel) -> tuple[Any, str]:
    """One channel of an image, all of them, or their mean.

    Raises
    ------
    DataError
        If there is no such channel.
    """
    # The first channel of a grey image, or the mean of its channels, is the image itself.
    if channel == "all" or ("C" not in axes and channel in ("mean", 0)):
        return array, axes
    if "C" not in axes:
        raise DataError(
            f"The image has no channel axis (shape {array.shape} is read as {axes}), so that there is no channel "
            f"{channel}; take channel 0, or name its axes."
        )
    axis, rest = axes.index("C"), axes.replace("C", "")
    if channel == "mean":
        if isinstance(array, FramesOnDisk) and axis:
            return array.each(lambda frame: mean_of_channels(frame, axis - 1)), rest
        return mean_of_channels(np.asarray(array), axis), rest
    if channel >= array.shape[axis]:
        raise DataError(
            f"The image has {count(array.shape[axis], 'channel')}, counted from 0; there is no channel {channel}."
        )
    return array[(slice(None),) * axis + (channel,)], rest


@contextmanager
def interruptible(model: Model, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Let the network look between its layers whether to stop: one tile of a volume takes seconds on a CPU."""
    thread = threading.get_ident()

    def check(*_: Any) -> None:
        # An abandoned run may still use the same network in another thread.
        if threading.get_ident() == thread and should_stop():
            raise Stopped("The prediction was stopped.")

    handles = [module.register_forward_pre_hook(check) for module in model.network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


MOST_IN_MEMORY = 6
"""Models that are kept: switching between them, and trying others, takes no time."""
_lock = threading.Lock()
_cache: dict[tuple[Any, ...], Model] = {}


def cached_model(source: str | Path, device: str) -> Model:
    """Load a model, or return one of those loaded last if it is the same file, unchanged, on the same device."""
    from embedseg_napari.core.model.known_models import CHECKPOINTS, find_model_file
    from embedseg_napari.core.model.legacy import files_beside
    from embedseg_napari.core.model.model import load_model

    with _lock:
        path = find_model_file(source)
        # Of a checkpoint, these say how images are normalised, and its grid.
        beside = files_beside(path) if path.suffix.lower() in CHECKPOINTS else ()
        key = (*((one, version_of(one.resolve())) for one in (path, *beside)), device)
        model = _cache.pop(key) if key in _cache else load_model(path, device=device)
        # The latest is last.
        _cache[key] = model
        while len(_cache) > MOST_IN_MEMORY:
            _cache.pop(next(iter(_cache)))
        return model


SMALL = 64
"""Pixels per axis of the image that a model is tried on beforehand."""


def warm_up(source: str | Path | None, device: str, should_stop: Callable[[], bool]) -> Generator[Any, None, None]:
    """Import PyTorch, load a model if there is one, and run it once on a small image: the first run need not wait.

    Raises
    ------
    EmbedSegError
        If the model cannot be loaded; `Stopped` where `should_stop` returned True.
    """
    importlib.import_module("torch")
    yield None
    from embedseg_napari.core.inference.predictor import Predictor

    if source is None or should_stop():
        return
    model = yield from loaded(source, device, should_stop)
    image = np.zeros((model.config.n_channels, *(SMALL,) * model.config.ndim), np.float32)
    # An empty image has no scale to look for, and the search takes both cores for half a minute in volumes.
    settings = model.config.settings_with(find_scale=False)
    with interruptible(model, should_stop):
        yield from Predictor(model, settings).run(image, model.config.axes, should_stop)
