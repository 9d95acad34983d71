"""Thresholds for a model from maps and truth: what the Evaluate panel computes in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.evaluation.thresholds import PairTried, TunedThresholds, search_thresholds
from embedseg_napari.core.inference.clustering import with_margins
from embedseg_napari.jobs.evaluate import why_not_comparable
from embedseg_napari.jobs.segment import SegmentJob, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps


@dataclass(frozen=True, slots=True)
class Tuning:
    """The best thresholds, and what they give."""

    thresholds: TunedThresholds
    start: tuple[float, float]
    """Seed and foreground threshold in use before."""
    start_score: float
    segmentation: Segmentation
    model_path: Path


def maps_of(segmentation: Segmentation) -> list[EmbeddingMaps]:
    """The kept maps, one for each frame."""
    return [frame.maps for frame in segmentation.frames or (segmentation,)]


def tune(
    segmentation: Segmentation, truth: Any, model_path: Path, should_stop: Callable[[], bool]
) -> Generator[PairTried, None, Tuning]:
    """Try pairs of seed and foreground thresholds on kept maps.

    The score is the mean over frames of the AP, averaged over IoU 0.5 ... 0.9.

    Parameters
    ----------
    segmentation : Segmentation
        With its maps.
    truth : array, shape ((T,) (Z,) Y, X)
        Ids; or planes of one object each.
    model_path : Path
        Model that the maps are from.
    should_stop : callable
        Looked at while objects are collected.

    Raises
    ------
    DataError
        If the truth does not fit the maps.
    Stopped
        If `should_stop` returned True.
    """
    truth = np.asarray(truth)
    maps = maps_of(segmentation)
    truths = list(truth) if segmentation.frames else [truth]
    fault = why_not_comparable(truth.shape, segmentation.labels.shape, bool(segmentation.frames))
    if fault:
        raise DataError(fault)
    settings = segmentation.settings
    start = (settings.seed_threshold, settings.foreground_threshold)
    best = yield from search_thresholds(
        [(with_margins(one, settings.margin_scale), true) for one, true in zip(maps, truths, strict=True)],
        should_stop,
        min_object_size=settings.min_object_size,
        seeds=settings.seeds,
        faint_seeds=settings.faint_seeds,
        start=start,
    )
    result = segmentation.recluster(best.seed_threshold, best.foreground_threshold, should_stop=should_stop)
    return Tuning(best, start, best.score_of(start), result, model_path)


def _with(settings: PredictionConfig, seed: float, foreground: float) -> PredictionConfig:
    values = {"seed_threshold": seed, "foreground_threshold": foreground}
    return PredictionConfig.parse({**settings.model_dump(), **values})


def predict_and_tune(
    model_path: Path, image: Any, axes: str, truth: Any, should_stop: Callable[[], bool]
) -> Generator[Any, None, Tuning]:
    """Run a model on an image, then `tune` on its maps.

    Parameters
    ----------
    model_path : Path
        Model file.
    image : array
        Any real type.
    axes : str
        One letter per axis.
    truth, should_stop
        As in `tune`.
    """
    job = SegmentJob(image, axes, "all", model_path, "auto", None, {})
    segmentation = yield from segment(job, should_stop)
    return (yield from tune(segmentation, truth, model_path, should_stop))


def store_thresholds(
    source: Path, target: Path, thresholds: Sequence[float], should_stop: Callable[[], bool]
) -> Generator[Any, None, Path]:
    """Write a model file with other thresholds; everything else stays as it was.

    Parameters
    ----------
    source, target : Path
        Model to read, and file to write; they may be the same.
    thresholds : sequence of float
        Seed and foreground threshold.
    should_stop : callable
        Looked at before anything is written.

    Raises
    ------
    ModelError, DataError
        If the model cannot be read, or the file not be written.
    """
    from embedseg_napari.core.model.legacy import read_legacy
    from embedseg_napari.core.model.model_file import SUFFIX, read_model_file, write_model_file

    is_own = source.suffix == SUFFIX
    weights, config = read_model_file(source) if is_own else read_legacy(source, None)
    n_values = sum(value.numel() for value in weights.values())
    # What was stored in half precision stays so: two bytes a value instead of four.
    half = is_own and source.stat().st_size < 3 * n_values
    config = config.model_copy(update={"prediction": _with(config.prediction, *thresholds)})
    if should_stop():
        raise Stopped("The model was not saved.")
    yield
    return write_model_file(target, weights, config, half=half)
