"""State of one training and what is done with it; the loop itself is in `trainer`."""

from __future__ import annotations

import copy
import itertools
import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.data.statistics import least_object_size
from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.events import (
    CheckpointSaved,
    EpochFinished,
    LabelsUpdated,
    Message,
    StepFinished,
    TrainingStarted,
)
from embedseg_napari.core.losses.spatial_embedding import LOOPS
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.runs import unheard
from embedseg_napari.core.training.blending import SHARES
from embedseg_napari.core.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    taken_up,
)
from embedseg_napari.core.training.crops.ahead import BatchesAhead
from embedseg_napari.core.training.crops.sampler import CropSampler
from embedseg_napari.core.training.optimization import Optimization
from embedseg_napari.core.training.origin import start_words
from embedseg_napari.core.training.previews import Previews
from embedseg_napari.core.training.schedule import Clock, Schedule
from embedseg_napari.core.training.start import keeps_norms, knows_more
from embedseg_napari.core.training.threads import ThreadTuner

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from torch import Tensor

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.training.planning import TrainingPlan
    from embedseg_napari.core.training.training_set import TrainingSet
    from embedseg_napari.core.training.validation import Scores, Validator

COSTLY = 0.1
"""Part of a time budget that the first validation takes at most."""
VALIDATION_SHARE = 0.03
"""Part of a time budget that validation may take: with previews and the choice of thresholds under a tenth
(benchmarks/overhead.py)."""
CHECKPOINT_SECONDS = 20.0
LOSSES = ("loss", "loss_instance", "loss_variance", "loss_seed")


