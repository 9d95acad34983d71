"""Thresholds that suit a model and annotated images, found on its maps, and stored with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.data.mask_kinds import require_objects
from embedseg_napari.core.errors import DataError, ModelError, Stopped
from embedseg_napari.core.evaluation.thresholds import TunedThresholds, search_thresholds
from embedseg_napari.core.events import Message, PairTried
from embedseg_napari.core.files.atomic import alone
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.core.model.library import require_own
from embedseg_napari.core.model.model_file import SUFFIX, copy_model_file, read_model_config
from embedseg_napari.jobs.evaluate import why_not_comparable
from embedseg_napari.jobs.segment import ImageStarted, SegmentJob, loaded, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.inference.segmentation import Segmentation


@dataclass(frozen=True, slots=True)
class TuningImage:
    """An image to run a model on, and its truth."""

    job: SegmentJob
    truth: Any
    """((T,) (Z,) Y, X) ids; or planes of one object each."""
    ignore: np.ndarray | None = None
    """((T,) (Z,) Y, X) bool, pixels of unknown class."""
    name: str = ""
    where: str = ""
    """File of the image, if it is from one."""
    truth_name: str = "The truth"
    """In a sentence."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The best thresholds, and what they give."""

    thresholds: TunedThresholds
    segmentations: tuple[Segmentation, ...]
    """Of each image, with these thresholds."""
    model_path: Path

    @property
    def segmentation(self) -> Segmentation:
        """That of the first image."""
        return self.segmentations[0]


def tuning_images(
    dataset: Path,
    model: Path,
    device: str,
    *,
    axes: str | None = None,
    channel: OneChannel | None = None,
    spacing: Sequence[float] | None = None,
    ignore_label: int | None = None,
) -> list[TuningImage]:
    """Read the images of a data set that thresholds are chosen on: those for validation, where it has some.

    Parameters
    ----------
    dataset : path
        As :func:`find_dataset` takes it.
    model, device
        What they shall be segmented with.
    axes, channel, spacing, ignore_label
        As :func:`load_folder` takes them.

    Raises
    ------
    DataError
        Naming the file and its fault.
    """
    from embedseg_napari.core.data.checks import image_name, mask_name
    from embedseg_napari.core.data.pairs import find_dataset, load_folder

    training, validation = find_dataset(dataset)
    examples = load_folder(
        validation or training, axes=axes, channel=channel, spacing=spacing, ignore_label=ignore_label
    )
    return [
        TuningImage(
            SegmentJob(
                one.image, f"C{'ZYX'[-one.ndim :]}", "all", model, device, one.spacing, {}, one.unit, advise=False
            ),
            one.instances,
            one.ignore,
            one.name,
            image_name(one),
            mask_name(one),
        )
        for one in examples
    ]


def predict_and_tune(
    images: Sequence[TuningImage], model_path: Path, should_stop: Callable[[], bool]
) -> Generator[Any, None, Tuning]:
    """Run a model on images, then `tune` on its maps; events are those of both, and `ImageStarted`.

    Raises
    ------
    DataError, ModelError
        If a truth is none, or an image does not fit the model.
    Stopped
        If `should_stop` returned True.
    """
    truths = [
        (np.asarray(one.truth), one.ignore, one.truth_name, "T" in one.job.axes, len(spatial_axes(one.job.axes)))
        for one in images
    ]
    yield from _check(truths)
    found = []
    model = yield from loaded(images[0].job.model, images[0].job.device, should_stop)
    for index, image in enumerate(images):
        yield ImageStarted(index, len(images), image.name)
        try:
            segmentation = yield from predict(model, image.job, should_stop)
        except (DataError, ModelError) as error:
            raise type(error)(f"{image.where}: {error}" if image.where else str(error)) from error
        found.append((segmentation, image.truth, image.ignore))
    return (yield from _tune(found, model_path, should_stop))


def tune(
    images: Sequence[tuple[Segmentation, Any, np.ndarray | None]], model_path: Path, should_stop: Callable[[], bool]
) -> Generator[PairTried | Message, None, Tuning]:
    """Try pairs of seed and foreground thresholds on kept maps.

    The score is the mean over images and frames of the AP, averaged over IoU 0.5 ... 0.9.

    Parameters
    ----------
    images : sequence of (Segmentation, truth, ignore)
        Of one model with one kind of settings, with the maps; truth and pixels of unknown class as in
        `TuningImage`.
    model_path : Path
        Model that the maps are from.
    should_stop : callable
        Looked at while objects are collected.

    Raises
    ------
    DataError
        If a truth does not fit its maps, or is none.
    Stopped
        If `should_stop` returned True.
    """
    yield from _check(
        [
            (np.asarray(truth), ignore, "The truth", bool(one.frames), one.labels.ndim - bool(one.frames))
            for one, truth, ignore in images
        ]
    )
    return (yield from _tune(images, model_path, should_stop))


