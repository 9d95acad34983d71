"""A model made ready for 8-bit integers on annotated images, and checked on others before it is trusted."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.config import Calibration
from embedseg_napari.core.data.checks import mask_name
from embedseg_napari.core.data.mask_kinds import require_objects
from embedseg_napari.core.data.normalization import Prepared, prepare
from embedseg_napari.core.data.pairs import find_dataset, load_folder
from embedseg_napari.core.data.resizing import resize_image, scaled_shape
from embedseg_napari.core.data.sparse import known_instances
from embedseg_napari.core.errors import ComputeError, ModelError, Stopped
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.events import Message
from embedseg_napari.core.inference.given_image import check_fit
from embedseg_napari.core.inference.int8 import fingerprint
from embedseg_napari.core.inference.openvino_engine import choose_engine, measured_ranges, why_not_calibrated
from embedseg_napari.core.inference.tiling import pad, round_up
from embedseg_napari.core.model.known_models import find_model_file
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.model.quiet import quietly_segmented
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import never
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.segment import ImageStarted
from embedseg_napari.jobs.tune import require_changeable, store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.inference.openvino_engine import CompiledNetwork
    from embedseg_napari.core.model.model import Model

PART = {2: (512, 512), 3: (48, 160, 160)}
"""Pixels per axis (z, y, x) of the middle of each image that ranges are measured on."""
MOST_LOSS = 0.01
"""Mean AP that 8-bit integers may cost."""
TURNS = 3
"""Runs of the network that are timed."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A model that was made ready, and what that brings."""

    path: Path
    calibration: Calibration
    times_as_fast: float
    """As in PyTorch, the network alone, here."""

    def __str__(self) -> str:
        found = self.calibration
        return (
            f"Measured on {count(found.n_images, 'image')}; mean AP on {count(found.n_checked, 'image')}: "
            f"{found.ap:.4f} as before, {found.ap_int8:.4f} in 8-bit integers ({found.ap_int8 - found.ap:+.4f}); the "
            f"network is {self.times_as_fast:.1f} times as fast as in PyTorch"
        )


def held_out(
    dataset: Path, axes: str | None = None, channel: OneChannel | None = None, spacing: tuple[float, ...] | None = None
) -> list[Example]:
    """Read the validation images of a data set, or all where it holds none out; see `load_folder`."""
    training, validation = find_dataset(dataset)
    return load_folder(validation or training, axes=axes, channel=channel, spacing=spacing)


def calibrate_file(
    source: str | Path, target: Path, images: Callable[[], Sequence[Example]], should_stop: Callable[[], bool]
) -> Generator[Any, None, Calibrated]:
    """Make a model ready for 8-bit integers, see `calibrate`, and store it with them as its engine.

    Parameters
    ----------
    source : str or Path
        Model to read, by name or file.
    target : Path
        File to write; the same, or a new one.
    images : callable
        Reads the images.
    should_stop : callable
        Looked at between images; nothing is written then.

    Raises
    ------
    EmbedSegError
        As `calibrate`, or if a model cannot be read or written.
    """
    path = find_model_file(source)
    require_changeable(target)
    if why := why_not_calibrated():
        raise ComputeError(why)
    model = load_model(path, "cpu")
    examples = images()
    found = yield from calibrate(model, examples, should_stop)
    times = _times_as_fast(model, found, examples[0])
    if should_stop():
        raise Stopped("The model was not calibrated.")
    return Calibrated(store_settings(path, target, {"engine": "int8"}, calibration=found), found, times)


