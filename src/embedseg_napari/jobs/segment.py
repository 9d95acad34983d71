"""What the Segment panel asks of the core: one image in, its segmentation out. PyTorch is imported only here, late."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import ModelError, Stopped
from embedseg_napari.core.events import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.events import PredictionEvent
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model

Channel = int | Literal["all", "mean"]
MOST_MAP_BYTES = 4 << 30
"""Maps of a time-lapse larger than this are dropped frame by frame; its thresholds cannot be moved afterwards."""


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The model is in memory."""

    config: ModelConfig
    device: str


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """Everything one run needs, taken from the panel when it starts."""

    array: Any
    """The image or the part of it; NumPy or lazy."""
    axes: str
    channel: Channel
    model: Path
    device: str
    spacing: tuple[float, ...] | None
    changes: dict[str, Any]
    """Settings that replace those stored with the model."""


def segment(job: SegmentJob, should_stop: Callable[[], bool]) -> Generator[Any, None, Segmentation]:
    """Load the model and segment; the events of the core and `ModelLoaded`.

    Raises
    ------
    EmbedSegError
        Whatever the core finds wrong; `Stopped` where `should_stop` returned True.
    """
    model = yield from loaded(job.model, job.device, should_stop)
    return (yield from predict(model, job, should_stop))


def loaded(path: Path, device: str, should_stop: Callable[[], bool]) -> Generator[Any, None, Model]:
    """The model of a file, from memory if it was the last one used and has not changed."""
    model = cached_model(path, device)
    if should_stop():
        raise Stopped("Stopped while the model was loaded.")
    yield ModelLoaded(model.config, model.device.type)
    return model


def predict(
    model: Model, job: SegmentJob, should_stop: Callable[[], bool]
) -> Generator[PredictionEvent, None, Segmentation]:
    """Segment the image of a job with a model in memory."""
    from embedseg_napari.core.inference.predictor import Predictor

    settings = PredictionConfig.parse({**model.config.prediction.model_dump(), **job.changes})
    array, axes = take_channel(job.array, job.axes, job.channel)
    if model.config.ndim == 2 and "Z" in axes:
        raise ModelError("The image has planes (Z) but the model works in 2D; name that axis T to segment each plane.")
    bytes_of_maps = int(np.prod(array.shape)) * 4 * (2 * model.config.ndim + 1)
    keep_maps = bytes_of_maps <= MOST_MAP_BYTES or "T" not in axes
    if not keep_maps:
        yield Message("This time-lapse is too large for moving the thresholds afterwards; its maps are not kept.")
    run = Predictor(model, settings).run(array, axes, should_stop, spacing=job.spacing, keep_maps=keep_maps)
    with interruptible(model, should_stop):
        return (yield from run)


def take_channel(array: Any, axes: str, channel: Channel) -> tuple[Any, str]:
    """One channel of an image, all of them, or their mean."""
    if "C" not in axes or channel == "all":
        return array, axes
    axis = axes.index("C")
    rest = axes.replace("C", "")
    if channel == "mean":
        return np.asarray(array).mean(axis=axis, dtype=np.float32), rest
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


_lock = threading.Lock()
_cache: dict[tuple[Any, ...], Model] = {}


def cached_model(path: Path, device: str) -> Model:
    """Load a model, or return the one loaded last if it is the same file, unchanged, on the same device."""
    from embedseg_napari.core.model.model import load_model

    with _lock:
        try:
            status = path.stat()
        except OSError as error:
            raise ModelError(f"{path}: there is no such model file any more; choose another model.") from error
        key = (path, status.st_mtime_ns, status.st_size, device)
        if key not in _cache:
            _cache.clear()
            _cache[key] = load_model(path, device=device)
        return _cache[key]
