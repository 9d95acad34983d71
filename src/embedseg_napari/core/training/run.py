"""State and steps of one training; the loop around them is in `trainer`."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.data.crops import CropSampler
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.device import is_out_of_memory
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.events import (
    CheckpointSaved,
    EpochFinished,
    Message,
    PreviewReady,
    StepFinished,
    TrainingFinished,
    TrainingStarted,
)
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss_terms
from embedseg_napari.core.model.erfnet import BranchedERFNet
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.training.average import WeightAverage
from embedseg_napari.core.training.checkpoint import (
    TrainingState,
    check_same_run,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from embedseg_napari.core.training.result import TrainingResult
from embedseg_napari.core.training.schedule import Clock, Schedule
from embedseg_napari.core.training.validation import Scores, Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.pairs import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.training.planning import TrainingPlan

VALIDATION_SHARE = 0.05
"""With a time budget, validation may take this part of the time."""
PREVIEW_SHARE = 0.1
PREVIEW_SECONDS = 3.0
CHECKPOINT_SECONDS = 20.0
FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


class TrainingRun:
    """One training from its first step to its model.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    plan : TrainingPlan
        What follows from settings and images.
    training, validation : sequence of Example
        Images; `validation` may be empty.
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
        training: Sequence[Example],
        validation: Sequence[Example],
        started: float,
        run_folder: Path | None,
        start_from: Model | None,
    ) -> None:
        self.config, self.plan, self.run_folder = config, plan, run_folder
        self.training, self.validation = training, validation
        self.started_from = None if start_from is None else start_from.config.name
        self.ndim = plan.statistics.ndim
        self.model_config = plan.model_config
        self.clock = Clock(started)
        self.state = TrainingState(
            settings=config.model_dump(mode="json"),
            data=[[e.name, list(e.image.shape)] for e in [*training, *validation]],
            crop_size=list(plan.crop_size),
            steps_per_epoch=plan.steps_per_epoch,
        )
        self.schedule = Schedule(config, plan.steps_per_epoch, self.clock)
        self.validator = Validator(validation)
        self.best: dict[str, torch.Tensor] | None = None
        self.last_save = time.monotonic()
        self.last_preview = self.preview_cost = 0.0
        self.has_previewed = False
        self._build(start_from)

    def _build(self, start_from: Model | None) -> None:
        import lightning_fabric

        devices: Any = self.config.devices
        if self.plan.device.type == "cuda" and self.plan.device.index is not None and devices == 1:
            devices = [self.plan.device.index]
        # Fabric tells its precision and its processes on the console; events tell ours.
        logger = logging.getLogger("lightning_fabric")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            self.fabric = lightning_fabric.Fabric(
                accelerator=self.plan.device.type, devices=devices, precision=FABRIC_PRECISION[self.plan.precision]
            )
            self.fabric.launch()
        finally:
            logger.setLevel(level)
        self.device = self.fabric.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            network = BranchedERFNet(self.ndim, self.model_config.n_channels)
        if start_from is not None:
            network.load_state_dict(start_from.network.state_dict())
        elif self.config.initial_margin == "object":
            margins = [0.5 * extent for extent in self.plan.statistics.sizes.mean]
            network.set_initial_margin(margins, self.model_config.grid_spacing)
        self.memory_format = torch.channels_last if self.ndim == 2 else torch.channels_last_3d
        self.bare = network.to(self.device).to(memory_format=self.memory_format)  # type: ignore[call-overload]
        kind = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(
            [p for p in network.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        self.average = WeightAverage(self.bare, self.config.average_decay)
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)
        config = self.config.model_copy(update={"normalization": self.model_config.normalization})
        self.sampler = CropSampler(self.training, self.plan.crop_size, config, self.device)

    def begin(self) -> TrainingStarted:
        """Say what was found and decided."""
        if self.validation and self.config.epochs is None:
            # One image tells how long validation will take, and so how much of the budget to keep for the end.
            before = time.monotonic()
            self.model().embed(self.validation[0].image, self.model_config.axes, precision=self.plan.precision)
            self._keep_time_for_the_end((time.monotonic() - before) * len(self.validation))
        return TrainingStarted(
            n_images=len(self.training),
            n_validation_images=len(self.validation),
            n_objects=self.plan.statistics.n_objects,
            crop_size=self.plan.crop_size,
            n_epochs=self.config.epochs,
            minutes=self.config.minutes if self.config.epochs is None else None,
            steps_per_epoch=self.plan.steps_per_epoch,
            device=str(self.device),
            precision=self.plan.precision,
        )

    def progress(self, should_stop: Callable[[], bool]) -> tuple[float, bool]:
        """Fraction done, and whether to stop; the same in all processes of a distributed training."""
        mine = (self.schedule.progress(self.state.step), should_stop())
        if self.fabric.world_size == 1:
            return mine
        return self.fabric.broadcast(mine)

    def step(self, progress: float) -> StepFinished:
        """One optimiser step over ``virtual_batches`` batches."""
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
                sums = self._gradients(rng)
            if not math.isfinite(sums[0]):
                raise ComputeError(
                    f"The loss became {sums[0]} at step {self.state.step}; train with a lower learning rate, "
                    "or in float32."
                )
            self.optimizer.step()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise ComputeError(
                    "The device ran out of memory; take a smaller crop or batch (virtual batches make up for it)."
                ) from error
            raise ComputeError(f"The computation failed: {error}") from error
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.average.update(self.bare, self.state.step)
        self.state.sums = [a + b for a, b in zip(self.state.sums, sums, strict=True)]
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

    def _gradients(self, rng: np.random.Generator) -> list[float]:
        """Add up gradients of the step's batches; loss and its terms, averaged."""
        sums = [0.0] * 4
        parts = self.config.virtual_batches
        weights = (self.config.weight_instance, self.config.weight_variance, self.config.weight_seed)
        for part in range(parts):
            batch = self.sampler.draw(self.plan.batch_size, rng)
            with self.fabric.no_backward_sync(self.network, enabled=part < parts - 1):
                terms = spatial_embedding_loss_terms(
                    self.network(batch.images.contiguous(memory_format=self.memory_format)),
                    batch.instances,
                    batch.centers,
                    self.model_config.grid_spacing,
                    self.plan.foreground_weight,
                    weights,
                    batch.ignore,
                )
                self.fabric.backward(terms.total / parts)
            sums = [a + float(b.detach()) / parts for a, b in zip(sums, terms, strict=True)]
        return sums

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
        if self.validation and self.fabric.global_rank == 0 and (is_last or self._should_validate(epoch)):
            scores = self._validate(should_stop)
            if scores is None:
                return None
        # Of equals the later: it has seen more.
        is_best = scores is not None and (self.state.best_score is None or scores.ap_mean >= self.state.best_score)
        if scores is not None and is_best:
            self.state.best_score = scores.ap_mean
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
        # A last score, maps in float32 and in the reduced precision, and the choice of thresholds.
        self.schedule.reserve = max(self.schedule.reserve, 2.0 + 6.0 * seconds)

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
        segmentation = self.model().predict(example.image, self.model_config.axes, precision=self.plan.precision)
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
        tensors = {f"network.{k}": v for k, v in self.bare.state_dict().items()}
        if self.average.network is not self.bare:
            tensors |= {f"average.{k}": v for k, v in self.average.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        tensors |= {f"optimizer.{k}": v for k, v in flatten_optimizer(self.optimizer).items()}
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
        self.state = dataclasses.replace(state, settings=self.state.settings)
        self.clock.before = state.seconds

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

        self.bare.load_state_dict(part("network"))
        if self.average.network is not self.bare:
            self.average.network.load_state_dict(part("average"))
        self.best = part("best") or None
        restore_optimizer(self.optimizer, part("optimizer"))
        return Message(f"Resumed after {state.step} steps ({state.seconds / 60:.1f} minutes).")

    def finish(self, stopped: bool) -> Generator[TrainingEvent, None, TrainingResult]:
        """Keep the best model, choose its thresholds and precision, and hand it over."""
        yield from self.save()
        model = self.model(self.best)
        prediction = self.model_config.prediction
        if not stopped and self.validation and self.fabric.global_rank == 0:
            prediction, message = self.validator.choose_prediction(model, prediction, self.plan.precision)
            if message is not None:
                yield message
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
            "n_images": len(self.training),
            "n_validation_images": len(self.validation),
            "n_objects": self.plan.statistics.n_objects,
            "precision": self.plan.precision,
            "device": str(self.device),
            "best_score": self.state.best_score,
            "started_from": self.started_from,
        }
