"""State and steps of one training; the loop around them is in `trainer`."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.statistics import least_object_size
from embedseg_napari.core.device import is_out_of_memory
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.events import (
    CheckpointSaved,
    EpochFinished,
    LabelsUpdated,
    Message,
    PreviewReady,
    StepFinished,
    TrainingFinished,
    TrainingStarted,
)
from embedseg_napari.core.losses.spatial_embedding import LOOPS
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.network import memory_format
from embedseg_napari.core.training.average import WeightAverage
from embedseg_napari.core.training.checkpoint import (
    TrainingState,
    check_same_run,
    collect_tensors,
    load_checkpoint,
    restore_tensors,
    save_checkpoint,
)
from embedseg_napari.core.training.crops.sampler import CropSampler
from embedseg_napari.core.training.gradients import Gradients
from embedseg_napari.core.training.result import TrainingResult
from embedseg_napari.core.training.schedule import Clock, Schedule
from embedseg_napari.core.training.setup import first_network, launch_fabric, make_optimizer
from embedseg_napari.core.training.threads import ThreadTuner
from embedseg_napari.core.training.validation import with_reached_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.training.planning import TrainingPlan
    from embedseg_napari.core.training.training_set import Annotations
    from embedseg_napari.core.training.validation import Scores

VALIDATION_SHARE = 0.05
"""With a time budget, validation may take this part of the time."""
PREVIEW_SHARE = 0.1
PREVIEW_SECONDS = 3.0
CHECKPOINT_SECONDS = 20.0


class TrainingRun:
    """One training from its first step to its model.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    plan : TrainingPlan
        What follows from settings and images.
    annotations : Annotations
        Images to train on and to validate on.
    started : float
        `time.monotonic` at the start of the program.
    run_folder : Path, optional
        Where checkpoints go.
    start_from : Model, optional
        Model whose weights training starts from.
    """

    def __init__(
        self,
        config: TrainingConfig,
        plan: TrainingPlan,
        annotations: Annotations,
        started: float,
        run_folder: Path | None,
        start_from: Model | None,
    ) -> None:
        self.config, self.plan, self.run_folder = config, plan, run_folder
        self.annotations = annotations
        self.started_from = None if start_from is None else start_from.config.name
        self.model_config = plan.model_config
        self.clock = Clock(started)
        self.state = TrainingState(
            settings=config.model_dump(mode="json"), **annotations.names_and_shapes(), **plan.lasting()
        )
        self.schedule = Schedule(config, plan.steps_per_epoch, self.clock, plan.rate)
        self.validator = annotations.validator()
        self.best: dict[str, torch.Tensor] | None = None
        self.last_save = time.monotonic()
        self.last_preview = self.preview_cost = 0.0
        self.has_previewed = False
        self._build(start_from)

    def _build(self, start_from: Model | None) -> None:
        self.fabric = launch_fabric(self.config, self.plan)
        self.device = self.fabric.device
        network = first_network(self.config, self.plan, start_from)
        self.bare = network.to(self.device).to(memory_format=memory_format(self.plan.statistics.ndim))  # type: ignore[call-overload]
        optimizer = make_optimizer(self.config, network)
        self.average = WeightAverage(self.bare, self.config.average_decay)
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self.sampler = self._make_sampler()
        self.gradients = Gradients(self.config, self.plan, self.fabric, self.network, self.sampler)
        is_alone = self.device.type == "cpu" and self.fabric.world_size == 1
        self.threads = ThreadTuner(is_alone and self.config.epochs is None, LOOPS.is_compiling)

    def _make_sampler(self) -> CropSampler:
        config = self.config.model_copy(update={"normalization": self.model_config.normalization})
        plan = self.plan
        return CropSampler(self.annotations.training, plan.crop_size, config, self.device, plan.scale)

    def begin(self) -> TrainingStarted:
        """Say what was found and decided."""
        scored, telling = self.validator.examples, self.annotations.telling
        if (scored or telling) and self.config.epochs is None:
            # One image tells how long validation will take, and so how much of the budget to keep for the end.
            first, axes, model = (scored or telling)[0].image, self.model_config.axes, self.model()
            # The first pass, and the first objects, also load and compile what later ones find ready.
            model.predict(first, axes, precision=self.plan.precision)
            before = time.monotonic()
            model.embed(first, axes, precision=self.plan.precision)
            each = time.monotonic() - before
            self._keep_time_for_the_end(each * len(scored))
            self.schedule.reserve += each * len(telling)
        return TrainingStarted(
            n_images=len(self.annotations.training),
            n_validation_images=len(self.annotations.validation),
            n_objects=self.sampler.n_objects,
            crop_size=self.plan.crop_size,
            n_epochs=self.config.epochs,
            minutes=self.config.minutes if self.config.epochs is None else None,
            steps_per_epoch=self.plan.steps_per_epoch,
            device=str(self.device),
            precision=self.plan.precision,
            n_held_out_objects=self.annotations.n_held_out,
        )

    def progress(self, should_stop: Callable[[], bool]) -> tuple[float, bool]:
        """Fraction done, and whether to stop; the same in all processes of a distributed training."""
        mine = (self.schedule.progress(self.state.step), should_stop())
        if self.fabric.world_size == 1:
            return mine
        return self.fabric.broadcast(mine)

    def step(self, progress: float) -> StepFinished:
        """One optimiser step over ``virtual_batches`` batches."""
        self.threads.before_step()
        began = time.monotonic()
        epoch, done = divmod(self.state.step, self.plan.steps_per_epoch)
        if done == 0:
            self.state.sums = [0.0] * 4
        learning_rate = self.schedule.learning_rate(self.state.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # Every step has random numbers of its own, so that a resumed training needs to remember none.
        rng = np.random.default_rng([self.config.seed, self.fabric.global_rank, self.state.step])
        self.bare.train()
        try:
            # Dropout draws from torch's global generator: seed it for this step only, and give it back as it was.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(int(rng.integers(2**62)))
                sums = self.gradients(rng)
            if not math.isfinite(sums[0]):
                raise ComputeError(
                    f"The loss became {sums[0]} at step {self.state.step}; train with a lower learning rate, "
                    "or in float32."
                )
            self.optimizer.step()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise ComputeError(
                    "The device ran out of memory; turn on low_memory, or take a smaller crop or batch "
                    "(virtual batches make up for it)."
                ) from error
            raise ComputeError(f"The computation failed: {error}") from error
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.average.update(self.state.step)
        self.state.sums = [a + b for a, b in zip(self.state.sums, sums, strict=True)]
        self.threads.after_step(time.monotonic() - began)
        return StepFinished(
            epoch=epoch,
            step=self.state.step,
            loss=sums[0],
            loss_instance=sums[1],
            loss_variance=sums[2],
            loss_seed=sums[3],
            learning_rate=learning_rate,
            progress=self.schedule.progress(self.state.step),
        )

    def model(self, weights: dict[str, torch.Tensor] | None = None) -> Model:
        """The averaged network as a model of its own, or one with the given weights."""
        # A copy, not a new network: that would draw random numbers for weights that are replaced at once.
        network: Any = copy.deepcopy(self.average.network)
        if weights is not None:
            network.load_state_dict(weights)
        return Model(self.model_config, network)

    def owes_epoch_end(self, progress: float) -> bool:
        """Whether an epoch is over, or the training, and its row is not yet written."""
        step, rows = self.state.step, self.state.history
        is_over = step > 0 and (step % self.plan.steps_per_epoch == 0 or progress >= 1.0)
        return is_over and (not rows or rows[-1]["step"] != step)

    def end_epoch(self, is_last: bool, should_stop: Callable[[], bool]) -> EpochFinished | None:
        """Validate if it is time, and write the epoch's row; None if stopped meanwhile, so that a resume does it."""
        epoch = (self.state.step - 1) // self.plan.steps_per_epoch
        steps = self.state.step - epoch * self.plan.steps_per_epoch
        scores = None
        if self.validator.examples and self.fabric.global_rank == 0 and (is_last or self._should_validate(epoch)):
            scores = self._validate(should_stop)
            if scores is None:
                return None
        # Of states that the held-out images cannot tell apart the later one is kept: it has seen more, at a lower
        # learning rate, and the highest of many scores of a few images is mostly chance.
        record = self.state.record
        is_best = scores is not None and (
            not self.validator.chooses_model or record is None or scores.is_as_good_as(record)
        )
        if scores is not None and is_best:
            self.state.best_score = scores.ap_mean
        if (
            scores is not None
            and self.validator.chooses_model
            and (record is None or scores.ap_mean >= np.mean(record))
        ):
            self.state.record = list(scores.each)
        if is_best and self.validator.chooses_model:
            self.best = {k: v.detach().clone() for k, v in self.average.network.state_dict().items()}
        means = [value / steps for value in self.state.sums]
        row = EpochFinished(
            epoch=epoch,
            step=self.state.step,
            seconds=self.clock.seconds(),
            loss=means[0],
            loss_instance=means[1],
            loss_variance=means[2],
            loss_seed=means[3],
            learning_rate=self.optimizer.param_groups[0]["lr"],
            ap_50=None if scores is None else scores.ap_50,
            ap_mean=None if scores is None else scores.ap_mean,
            is_best=is_best,
        )
        self.state.history.append(dataclasses.asdict(row))
        self.fabric.barrier()
        return row

    def _should_validate(self, epoch: int) -> bool:
        if self.config.epochs is not None:
            return (epoch + 1) % self.config.validate_every == 0
        return self.state.seconds_validating <= VALIDATION_SHARE * self.clock.seconds()

    def _validate(self, should_stop: Callable[[], bool]) -> Scores | None:
        before = time.monotonic()
        maps = self.validator.embed(self.model(), self.plan.precision, should_stop)
        scores = None if maps is None else self.validator.score(maps, self.model_config.prediction)
        taken = time.monotonic() - before
        self.state.seconds_validating += taken
        self._keep_time_for_the_end(taken)
        return scores

    def _keep_time_for_the_end(self, seconds: float) -> None:
        # A last score, maps in float32 and in the reduced precision, and the choice of thresholds where there is one.
        times = 6.0 if self.validator.chooses_model else 4.0
        self.schedule.reserve = max(self.schedule.reserve, 2.0 + times * seconds)

    def starts_epoch(self) -> bool:
        """Whether the next step is the first of an epoch."""
        return self.state.step % self.plan.steps_per_epoch == 0

    def take_up_labels(self, examples: Sequence[Example]) -> LabelsUpdated:
        """Learn from new or changed labels from now on; crops, batches and weights of the loss stay as they are.

        Raises
        ------
        DataError
            If an image is of another kind than the others.
        """
        before = time.monotonic()
        changed, is_validation_other = self.annotations.update(examples)
        n_changed = self.sampler.update(changed)
        self.state.data = self.annotations.names_and_shapes()["data"]
        self.validator = self.annotations.validator()
        if is_validation_other:
            # Scores against other labels say nothing about those before.
            self.state.best_score, self.state.record, self.best = None, None, None
        self._measure_objects()
        return LabelsUpdated(
            n_images=len(self.annotations.training),
            n_objects=self.sampler.n_objects,
            n_changed=n_changed,
            seconds=time.monotonic() - before,
        )

    def _measure_objects(self) -> None:
        sizes = self.sampler.object_sizes()
        prediction = self.model_config.prediction.model_copy(update={"min_object_size": least_object_size(sizes)})
        self.model_config = self.model_config.model_copy(update={"object_sizes": sizes, "prediction": prediction})

    def between_steps(self, preview: Callable[[], Example | None] | None) -> Generator[TrainingEvent, None, None]:
        """Save and show the state of things when it is time."""
        now = time.monotonic()
        if self.run_folder is not None and now - self.last_save > CHECKPOINT_SECONDS:
            yield from self.save()
        if preview is not None and now - self.last_preview > max(PREVIEW_SECONDS, self.preview_cost / PREVIEW_SHARE):
            example = preview()
            if example is not None:
                yield self._preview(example)
            self.last_preview = time.monotonic()
            # The first one also loads and compiles what later ones find ready; it says nothing about their cost.
            self.preview_cost = self.last_preview - now if self.has_previewed else 0.0
            self.has_previewed = True

    def _preview(self, example: Example) -> PreviewReady:
        segmentation = self.model().predict(
            # Nobody wants to be warned of what a network finds that has hardly learned.
            example.image, self.model_config.axes, precision=self.plan.precision, on_event=lambda _: None,
        )  # fmt: skip
        assert segmentation.maps is not None
        return PreviewReady(
            name=example.name,
            image=normalize(example.image, self.model_config.normalization),
            maps=segmentation.maps,
            labels=segmentation.labels,
            centers=segmentation.centers,
            scores=segmentation.scores,
            step=self.state.step,
        )

    def save(self) -> Generator[CheckpointSaved, None, None]:
        """Write a checkpoint, if there is a folder for it."""
        if self.run_folder is None or self.fabric.global_rank != 0:
            return
        self.state.seconds = self.clock.seconds()
        tensors = collect_tensors(self.bare, self.average.network, self.best, self.optimizer)
        save_checkpoint(self.run_folder, self.state, tensors)
        self.last_save = time.monotonic()
        yield CheckpointSaved(self.run_folder, self.state.step // self.plan.steps_per_epoch)

    def take_up_checkpoint(self) -> Message:
        """Go on where the run folder's checkpoint stands.

        Raises
        ------
        DataError
            If it is damaged, or of other images.
        SettingsError
            If it was made with other settings than now.
        """
        loaded = None if self.run_folder is None else load_checkpoint(self.run_folder, self.device)
        if loaded is None:
            return Message(f"Nothing to resume in {self.run_folder}; training starts from the beginning.", "warning")
        state, tensors = loaded
        check_same_run(self.state, state)
        kept = {"settings", "data", "validation"}
        self.state = dataclasses.replace(state, **{name: getattr(self.state, name) for name in kept})
        self.plan = self.gradients.plan = self.plan.going_on(state)
        self.schedule.steps_per_epoch, self.schedule.rate = self.plan.steps_per_epoch, self.plan.rate
        self.model_config = self.plan.model_config
        if (self.sampler.crop_size, self.sampler.scale) != (self.plan.crop_size, self.plan.scale):
            self.sampler = self.gradients.sampler = self._make_sampler()
        self.clock.before = state.seconds
        self.best = restore_tensors(tensors, self.bare, self.average.network, self.optimizer)
        return Message(f"Resumed after {state.step} steps ({state.seconds / 60:.1f} minutes).")

    def finish(self, stopped: bool) -> Generator[TrainingEvent, None, TrainingResult]:
        """Keep the best model, choose its thresholds and precision, and hand it over."""
        yield from self.save()
        model = self.model(self.best)
        prediction = self.model_config.prediction
        if not stopped and self.validator.examples and self.fabric.global_rank == 0:
            prediction, message = self.validator.choose_prediction(model, prediction, self.plan.precision)
            if message is not None:
                yield message
        if self.annotations.telling:
            prediction = with_reached_seeds(model, self.annotations.telling, prediction, self.plan.precision)
        model.config = self.model_config.model_copy(
            update={"prediction": prediction, "history": tuple(self.state.history), "training": self._record()}
        )
        history = tuple(EpochFinished(**row) for row in self.state.history)
        yield TrainingFinished(stopped, self.state.best_score)
        return TrainingResult(model, history, self.state.best_score, stopped, None)

    def _record(self) -> dict[str, Any]:
        """How the model was trained, for its file."""
        return {
            "settings": self.state.settings,
            "crop_size": list(self.plan.crop_size),
            "batch_size": self.plan.batch_size,
            "steps": self.state.step,
            "seconds": round(self.clock.seconds(), 1),
            "n_images": len(self.annotations.training),
            "n_validation_images": len(self.annotations.validation),
            "n_objects": self.sampler.n_objects,
            "n_held_out_objects": self.annotations.n_held_out,
            "precision": self.plan.precision,
            "device": str(self.device),
            "best_score": self.state.best_score,
            "started_from": self.started_from,
        }