def _check(truths: Sequence[tuple[np.ndarray, np.ndarray | None, str, bool, int]]) -> Generator[Message, None, None]:
    """Refuse truth that is none, and say what is odd: truth, unknown, name, whether it has frames, spatial axes."""
    masks = [
        (mask if unknown is None else np.where(unknown, 0, mask), name, mask.ndim > ndim, unknown)
        for truth, ignore, name, has_frames, ndim in truths
        for mask, unknown in _frames(truth, ignore, has_frames)
    ]
    for warning in require_objects(masks):
        yield Message(warning, "warning")


def _tune(
    images: Sequence[tuple[Segmentation, Any, np.ndarray | None]], model_path: Path, should_stop: Callable[[], bool]
) -> Generator[PairTried | Message, None, Tuning]:
    pairs, unknown, settings = [], [], []
    for segmentation, truth, ignore in images:
        truth = np.asarray(truth)
        fault = why_not_comparable(truth.shape, segmentation.labels.shape, bool(segmentation.frames))
        if fault:
            raise DataError(fault)
        parts = segmentation.frames or (segmentation,)
        frames = list(zip(parts, _frames(truth, ignore, bool(segmentation.frames)), strict=True))
        # In frames that nobody has labelled, whatever is there would count as wrong.
        labelled = [one for one in frames if _is_labelled(*one[1])] or frames
        if len(labelled) < len(frames):
            yield Message(f"{len(frames) - len(labelled)} of {len(frames)} frames are left out: they have no labels.")
        pairs += [(part.maps, true) for part, (true, _) in labelled]
        unknown += [hidden for _, (_, hidden) in labelled]
        settings += [segmentation.settings] * len(labelled)
    best = yield from search_thresholds(pairs, settings, should_stop, ignore=unknown)
    again = [segmentation.recluster(*best.best, should_stop=should_stop) for segmentation, *_ in images]
    return Tuning(best, tuple(again), model_path)


def _frames(
    truth: np.ndarray, ignore: np.ndarray | None, has_frames: bool
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Truth of each frame, and its pixels of unknown class; an image is a single one."""
    if not has_frames:
        return [(truth, ignore)]
    return list(zip(truth, [None] * len(truth) if ignore is None else ignore, strict=True))


def _is_labelled(truth: np.ndarray, ignore: np.ndarray | None) -> bool:
    """Whether somebody has said what is there, or that nothing is."""
    return bool(truth.any()) if ignore is None else not ignore.all()


def require_changeable(path: Path) -> None:
    """Refuse a model file that thresholds cannot be stored in, with what to do instead.

    Raises
    ------
    ModelError
        If it is bundled, is being trained, or is a file of the original program.
    """
    if path.suffix != SUFFIX:
        raise ModelError(f"{path}: thresholds are stored in {SUFFIX} files; import this model first.")
    require_own(model_at(path), "changed; duplicate it first")


def store_thresholds(
    source: Path,
    target: Path,
    thresholds: TunedThresholds,
    should_stop: Callable[[], bool],
    *,
    overwrite: bool = False,
) -> Generator[None, None, Path]:
    """Write a model file with the best thresholds; everything else stays as it was.

    Parameters
    ----------
    source, target : Path
        Model to read, and file to write; they may be the same.
    thresholds : TunedThresholds
        What was found.
    should_stop : callable
        Looked at before anything is written.
    overwrite : bool
        As `store_settings` takes it.

    Raises
    ------
    ModelError, DataError
        As `store_settings`.
    """
    if should_stop():
        raise Stopped("The model was not saved.")
    yield
    return store_settings(source, target, thresholds.changes, overwrite=overwrite)


def store_settings(
    source: Path, target: Path, changes: dict[str, Any], *, overwrite: bool = False, **others: Any
) -> Path:
    """Write a model file with other settings of prediction, and return its name; the weights stay as they are.

    A new file is called after itself, as a copy or an export is.

    Parameters
    ----------
    source, target : Path
        Model to read, and file to write; they may be the same.
    changes : dict
        Settings of prediction.
    overwrite : bool
        Whether another file than the source may be replaced.
    **others
        Further values of `ModelConfig`.

    Raises
    ------
    ModelError, DataError
        If the model cannot be read, or the file not be written; never is a bundled one.
    """
    if target.suffix != SUFFIX:
        target = target.with_name(f"{target.name}{SUFFIX}")
    require_changeable(target)
    # Some file systems do not tell capitals from small letters.
    if source.exists() and target.exists() and target.samefile(source):
        overwrite = True
    else:
        others["name"] = target.stem
    if source.suffix == SUFFIX:
        with alone(target.parent):
            settings = read_model_config(source).prediction.changed(changes)
            copy_model_file(source, target, overwrite=overwrite, prediction=settings, **others)
    else:
        from embedseg_napari.core.model.model import load_model

        model = load_model(source, "cpu")
        settings = model.config.prediction.changed(changes)
        model.config = model.config.with_prediction(settings).model_copy(update=others)
        model.save(target, overwrite=overwrite)
    return target
