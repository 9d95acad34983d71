"""A training as the worker thread runs it: from a request to a saved model, with pauses that cost nothing."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.splitting import hold_out_images
from embedseg_napari.core.errors import EmbedSegError, LossError, SettingsError, Stopped
from embedseg_napari.core.events import CheckpointSaved, Message, TrainingFinished
from embedseg_napari.core.runs import never, soon_after
from embedseg_napari.jobs.saved_training import SavedTraining, prepare_output, save_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.config import NormalizationConfig, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.jobs.training_pairs import ArrayPair

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRequest:
    """Everything a training needs, taken from the panel before it starts."""

    config: TrainingConfig
    pairs: Sequence[ArrayPair]
    """Layers to train on; unused where a folder is given."""
    folder: Path | None
    """Data-set folder to train on instead."""
    start_from: str | None
    """Bundled name or file of the model whose weights training starts from."""
    device: str
    output: Path
    """Where the model is saved."""
    axes: str | None = None
    """Axes of the images of the folder; None where each file says them."""
    spacing: tuple[float, ...] | None = None
    """Pixel size of the images of the folder, one value per spatial axis; None where each file says it."""
    channel: OneChannel | None = None
    """The only channel of the images of the folder to learn from, or the mean of all; None takes all."""

    def read(
        self,
        tell: Callable[[str, str], None] | None = None,
        should_stop: Callable[[], bool] = never,
        kept_in: Path | None = None,
    ) -> tuple[list[Example], list[Example] | None]:
        """Training images, and validation images where they are given.

        Parameters
        ----------
        tell : callable, optional
            Takes a file and a sentence for each thing that was assumed or left out; by default they are logged.
        should_stop : callable
            Looked at while the objects of large images are measured.
        kept_in : Path, optional
            Folder where what is measured of them is kept.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        """
        from embedseg_napari.jobs.training_pairs import read_dataset, read_pairs

        label = self.config.ignore_label
        if self.folder is None:
            return read_pairs(self.pairs, label), None

        def watch(name: str, fraction: float) -> None:
            if should_stop():
                raise Stopped(f"Stopped while the objects of {name} were measured.")

        memory = None if self.config.memory is None else 1e9 * self.config.memory
        disk = FromDisk(memory, self.config.center, kept_in, watch)
        return read_dataset(
            self.folder, label, axes=self.axes, channel=self.channel, spacing=self.spacing, disk=disk, tell=tell
        )

    def reads_same(self, other: TrainingRequest) -> bool:
        """Whether what is read of a folder is the same for another request; layers may have changed."""
        return self.folder is not None and self._source() == other._source()

    def _source(self) -> tuple[object, ...]:
        config = self.config
        return self.folder, self.axes, self.spacing, self.channel, config.ignore_label, config.memory, config.center


@dataclass(frozen=True, slots=True)
class TrainingPaused:
    """Training has let go of processor and memory; its state is on disk."""


@dataclass
class TrainingJob:
    """Trains, pauses, goes on and saves; `run` belongs into a worker thread, the rest may be called from any.

    Parameters
    ----------
    request : TrainingRequest
        What to train.
    preview : callable, optional
        Called in the worker thread now and then with a held-out image and the normalisation of the network; returns
        what the preview shall be made of.
    """

    request: TrainingRequest
    preview: Callable[[Example, NormalizationConfig], Example | None] | None = None
    shown: Example | None = None
    """A held-out image, or a training image where none is held out; known once training has started."""
    _pausing: threading.Event = field(default_factory=threading.Event)
    _has_ended: bool = False
    """Whether the core's training came to its end, where what is open is chosen: a pause leaves it to the next part."""
    _told: set[str] = field(default_factory=set)
    """Sentences that were said."""

    def pause(self) -> None:
        """Halt after this step. The time budget halts too."""
        self._pausing.set()

    def resume(self) -> None:
        """Go on after a pause."""
        self._pausing.clear()

    @property
    def run_folder(self) -> Path:
        """Where checkpoints go."""
        return self.request.output.with_suffix(".run")

    def run(self, should_stop: Callable[[], bool]) -> Generator[TrainingEvent | TrainingPaused, None, SavedTraining]:
        """Train and save the model; the generator's value says where.

        A pause writes a checkpoint and ends the core's training, so that memory is free and no clock runs; going on
        takes the checkpoint up again, step for step.

        Parameters
        ----------
        should_stop : callable
            Looked at between steps; when it returns True the model so far is saved.

        Raises
        ------
        EmbedSegError
            As the core's Trainer.
        """
        started = time.monotonic()
        request = self.request
        output, config = request.output, request.config
        prepare_output(output)
        if self.run_folder.exists():
            raise SettingsError(f"{self.run_folder} holds an unfinished training; choose another name for the model.")

        from embedseg_napari.core.training.checkpoint import STATE, remove_run_folder

        try:
            training, validation = request.read(should_stop=should_stop, kept_in=self.run_folder)
        except Stopped:
            remove_run_folder(self.run_folder)
            return SavedTraining(None, None, True, 0)
        except EmbedSegError:
            remove_run_folder(self.run_folder)
            raise
        from embedseg_napari.core.model.model import load_model
        from embedseg_napari.core.training.parts import in_memory
        from embedseg_napari.core.training.trainer import Trainer

        start = None if request.start_from is None else load_model(request.start_from, "cpu")
        if validation is None:
            # As the core's Trainer does, so that the preview knows them.
            training, validation = hold_out_images(training, config)
            # None lets the trainer hold out objects instead.
            validation = validation or None
        normalization = config.normalization if start is None else start.config.normalization
        self.shown = in_memory((validation or training)[0], normalization)
        preview = None if self.preview is None else partial(self.preview, self.shown, normalization)
        resume = False
        while True:
            # Going on before a pause is there must not end the training for good.
            is_pausing = soon_after(self._pausing.is_set, 0.0)
            run = Trainer(
                config, training, validation, start, self.run_folder, device=request.device, resume=resume,
                started=started, preview=preview,
            ).run(should_stop, is_pausing)  # fmt: skip
            try:
                result = yield from self._told_once(run, resume)
            except Exception as error:
                # Whatever it was: what took hours to learn is on the disk.
                if not (self.run_folder / STATE).exists():
                    remove_run_folder(self.run_folder)
                    raise
                if not isinstance(error, EmbedSegError):
                    logger.error("Training failed", exc_info=error)
                # What the training held in memory may be what the rescue lacks.
                traceback.clear_frames(error.__traceback__)
                rescue = Trainer(config, training, validation, start, self.run_folder, device="cpu", resume=True)
                try:
                    result = rescue.last_saved(isinstance(error, LossError))
                except Exception:  # noqa: BLE001
                    # Why it failed says more than why what is left of it cannot be used.
                    raise error from None
                why = str(error) or type(error).__name__
                state = "that scored best" if result.is_earlier else "last saved"
                yield Message(f"Training failed, and the state {state} became the model: {why}", "warning")
                break
            if self._has_ended or not is_pausing():
                if result.stopped and is_pausing() and not should_stop():
                    yield Message(
                        "Training cannot pause without a checkpoint; it ends, with the model so far.", "warning"
                    )
                break
            if not should_stop():
                yield TrainingPaused()
            while self._pausing.is_set() and not should_stop():
                time.sleep(0.05)
            # A stop meanwhile is seen before the next step: it ends a pause as it ends training.
            resume, started = True, time.monotonic()
        saved = save_result(result, output, result.model.config.name or output.stem)
        if saved.warning:
            yield Message(saved.warning, "warning")
        remove_run_folder(self.run_folder)
        return saved

    def _told_once(
        self, run: Generator[TrainingEvent, None, TrainingResult], resumed: bool
    ) -> Generator[TrainingEvent, None, TrainingResult]:
        """Pass on what a run says; after a pause, what was said before is left out, and so is how a part ends."""
        while True:
            try:
                event = next(run)
            except StopIteration as end:
                result: TrainingResult = end.value
                return result
            self._has_ended = isinstance(event, TrainingFinished)
            if isinstance(event, Message):
                is_old = resumed and event.text in self._told
                self._told.add(event.text)
                if is_old:
                    continue
            if not isinstance(event, CheckpointSaved | TrainingFinished):
                yield event