def calibrate(
    model: Model, images: Sequence[Example], should_stop: Callable[[], bool]
) -> Generator[Any, None, Calibration]:
    """Measure ranges on every other image, and AP with and without 8-bit integers on the rest.

    Of a single image, both on that. Where rounding everything costs too much, less is rounded. Events are
    `ImageStarted`, of the images that are checked, and `Message`.

    Parameters
    ----------
    model : Model
        On the CPU; stays as it is.
    images : sequence of Example
        That it was not trained on.
    should_stop : callable
        Looked at between images.

    Returns
    -------
    Calibration
        To be stored with the model.

    Raises
    ------
    ComputeError
        If OpenVINO is missing or cannot run the network, or the processor is none for 8-bit integers.
    DataError
        If there are no objects in the images that are checked.
    ModelError
        If the images are not for the model, it finds nothing, or the mean AP, over IoU 0.5 to 0.9, falls by more than
        0.01.
    Stopped
        If `should_stop` returned True.
    """
    used, checked = images[::2], images[1::2] or images
    config = model.config
    for one in images:
        check_fit(config, (1, *one.image.shape), f"C{'ZYX'[-one.ndim :]}")
    masks = [(known_instances(one), mask_name(one), one.instances.ndim > one.ndim, one.ignore) for one in checked]
    for words in require_objects(masks):
        yield Message(words, "warning")
    calibration = Calibration(
        ranges=measured_ranges(model.network, config.n_channels, _parts(model, used, should_stop)),
        weights=fingerprint(model.network),
        n_images=len(used),
        n_checked=len(checked),
    )
    before = yield from _ap(model, checked, "torch", should_stop)
    if not before:
        raise ModelError(
            "The model finds no object of these images rightly, so that nothing can be said of 8-bit integers; take "
            "images that it is for."
        )
    for rounds_sums in (True, False):
        trial = calibration.model_copy(update={"rounds_sums": rounds_sums, "ap": before})
        _engine(model, trial)
        rounded = type(model)(config.model_copy(update={"calibration": trial}), model.network)
        found = yield from _ap(rounded, checked, "int8", should_stop)
        if found >= trial.ap - MOST_LOSS:
            return trial.model_copy(update={"ap_int8": found})
    raise ModelError(
        f"In 8-bit integers the mean AP falls from {trial.ap:.3f} to {found:.3f}, more than {MOST_LOSS:g}; the model "
        "was left as it is. More images, or more like those it will see, may help."
    )


def _engine(model: Model, calibration: Calibration) -> CompiledNetwork:
    config = model.config
    compiled, words, is_odd = choose_engine(
        "int8", model.network, config.n_channels, config.prediction.precision, calibration=calibration
    )
    if compiled is None or is_odd:
        raise ComputeError(words)
    return compiled


def _times_as_fast(model: Model, calibration: Calibration, one: Example) -> float:
    """The time of the network in PyTorch over that in 8-bit integers, in turns."""
    batch, precision = torch.from_numpy(_part(model, one)), model.config.prediction.precision
    compiled = _engine(model, calibration)
    seconds = []
    # The first turn makes memory and programs ready.
    for _ in range(1 + TURNS):
        began = time.perf_counter()
        with torch.inference_mode():
            raw_output(model.network, batch, precision)
        middle = time.perf_counter()
        compiled(batch, never)
        seconds.append((middle - began, time.perf_counter() - middle))
    before, after = (statistics.median(one) for one in zip(*seconds[1:], strict=True))
    return float(before / after)


def _ap(
    model: Model, images: Sequence[Example], engine: str, should_stop: Callable[[], bool]
) -> Generator[ImageStarted, None, float]:
    found = []
    for index, one in enumerate(images):
        if should_stop():
            raise Stopped("The model was not calibrated.")
        yield ImageStarted(index, len(images), one.name)
        labels = quietly_segmented(model, one, should_stop, engine=engine)
        found.append(statistics.mean(row.ap for row in match(one.instances, labels, ignore=one.ignore)))
    return statistics.mean(found)


def _parts(model: Model, images: Sequence[Example], should_stop: Callable[[], bool]) -> Iterator[NDArray[np.float32]]:
    for one in images:
        if should_stop():
            raise Stopped("The model was not calibrated.")
        yield _part(model, one)


def _part(model: Model, one: Example) -> NDArray[np.float32]:
    """The middle of an image as the network sees it."""
    config = model.config
    ready = Prepared.as_given(one.image) if one.is_normalized else prepare(one.image, config.normalization)
    values = ready.values()
    seen = scaled_shape(ready.shape, config.reference_scale * config.prediction.scale)
    values = values if seen == ready.shape else resize_image(values, seen)
    sides = [min(n, most) for n, most in zip(seen, PART[config.ndim], strict=True)]
    starts = [(n - side) // 2 for n, side in zip(seen, sides, strict=True)]
    values = values[(slice(None), *(slice(a, a + side) for a, side in zip(starts, sides, strict=True)))]
    return np.ascontiguousarray(pad(values, [round_up(side) for side in sides])[None], np.float32)
