"""From the trained network to the model that training returns: near its start, with thresholds and a record."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.config.model import SURE_SEEDINESS, USUAL_SEED_THRESHOLD
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import Message, TrainingFinished
from embedseg_napari.core.training.blending import blended, least_share
from embedseg_napari.core.training.result import TrainingResult
from embedseg_napari.core.training.validation import with_reached_seeds
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from torch import Tensor

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.training.run import TrainingRun
    from embedseg_napari.core.training.validation import Scores, TakeMaps


CHOICE_SHARE = 0.015
"""Part of a training's time for the maps of held-out images that thresholds and precision are chosen on; the choice
itself takes as much again."""
FEW_STEPS = 32
"""Steps that a short round makes on an idle laptop in a quarter of a minute; with fewer a model is hardly other than
what it started from."""
MATURE = 0.5
"""Part of the steps from which on a state that was scored is worth more than one from right before the loss was no
number: the latter may be spoiled, or not."""


def finish(
    run: TrainingRun, stopped: bool, should_stop: Callable[[], bool]
) -> Generator[TrainingEvent, None, TrainingResult]:
    """Keep the best model, choose its thresholds and precision, and hand it over.

    Parameters
    ----------
    run : TrainingRun
        The run, its training over.
    stopped : bool
        Whether training was ended before its time.
    should_stop : callable
        When it returns True what is not chosen yet stays as it is.
    """
    yield from run.save()
    weights, score = _so_far(run) if stopped else (run.best, run.state.best_score)
    is_earlier = stopped and bool(weights)
    model, share, prediction, precision = run.model(weights), 1.0, run.model_config.prediction, run.plan.precision
    keeps_start, state = run.keeps_start(run.state.step), "as it was trained so far"
    missing = "weights and thresholds were" if keeps_start else "thresholds were"
    try:
        if not run.data.validation and run.fabric.global_rank == 0:
            if keeps_start and run.state.step:
                model, share, prediction = yield from _near_start(run, model, should_stop)
            else:
                prediction = _reached(run, model, run.data.threshold_examples, should_stop)
            missing, state = "the number format was", f"with {prediction.precision}"
        if not stopped and run.validator.examples and run.fabric.global_rank == 0:
            # Trainings by epochs are repeatable, so all images are looked at however long it takes.
            seconds = CHOICE_SHARE * run.clock.seconds() if run.config.epochs is None else math.inf
            prediction, message = run.validator.choose_prediction(model, prediction, precision, should_stop, seconds)
            if message is not None:
                yield message
    except Stopped:
        stopped = True
        yield Message(f"Stopped before {missing} chosen; the model is saved {state}.")
    is_other = share < 1 or prediction.seed_threshold != run.model_config.prediction.seed_threshold
    if is_other and not run.data.validation and run.validator.examples and run.fabric.global_rank == 0:
        scores = _scores(run, model, prediction, should_stop)
        score = None if scores is None else scores.ap_mean
        if scores is not None:
            run.state.sure_seediness = scores.sure_seediness
    if score == 0:
        what = "held-out objects" if run.data.n_held_out else "objects of the held-out images"
        yield Message(
            f"The model finds none of the {what} yet. Train longer; if that does not help, check that each mask "
            "belongs to its image.",
            "warning",
        )
    if not stopped and run.config.epochs is None and run.state.step < FEW_STEPS:
        done = count(run.state.step, "step")
        yield Message(
            f"No more than {done} fitted into the minutes given; with more of them it learns more.", "warning"
        )
    yield TrainingFinished(stopped, score)
    return _result(run, model, prediction, share, score, stopped, is_earlier)


def interrupted(run: TrainingRun, is_diverging: bool = False) -> TrainingResult:
    """Hand over the model so far as it stands, in no time.

    No checkpoint is written: an interruption may come in the middle of a step, and the last one is whole.

    Parameters
    ----------
    run : TrainingRun
        The run, which has made steps.
    is_diverging : bool
        Whether soon after these steps the loss was no number.
    """
    weights, score = _so_far(run, is_diverging)
    return _result(run, run.model(weights), run.model_config.prediction, 1.0, score, True, bool(weights))


def _so_far(run: TrainingRun, is_diverging: bool = False) -> tuple[dict[str, Tensor], float | None]:
    """Weights to hand over where training ends before its time, none for those of now; and their score if it is known.

    Held-out images are looked at now and then, first after a few steps. What was best then says nothing of the network
    that has learned for minutes since: only one that was found to be worse, or that holds no numbers, gives way to it
    in any case. One that may be diverging does where the best found something and had learned for long.
    """
    scored = [row for row in run.state.history if row.ap_mean is not None]
    best_step = max((row.step for row in scored if row.is_best), default=0)
    is_worse = bool(scored) and not scored[-1].is_best
    gives_way = is_diverging and bool(run.state.best_score) and best_step >= MATURE * run.state.step
    if run.best and (is_worse or gives_way or not run.optimization.is_finite):
        return run.best, run.state.best_score
    is_known = not run.data.validation or (scored and scored[-1].step == run.state.step)
    return {}, run.state.best_score if is_known else None


def _reached(
    run: TrainingRun,
    model: Model,
    annotated: Sequence[Example],
    should_stop: Callable[[], bool],
    take_maps: TakeMaps | None = None,
) -> PredictionConfig:
    """Settings with the seed threshold that most objects of some images reach; as they are without images.

    `take_maps` is called with each of the images and its maps.
    """
    settings, usual = run.model_config.prediction, run.plan.usual_seed_threshold
    if not annotated:
        return settings
    return with_reached_seeds(model, annotated, settings, usual, run.plan.precision, should_stop, take_maps)


def _scores(
    run: TrainingRun, model: Model, prediction: PredictionConfig, should_stop: Callable[[], bool]
) -> Scores | None:
    """Scores of the held-out objects with the weights and thresholds that are handed over; None where it is stopped."""
    try:
        maps = run.validator.embed(model, run.plan.precision, should_stop)
        return run.validator.score(maps, prediction)
    except Stopped:
        return None


def _near_start(
    run: TrainingRun, model: Model, should_stop: Callable[[], bool]
) -> Generator[Message, None, tuple[Model, float, PredictionConfig]]:
    """The model nearest to the start model that finds the annotated objects about as well.

    Also its share of the training, and the settings that it was compared with, which are those to store.
    """
    assert run.start_from is not None
    start, trained = run.start_from.network.state_dict(), model.network.state_dict()

    def model_of(share: float) -> Model:
        return model if share == 1 else run.model(blended(start, trained, share))

    annotated, thresholded = run.data.compared_examples()

    def settings_of(model: Model, take_maps: TakeMaps | None = None) -> PredictionConfig:
        return _reached(run, model, thresholded, should_stop, take_maps)

    share, settings, found = least_share(model_of, annotated, settings_of, run.plan.precision, should_stop)
    if share == 1:
        return model, share, settings
    model = model_of(share)
    kept = f"keeps {100 * (1 - share):.0f} % of the weights it started from"
    if found > 0:
        yield Message(f"The model {kept}: it finds the annotated objects about as well with them.")
    else:
        yield Message(f"The trained network finds none of the annotated objects, so the model {kept}.")
    return model, share, settings


def _result(
    run: TrainingRun,
    model: Model,
    prediction: PredictionConfig,
    share: float,
    score: float | None,
    stopped: bool,
    is_earlier: bool,
) -> TrainingResult:
    history = tuple(run.state.history)
    model.config = run.model_config.model_copy(
        update={
            # Not before: the images that it learned from have said how large objects are in them.
            "prediction": prediction.model_copy(update={"find_scale": run.config.find_scale}),
            "history": tuple(dataclasses.asdict(row) for row in history),
            "training": _record(run, prediction, share, score),
        }
    )
    return TrainingResult(model, history, score, stopped, None, is_earlier)


def _record(run: TrainingRun, prediction: PredictionConfig, share: float, score: float | None) -> dict[str, Any]:
    """How the model was trained, for its file; of its weights `share` are the trained ones, the rest the start's."""
    origin = run.state.origin or run.plan.origin(run.start_from)
    # Held-out images may have chosen another one, for good.
    is_found = run.data.validation and prediction.seed_threshold != run.model_config.prediction.seed_threshold
    return {
        "settings": run.state.settings,
        "crop_size": list(run.plan.crop_size),
        "batch_size": run.plan.batch_size,
        "steps": run.state.step,
        "steps_before": origin.steps_before,
        "seconds": round(run.clock.seconds(), 1),
        "n_images": len(run.data.training),
        "n_validation_images": len(run.data.validation),
        "n_objects": run.sampler.n_objects,
        "n_held_out_objects": run.data.n_held_out,
        "precision": run.plan.precision,
        "device": str(run.fabric.device),
        "best_score": score,
        "started_from": origin.started_from,
        "share_trained": share,
        USUAL_SEED_THRESHOLD: prediction.seed_threshold if is_found else run.plan.usual_seed_threshold,
        # Without a score these are not the weights that it was measured with.
        SURE_SEEDINESS: None if score is None else run.state.sure_seediness,
    }