class TrainingRun:
    """One training from its first step to its model.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    plan : TrainingPlan
        What follows from settings and images.
    data : TrainingSet
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
        data: TrainingSet,
        started: float,
        run_folder: Path | None,
        start_from: Model | None,
    ) -> None:
        self.config, self.plan, self.data, self.run_folder = config, plan, data, run_folder
        self.start_from, self.model_config = start_from, plan.model_config
        data.normalization = self.model_config.normalization
        self.clock = Clock(started)
        self.state = TrainingState(
            settings=config.model_dump(mode="json"),
            start=start_words(start_from),
            origin=plan.origin(start_from),
            network=plan.network(),
            **data.description(),
            **plan.fixed(),
        )
        self.schedule = Schedule(config, plan.steps_per_epoch, self.clock, plan.rate)
        is_kept = keeps_norms(start_from, config, plan.statistics.n_objects + data.n_held_out)
        self.optimization = Optimization(config, plan, start_from, keeps_norms=is_kept)
        self.fabric = self.optimization.fabric
        self.batches = self._make_batches()
        self.last_losses = [0.0] * 4
        self.best: dict[str, Tensor] = {}
        self.last_save = time.monotonic()
        self.is_save_failing = False
        self.previews = Previews()
        self.validation_cost = 0.0
        is_alone = self.fabric.device.type == "cpu" and self.fabric.world_size == 1
        self.threads = ThreadTuner(is_alone and config.epochs is None, LOOPS.is_compiling)

    def _make_batches(self) -> BatchesAhead:
        config = self.config.model_copy(update={"normalization": self.model_config.normalization})
        # Crops are cut on the host also for a GPU, while that works on earlier ones.
        sampler = CropSampler(self.data.training, self.plan.crop_size, config, torch.device("cpu"), self.plan.scale)
        # The 0 stays from when each process had random numbers of its own: results of older seeds stay as they are.
        seed, share = (self.config.seed, 0), (self.fabric.global_rank, self.fabric.world_size)
        n_batches = self.config.virtual_batches
        return BatchesAhead(sampler, self.fabric.device, seed, self.plan.batch_size, n_batches, share)

    @cached_property
    def validator(self) -> Validator:
        """What scores the network; made once a resume has said how parts of images on the disk are normalised."""
        return self.data.validator()

    @property
    def sampler(self) -> CropSampler:
        """Where crops come from."""
        return self.batches.sampler

    def close(self) -> None:
        """End what works beside the training."""
        self.batches.close()
        self.threads.restore()

    def resume(self) -> Message:
        """Go on where the run folder's checkpoint stands.

        Raises
        ------
        DataError
            If it is damaged, or of other images.
        SettingsError
            If it was made with other settings than now.
        """
        loaded = None if self.run_folder is None else load_checkpoint(self.run_folder, self.fabric.device)
        if loaded is None:
            return Message(f"Nothing to resume in {self.run_folder}; training starts from the beginning.", "warning")
        state, tensors = loaded
        self.state, changed = taken_up(self.state, state)
        if state.start is None:
            # An older version's run, which does not tell: what it did not start from must not be mixed in.
            self.start_from, self.optimization.keeps_norms = None, False
        self.state.origin = state.origin or self.plan.origin(self.start_from)
        before, self.plan = self.plan, self.plan.resumed(self.state)
        self.model_config = self.plan.model_config
        self.data.normalization = self.model_config.normalization
        self.schedule.steps_per_epoch, self.schedule.rate = self.plan.steps_per_epoch, self.plan.rate
        if (before.fixed(), before.network()) != (self.plan.fixed(), self.plan.network()):
            self.batches.close()
            self.batches = self._make_batches()
        self.clock.before = state.seconds
        self.optimization.load_state_dict(tensors, state.step)
        self.best = {} if self.state.record is None else tensors["best"]
        resumed = f"Resumed after {state.step} steps ({state.seconds / 60:.1f} minutes). {changed}".strip()
        return Message(resumed, "warning" if changed else "info")

    def start(self) -> TrainingStarted:
        """Say what was found and decided; with a time budget, find out how long validation takes."""
        scored, keeps_start = self.validator.examples, self.keeps_start(math.inf)
        both = self.data.compared_examples() if keeps_start else (self.data.threshold_examples,)
        # Each image once, be it for the threshold, for the share, or for both.
        compared = list({id(one): one for one in itertools.chain(*both)}.values())
        if (scored or compared) and self.config.epochs is None:
            first, axes, model = (scored or compared)[0], self.model_config.axes, self.model()
            given: dict[str, Any] = {"normalize": not first.is_normalized, "precision": self.plan.precision}
            # The first pass, and the first objects, also load and compile what later ones find ready.
            model.predict(first.image, axes, **given, on_event=unheard, progress=False)
            before = time.monotonic()
            model.embed(first.image, axes, **given, on_event=unheard)
            each = time.monotonic() - before
            self._reserve_time(each * len(scored))
            if each * len(scored) > COSTLY * self.schedule.limit:
                # Else the first one, of a network that knows nothing yet, is made whatever it costs.
                self.validation_cost = each * len(scored)
            # Each share that may be kept is compared with a threshold of its own.
            self.schedule.reserve += each * len(compared) * (1 + len(SHARES) if keeps_start else 1)
        return TrainingStarted(
            n_images=len(self.data.training),
            n_validation_images=len(self.data.validation),
            n_objects=self.sampler.n_objects,
            crop_size=self.plan.crop_size,
            n_epochs=self.config.epochs,
            minutes=self.config.minutes if self.config.epochs is None else None,
            steps_per_epoch=self.plan.steps_per_epoch,
            device=str(self.fabric.device),
            precision=self.plan.precision,
            n_held_out_objects=self.data.n_held_out,
        )

    def progress(self, should_stop: Callable[[], bool]) -> tuple[float, bool]:
        """Fraction done, and whether to stop; the same in all processes of a distributed training."""
        mine = (self.schedule.progress(self.state.step), should_stop())
        return mine if self.fabric.world_size == 1 else self.fabric.broadcast(mine)

    def is_epoch_start(self) -> bool:
        """Whether the next step is the first of an epoch."""
        return self.state.step % self.plan.steps_per_epoch == 0

    def is_epoch_end(self, progress: float) -> bool:
        """Whether an epoch is over, or the training, and the epoch's row is not yet written."""
        step, rows = self.state.step, self.state.history
        return step > 0 and (self.is_epoch_start() or progress >= 1) and (not rows or rows[-1].step != step)

    def step(self, progress: float) -> StepFinished:
        """One optimiser step over ``virtual_batches`` batches."""
        self.threads.before_step()
        began = time.monotonic()
        state = self.state
        if self.is_epoch_start():
            state.sums = [0.0] * 4
        learning_rate = self.schedule.learning_rate(state.step, progress)
        known = self.optimization.step(self.batches, self.plan, learning_rate, state.step)
        state.step += 1
        if not known and state.step == 1:
            known = self.optimization.losses.take(wait=True)
        self._add(known)
        self.threads.after_step(time.monotonic() - began)
        return StepFinished(
            epoch=(state.step - 1) // self.plan.steps_per_epoch,
            step=state.step,
            learning_rate=learning_rate,
            progress=self.schedule.progress(state.step),
            **dict(zip(LOSSES, self.last_losses, strict=True)),
        )

    def _add(self, losses: Sequence[list[float]]) -> None:
        """Note the losses of steps that are known now."""
        for each in losses:
            self.state.sums = [a + b for a, b in zip(self.state.sums, each, strict=True)]
            self.last_losses = each

    def settle(self) -> None:
        """Wait for all steps that were begun; weights are used only after that.

        Raises
        ------
        LossError
            If the loss of one is no number.
        """
        self._add(self.optimization.losses.take(wait=True))

    def update_labels(self, examples: Sequence[Example]) -> LabelsUpdated:
        """Learn from new or changed labels from now on; crops, batches and weights of the loss stay as they are.

        Raises
        ------
        DataError
            If an image is of another kind than the others.
        """
        before = time.monotonic()
        changed, is_validation_changed = self.data.update(examples)
        n_changed = self.batches.update(changed)
        described = self.data.description()
        self.state.data, self.state.labels = described["data"], described["labels"]
        self.validator = self.data.validator()
        if is_validation_changed:
            # Scores against other labels say nothing about those before.
            self.state.best_score = self.state.sure_seediness = self.state.record = None
            self.best = {}
        self.optimization.keeps_norms = keeps_norms(self.start_from, self.config, self.n_annotated)
        sizes = self.sampler.object_sizes()
        least = least_object_size(sizes, self.plan.known_least_size)
        prediction = self.model_config.prediction.model_copy(update={"min_object_size": least})
        self.model_config = self.model_config.model_copy(update={"object_sizes": sizes, "prediction": prediction})
        return LabelsUpdated(len(self.data.training), self.sampler.n_objects, n_changed, time.monotonic() - before)

    def between_steps(self, preview: Callable[[], Example | None] | None) -> Generator[TrainingEvent, None, None]:
        """Save and show the state of things when it is time."""
        if time.monotonic() - self.last_save > CHECKPOINT_SECONDS:
            yield from self.save()
        if preview is not None and self.previews.is_due():
            # A loss that is no number ends the training; a preview that cannot be made does not.
            self.settle()
            yield from self.previews.take(preview, self.model, self.plan.precision, self.state.step)

    def save(self) -> Generator[CheckpointSaved | Message, None, bool]:
        """Write a checkpoint, if there is a folder for it; whether it is there. Training goes on where it is not."""
        if self.run_folder is None or self.fabric.global_rank != 0:
            return False
        self.settle()
        self.state.seconds = self.clock.seconds()
        try:
            save_checkpoint(self.run_folder, self.state, {**self.optimization.state_dict(), "best": self.best})
        except DataError as error:
            if not self.is_save_failing:
                yield Message(f"{error} Training goes on; if it is interrupted now, it cannot be resumed.", "warning")
            self.is_save_failing = True
            return False
        finally:
            self.last_save = time.monotonic()
        self.is_save_failing = False
        yield CheckpointSaved(self.run_folder, self.state.step // self.plan.steps_per_epoch)
        return True

    def end_epoch(self, is_last: bool, should_stop: Callable[[], bool]) -> EpochFinished | None:
        """Validate if it is time, and write the epoch's row; None if stopped meanwhile, so that a resume does it."""
        self.settle()
        epoch = (self.state.step - 1) // self.plan.steps_per_epoch
        n_steps = self.state.step - epoch * self.plan.steps_per_epoch
        scores, is_cut = None, False
        if self.validator.examples and self.fabric.global_rank == 0 and (is_last or self._should_validate(epoch)):
            scores = self._validate(should_stop)
            is_cut = scores is None
        # The others would wait for this one.
        if self.fabric.broadcast(is_cut) if self.fabric.world_size > 1 else is_cut:
            return None
        is_best = scores is not None and self._keep_if_best(scores)
        row = EpochFinished(
            epoch=epoch,
            step=self.state.step,
            seconds=self.clock.seconds(),
            learning_rate=self.optimization.optimizer.param_groups[0]["lr"],
            ap_50=None if scores is None else scores.ap_50,
            ap_mean=None if scores is None else scores.ap_mean,
            is_best=is_best,
            **{name: total / n_steps for name, total in zip(LOSSES, self.state.sums, strict=True)},
        )
        self.state.history.append(row)
        self.fabric.barrier()
        return row

    def _should_validate(self, epoch: int) -> bool:
        if self.config.epochs is not None:
            return (epoch + 1) % self.config.validate_every == 0
        with_this = self.state.seconds_validating + self.validation_cost
        return with_this <= VALIDATION_SHARE * self.clock.seconds()

    def _validate(self, should_stop: Callable[[], bool]) -> Scores | None:
        before = time.monotonic()
        maps = self.validator.embed(self.model(), self.plan.precision, should_stop)
        try:
            scores = self.validator.score(maps, self.model_config.prediction)
        except Stopped:
            scores = None
        self.validation_cost = taken = time.monotonic() - before
        self.state.seconds_validating += taken
        self._reserve_time(taken)
        return scores

    def _reserve_time(self, seconds: float) -> None:
        """Keep enough of a time budget for the end, if a validation takes `seconds`."""
        # A last score, maps in float32 and in the reduced precision, and the choice of thresholds; of held-out objects,
        # where there is none, another score with the thresholds that the annotated objects reach.
        times = 6.0 if self.validator.chooses_model else 5.0
        self.schedule.reserve = max(self.schedule.reserve, 2.0 + times * seconds)

    def _keep_if_best(self, scores: Scores) -> bool:
        """Whether the network as it is now is the one to hand over, as far as is known.

        Of states that the held-out images cannot tell apart the later one is kept: it has seen more, at a lower
        learning rate, and the highest of many scores of a few images is mostly chance.
        """
        record, chooses = self.state.record, self.validator.chooses_model
        is_best = not chooses or record is None or scores.is_as_good_as(record)
        if is_best:
            self.state.best_score, self.state.sure_seediness = scores.ap_mean, scores.sure_seediness
        if is_best and chooses:
            weights = self.optimization.average.module.state_dict()
            self.best = {name: value.detach().clone() for name, value in weights.items()}
        if chooses and (record is None or scores.ap_mean >= np.mean(record)):
            self.state.record = list(scores.each)
        return is_best

    def model(self, weights: dict[str, Tensor] | None = None) -> Model:
        """The averaged network as a model of its own, or one with the given weights."""
        self.settle()
        # A copy, not a new network: that would draw random numbers for weights that are replaced at once.
        network: Any = copy.deepcopy(self.optimization.average.module)
        if weights:
            network.load_state_dict(weights)
        return Model(self.model_config, network)

    @property
    def n_annotated(self) -> int:
        """Objects that are annotated by now, with those held out."""
        return self.sampler.n_objects + self.data.n_held_out

    def keeps_start(self, n_steps: float) -> bool:
        """Whether after so many steps the model keeps as much of its start as the annotated objects allow."""
        is_wanted = self.config.keep_start and self.fabric.global_rank == 0 and not self.data.validation
        return is_wanted and knows_more(self.start_from, self.n_annotated, n_steps)
