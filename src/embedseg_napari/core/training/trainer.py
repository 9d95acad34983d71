"""The one training loop: a generator of events that scripts, the command line and the viewer drain alike."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.config import ModelConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.data.crops import CropSampler
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import Example, check_examples, from_arrays, split_validation
from embedseg_napari.core.data.statistics import crop_size as suggested_crop_size
from embedseg_napari.core.data.statistics import measure
from embedseg_napari.core.device import choose_device, supports_bfloat16
from embedseg_napari.core.errors import ComputeError, DataError, SettingsError
from embedseg_napari.core.events import (
    CheckpointSaved,
    EpochFinished,
    Message,
    PreviewReady,
    StepFinished,
    TrainingFinished,
    TrainingStarted,
)
from embedseg_napari.core.losses.spatial_embedding import LossTerms, spatial_embedding_loss_terms
from embedseg_napari.core.model.erfnet import BranchedERFNet
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.training.average import WeightAverage
from embedseg_napari.core.training.checkpoint import (
    TrainingState,
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

    from embedseg_napari.core.events import TrainingEvent

PIXELS_PER_STEP = {2: 131072, 3: 409600}
"""Pixels in an automatic batch: enough to keep two cores busy, few enough for many steps in a short training."""
VALIDATION_SHARE = 0.05
"""With a time budget, validation may take this part of the time."""
PREVIEW_SHARE = 0.1
PREVIEW_SECONDS = 3.0
CHECKPOINT_SECONDS = 20.0
PRECISION_TOLERANCE = 0.002
"""Loss of mean AP up to which a reduced precision is stored with the model."""


def never() -> bool:
    """Never stop."""
    return False


class Trainer:
    """Trains a network on annotated images.

    Parameters
    ----------
    config : TrainingConfig
        All settings; ``TrainingConfig()`` is the ``fast`` preset.
    training : sequence of Example or of (image, labels) arrays
        Annotated images.
    validation : sequence of Example or of (image, labels) arrays, optional
        Held-out images; without them ``config.validation_fraction`` of the training images is held out. An empty
        sequence turns validation off.
    start_from : Model, optional
        Model whose weights, coordinate grid and normalisation training starts from.
    run_folder : Path, optional
        Where checkpoints go; without it a training cannot be resumed.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    resume : bool
        Go on from the run folder's checkpoint if there is one.
    started : float, optional
        `time.monotonic` at the start of the program; a time budget counts from there.
    preview : callable, optional
        Called now and then; returns an Example the current network shall be shown on, or None.

    Raises
    ------
    DataError
        If the images cannot be trained on.
    SettingsError
        If settings do not fit the images or the start model.
    """

    def __init__(
        self,
        config: TrainingConfig,
        training: Sequence[Any],
        validation: Sequence[Any] | None = None,
        start_from: Model | None = None,
        run_folder: Path | None = None,
        *,
        device: str = "auto",
        resume: bool = False,
        started: float | None = None,
        preview: Callable[[], Example | None] | None = None,
    ) -> None:
        self.config = config
        self.training = _as_examples(training)
        self.validation = None if validation is None else _as_examples(validation)
        self.start_from = start_from
        self.run_folder = run_folder
        self.device = device
        self.resume = resume
        self.started = time.monotonic() if started is None else started
        self.preview = preview

    def run(self, should_stop: Callable[[], bool] = never) -> Generator[TrainingEvent, None, TrainingResult]:
        """Train, telling what happens; the generator's value is the TrainingResult.

        Parameters
        ----------
        should_stop : callable
            Looked at between steps and between validation images; when it returns True training ends in order.
        """
        for warning in check_examples([*self.training, *(self.validation or [])]):
            yield Message(warning, "warning")
        training, validation = self._split()
        run = _Run(self, training, validation)
        yield from run.prepare()
        yield run.started_event()
        stopped = False
        while run.schedule.progress(run.state.step) < 1.0:
            if should_stop():
                stopped = True
                break
            yield run.step()
            if run.state.step % run.state.steps_per_epoch == 0:
                yield run.end_epoch(should_stop)
            yield from run.between_steps(self.preview)
        return (yield from run.finish(stopped, should_stop))

    def _split(self) -> tuple[list[Example], list[Example]]:
        if self.validation is not None:
            return self.training, self.validation
        # One or two held-out images choose nothing reliably; with few images every one is needed for training.
        if self.config.validation_fraction == 0 or len(self.training) < 5:
            return self.training, []
        return split_validation(self.training, self.config.validation_fraction, seed=self.config.seed)


class _Run:
    """State and steps of one training."""

    def __init__(self, trainer: Trainer, training: list[Example], validation: list[Example]) -> None:
        self.trainer = trainer
        self.config = trainer.config
        self.training, self.validation = training, validation
        self.statistics = measure(training)
        if self.statistics.n_objects == 0:
            raise DataError("No training image holds an object; label some objects first.")
        self.ndim = self.statistics.ndim
        self.device = choose_device(trainer.device)
        self.clock = Clock(trainer.started)
        self.crop_size = self._crop_size()
        self.batch_size = self.config.batch_size or max(
            1, round(PIXELS_PER_STEP[self.ndim] / math.prod(self.crop_size))
        )
        per_step = self.batch_size * self.config.virtual_batches
        steps = self.config.steps_per_epoch or max(1, math.ceil(self.statistics.n_objects / per_step))
        self.state = TrainingState(
            settings=self.config.model_dump(mode="json"),
            data=[[e.name, list(e.image.shape)] for e in [*training, *validation]],
            crop_size=list(self.crop_size),
            steps_per_epoch=steps,
        )
        self.rng = np.random.default_rng(self.config.seed)
        self.schedule = Schedule(self.config, steps, self.clock)
        self.validator = Validator(validation)
        self.foreground_weight = self.config.foreground_weight or (
            10.0 if self.ndim == 2 else self.statistics.background_over_foreground
        )
        self.best: dict[str, torch.Tensor] | None = None
        self.last_save = time.monotonic()
        self.last_preview = 0.0
        self.preview_cost = 0.0

    def _crop_size(self) -> tuple[int, ...]:
        size = self.config.crop_size
        if size is None:
            return suggested_crop_size(self.statistics.sizes, [e.image.shape[1:] for e in self.training])
        if len(size) != self.ndim:
            raise SettingsError(f"crop_size has {len(size)} values; the images have {self.ndim} spatial axes.")
        return size

    def prepare(self) -> Generator[TrainingEvent, None, None]:
        """Build network, optimiser and sampler; take up a checkpoint."""
        import lightning_fabric

        self.precision = self._precision()
        self.fabric = lightning_fabric.Fabric(
            accelerator=self.device.type,
            devices=[self.device.index or 0] if self.device.type == "cuda" else 1,
            precision={"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}[self.precision],
        )
        yield from self._configure_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            network = BranchedERFNet(self.ndim, self.model_config.n_channels)
        if self.trainer.start_from is not None:
            network.load_state_dict(self.trainer.start_from.network.state_dict())
        elif self.config.initial_margin == "object":
            network.set_initial_margin([0.5 * s for s in self.statistics.sizes.mean], self.model_config.grid_spacing)
        self.memory_format = torch.channels_last if self.ndim == 2 else torch.channels_last_3d
        network = network.to(self.device, memory_format=self.memory_format)
        kind = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(network.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        self.bare = network
        self.average = WeightAverage(network, self.config.average_decay)
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.sampler = CropSampler(self.training, self.crop_size, self._sampling_config(), self.device)
        if self.trainer.resume:
            yield from self._take_up_checkpoint()

    def _precision(self) -> str:
        if self.config.precision == "auto":
            return "bfloat16" if supports_bfloat16(self.device) else "float32"
        return self.config.precision

    def _configure_model(self) -> Generator[TrainingEvent, None, None]:
        statistics, start = self.statistics, self.trainer.start_from
        spacing = statistics.spacing
        step = 1.0 / (self.config.grid_samples - 1)
        grid = [step] * self.ndim
        if self.ndim == 3 and spacing is not None:
            grid[0] = step * spacing[0] / spacing[-1]
        normalization = self.config.normalization
        if start is not None:
            if (start.config.ndim, start.config.n_channels) != (self.ndim, statistics.n_channels):
                raise SettingsError(
                    f"The start model works on {start.config.ndim}D images with {start.config.n_channels} channel(s); "
                    f"these are {self.ndim}D with {statistics.n_channels}. Start from another model, or from scratch."
                )
            # Weights mean nothing on another grid or after another normalisation.
            grid, normalization = list(start.config.grid_spacing), start.config.normalization
            if normalization != self.config.normalization:
                yield Message("Normalisation is that of the start model, not that of the settings.")
        self.model_config = ModelConfig(
            ndim=self.ndim,
            n_channels=statistics.n_channels,
            grid_spacing=tuple(grid),
            spacing=spacing,
            spacing_unit=self.training[0].unit,
            normalization=normalization,
            object_sizes=statistics.sizes,
            prediction=PredictionConfig(min_object_size=int(statistics.sizes.min_size // 2)),
        )

    def _sampling_config(self) -> TrainingConfig:
        return self.config.model_copy(update={"normalization": self.model_config.normalization})

    def started_event(self) -> TrainingStarted:
        """What was found and decided."""
        return TrainingStarted(
            n_images=len(self.training),
            n_validation_images=len(self.validation),
            n_objects=self.statistics.n_objects,
            crop_size=self.crop_size,
            n_epochs=self.config.epochs,
            minutes=self.config.minutes if self.config.epochs is None else None,
            steps_per_epoch=self.state.steps_per_epoch,
            device=str(self.device),
            precision=self.precision,
        )

    def step(self) -> StepFinished:
        """One optimiser step over ``virtual_batches`` batches."""
        epoch, done = divmod(self.state.step, self.state.steps_per_epoch)
        if done == 0:
            self.state.sums = [0.0] * 4
        learning_rate = self.schedule.learning_rate(self.state.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        sums = [0.0] * 4
        self.bare.train()
        try:
            # Dropout draws from torch's global generator: seed it for this step only, and give it back as it was.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(int(self.rng.integers(2**62)))
                for part in range(self.config.virtual_batches):
                    terms = self._backward(last=part == self.config.virtual_batches - 1)
                    sums = [a + float(b.detach()) / self.config.virtual_batches for a, b in zip(sums, terms, strict=True)]
            if not math.isfinite(sums[0]):
                raise ComputeError(
                    f"The loss became {sums[0]} at step {self.state.step}; train with a lower learning rate or in float32."
                )
            self.optimizer.step()
        except RuntimeError as error:
            raise _compute_error(error) from error
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.average.update(self.bare, self.state.step)
        self.state.sums = [a + b for a, b in zip(self.state.sums, sums, strict=True)]
        return StepFinished(epoch, self.state.step, *sums, learning_rate, self.schedule.progress(self.state.step))

    def _backward(self, last: bool) -> LossTerms:
        batch = self.sampler.draw(self.batch_size, self.rng)
        weights = (self.config.weight_instance, self.config.weight_variance, self.config.weight_seed)
        with self.fabric.no_backward_sync(self.network, enabled=not last):
            raw = self.network(batch.images.contiguous(memory_format=self.memory_format))
            terms = spatial_embedding_loss_terms(
                raw,
                batch.instances,
                batch.centers,
                self.model_config.grid_spacing,
                self.foreground_weight,
                weights,
                batch.ignore,
            )
            self.fabric.backward(terms.total / self.config.virtual_batches)
        return terms

    def model(self, weights: dict[str, torch.Tensor] | None = None) -> Model:
        """The averaged network as a model of its own, or one with the given weights."""
        network = BranchedERFNet(self.ndim, self.model_config.n_channels)
        network.load_state_dict(self.average.network.state_dict() if weights is None else weights)
        return Model(self.model_config, network.to(self.device))

    def end_epoch(self, should_stop: Callable[[], bool]) -> EpochFinished:
        """Validate if it is time, and write the epoch's row."""
        epoch = self.state.step // self.state.steps_per_epoch - 1
        scores = self._validate(should_stop) if self._should_validate(epoch) else None
        is_best = scores is not None and (self.state.best_score is None or scores.ap_mean > self.state.best_score)
        if scores is not None and is_best:
            self.state.best_score = scores.ap_mean
            self.best = {k: v.detach().clone() for k, v in self.average.network.state_dict().items()}
        steps = self.state.step - epoch * self.state.steps_per_epoch
        row = EpochFinished(
            epoch,
            self.state.step,
            self.clock.seconds(),
            *[value / steps for value in self.state.sums],
            self.optimizer.param_groups[0]["lr"],
            None if scores is None else scores.ap_50,
            None if scores is None else scores.ap_mean,
            is_best,
        )
        self.state.history.append(dataclasses.asdict(row))
        return row

    def _should_validate(self, epoch: int) -> bool:
        if not self.validation:
            return False
        if self.config.epochs is not None:
            return (epoch + 1) % self.config.validate_every == 0 or epoch + 1 == self.config.epochs
        return self.state.seconds_validating <= VALIDATION_SHARE * self.clock.seconds()

    def _validate(self, should_stop: Callable[[], bool]) -> Scores | None:
        before = time.monotonic()
        maps = self.validator.embed(self.model(), self.precision, should_stop)
        scores = None if maps is None else self.validator.score(maps, self.model_config.prediction)
        taken = time.monotonic() - before
        self.state.seconds_validating += taken
        # The end needs a last score, one in float32 and the choice of thresholds.
        self.schedule.reserve = max(self.schedule.reserve, 2.0 + 5.0 * taken)
        return scores

    def between_steps(self, preview: Callable[[], Example | None] | None) -> Generator[TrainingEvent, None, None]:
        """Save and show the state of things when it is time."""
        now = time.monotonic()
        if self.trainer.run_folder is not None and now - self.last_save > CHECKPOINT_SECONDS:
            yield self._save()
        if preview is not None and now - self.last_preview > max(PREVIEW_SECONDS, self.preview_cost / PREVIEW_SHARE):
            example = preview()
            if example is not None:
                yield self._preview(example)
            self.last_preview = time.monotonic()
            self.preview_cost = self.last_preview - now

    def _preview(self, example: Example) -> PreviewReady:
        segmentation = self.model().predict(example.image, self.model_config.axes, precision=self.precision)
        return PreviewReady(
            example.name,
            normalize(example.image, self.model_config.normalization),
            segmentation.maps.seed_map,
            segmentation.labels,
            segmentation.centers,
            segmentation.scores,
            self.state.step,
        )

    def _save(self) -> CheckpointSaved:
        assert self.trainer.run_folder is not None
        self.state.seconds = self.clock.seconds()
        self.state.random = self.rng.bit_generator.state
        tensors = {f"network.{k}": v for k, v in self.bare.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        tensors |= {f"optimizer.{k}": v for k, v in flatten_optimizer(self.optimizer).items()}
        save_checkpoint(self.trainer.run_folder, self.state, tensors)
        self.last_save = time.monotonic()
        return CheckpointSaved(self.trainer.run_folder, self.state.step // self.state.steps_per_epoch)

    def _take_up_checkpoint(self) -> Generator[TrainingEvent, None, None]:
        folder = self.trainer.run_folder
        loaded = None if folder is None else load_checkpoint(folder, self.device)
        if loaded is None:
            yield Message(f"Nothing to resume in {folder}; training starts from the beginning.", "warning")
            return
        state, tensors = loaded
        _check_same_run(self.state, state)
        self.state = dataclasses.replace(state, settings=self.state.settings)
        self.clock.before = state.seconds
        self.rng.bit_generator.state = state.random

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

        self.bare.load_state_dict(part("network"))
        if self.average.network is not self.bare:
            self.average.network.load_state_dict(part("average"))
        self.best = part("best") or None
        restore_optimizer(self.optimizer, part("optimizer"))
        yield Message(f"Resumed after {state.step} steps ({state.seconds / 60:.1f} minutes).")

    def finish(
        self, stopped: bool, should_stop: Callable[[], bool]
    ) -> Generator[TrainingEvent, None, TrainingResult]:
        """Keep the best model, choose its thresholds and precision, and hand it over."""
        if self.trainer.run_folder is not None:
            yield self._save()
        if not stopped and self.validation and self.state.step % self.state.steps_per_epoch != 0:
            yield self.end_epoch(should_stop)
        model = self.model(self.best)
        if not stopped and self.validation:
            yield from self._choose_prediction(model)
        history = tuple(EpochFinished(**row) for row in self.state.history)
        model.config = model.config.model_copy(
            update={
                "prediction": self.model_config.prediction,
                "history": tuple(self.state.history),
                "training": {
                    "settings": self.state.settings,
                    "crop_size": list(self.crop_size),
                    "batch_size": self.batch_size,
                    "steps": self.state.step,
                    "seconds": round(self.clock.seconds(), 1),
                    "n_images": len(self.training),
                    "n_validation_images": len(self.validation),
                    "n_objects": self.statistics.n_objects,
                    "precision": self.precision,
                    "device": str(self.device),
                    "best_score": self.state.best_score,
                    "started_from": None if self.trainer.start_from is None else self.trainer.start_from.config.name,
                },
            }
        )
        yield TrainingFinished(stopped, self.state.best_score)
        return TrainingResult(model, history, self.state.best_score, stopped, None)

    def _choose_prediction(self, model: Model) -> Generator[TrainingEvent, None, None]:
        """Thresholds that score best on the held-out images, and reduced precision if it costs nothing."""
        settings = self.model_config.prediction
        exact = self.validator.embed(model, "float32", never)
        assert exact is not None
        settings = self.validator.tune(exact, settings)
        score = self.validator.score(exact, settings)
        if self.precision != "float32":
            reduced = self.validator.embed(model, self.precision, never)
            assert reduced is not None
            if self.validator.score(reduced, settings).ap_mean >= score.ap_mean - PRECISION_TOLERANCE:
                settings = settings.model_copy(update={"precision": self.precision})
            else:
                yield Message(f"Prediction stays in float32: {self.precision} lowers the score on the held-out images.")
        self.model_config = self.model_config.model_copy(update={"prediction": settings})


def _as_examples(items: Sequence[Any]) -> list[Example]:
    if all(isinstance(item, Example) for item in items):
        return list(items)
    return from_arrays(items)


def _compute_error(error: RuntimeError) -> ComputeError:
    if "out of memory" in str(error).lower():
        return ComputeError(
            "The device ran out of memory; take a smaller crop or batch size (virtual batches keep the sum of both)."
        )
    return ComputeError(f"The computation failed: {error}")


def _check_same_run(now: TrainingState, before: TrainingState) -> None:
    """Refuse to resume with other data or settings; only the duration may change."""
    if now.data != before.data:
        raise DataError("The run folder belongs to other images; resume with the same data, or use a new run folder.")
    for name, value in now.settings.items():
        if name not in ("epochs", "minutes") and before.settings.get(name) != value:
            raise SettingsError(
                f"Setting {name!r} was {before.settings.get(name)!r} before and is {value!r} now; "
                "resume with the same settings, or use a new run folder."
            )
