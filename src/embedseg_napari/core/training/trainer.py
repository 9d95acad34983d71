"""The one training loop: a generator of events that scripts, the command line and the viewer drain alike."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.bar import with_bar
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.checks import check_examples
from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.pairs import find_dataset, from_arrays
from embedseg_napari.core.data.sparse import describe_sparse
from embedseg_napari.core.data.splitting import hold_out_images
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.atomic import version_of
from embedseg_napari.core.files.folder_lock import holding
from embedseg_napari.core.files.names import from_home
from embedseg_napari.core.freed_memory import keeps_freed_memory
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.keep import keep_model, model_path
from embedseg_napari.core.runs import (
    INTERRUPTIONS,
    drain,
    is_main_process,
    join_slurm,
    n_machines,
    n_processes,
    never,
    soon_after,
    stopped_by_interrupt,
)
from embedseg_napari.core.scripts import speaking_python, tell
from embedseg_napari.core.settings import require_functions, require_kind
from embedseg_napari.core.training.checkpoint import STATE, remove_checkpoint
from embedseg_napari.core.training.handover import finish, interrupted
from embedseg_napari.core.training.optimization import shares_training
from embedseg_napari.core.training.parts import notes_from_disk
from embedseg_napari.core.training.planning import batch_note, plan_training, reach_warning, scale_note
from embedseg_napari.core.training.reading import Reading, from_disk, read_held_out, read_images
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.start import start_model, usual_start
from embedseg_napari.core.training.training_set import TrainingSet
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.training.result import TrainingResult


CONFIG_KIND = "config takes a TrainingConfig, such as TrainingConfig.preset('fast', epochs=50)"


class Trainer:
    """Trains a network on annotated images.

    Parameters
    ----------
    config : TrainingConfig
        All settings; ``TrainingConfig()`` is the ``fast`` preset.
    training : sequence of Example or of (image, labels) or (image, labels, ignore) arrays
        Annotated images.
    validation : sequence of the same, optional
        Held-out images; without them ``config.validation_fraction`` of the training images is held out, and of fewer
        than 5 images a part of the objects. An empty sequence turns validation off.
    start_from : Model, optional
        Model whose weights, coordinate grid and normalisation training starts from.
    run_folder : path, optional
        Where checkpoints go; without it a training cannot be resumed.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    resume : bool
        Go on from the run folder's checkpoint if there is one.
    started : float, optional
        `time.monotonic` at the start of the program; a time budget counts from there.
    preview : callable, optional
        Called now and then; returns the Example that the current network is to be previewed on, or None.
    updates : callable, optional
        Called in the training's thread at the start of each epoch; returns the Examples that are new or changed since
        the last call, or None. One with the name of an image known already replaces it, others join the training
        images. Arrays handed over must not be written to afterwards; the image of a replaced Example is best the same
        array, which is then not normalised again.
    axes : str, optional
        Axes of the image arrays, such as ``"CYX"`` or ``"XYZ"``, one letter per axis; their masks are turned with them.
        Guessed, with an AssumptionWarning, where neither this nor the array (as one of xarray) says. An Example is
        (C, Z, Y, X) or (C, Y, X).
    channel : int or "mean", optional
        Train on this channel only, counted from 0, or on the mean of all.
    spacing : sequence of float, optional
        Physical pixel size (z, y, x) in micrometres, for all images, instead of their own. In 3D voxels of arrays are
        otherwise taken to be cubes.
    """

    def __init__(
        self,
        config: TrainingConfig,
        training: Sequence[Any],
        validation: Sequence[Any] | None = None,
        start_from: Model | None = None,
        run_folder: str | Path | None = None,
        device: str = "auto",
        resume: bool = False,
        started: float | None = None,
        preview: Callable[[], Example | None] | None = None,
        updates: Callable[[], Sequence[Example] | None] | None = None,
        *,
        axes: str | None = None,
        channel: OneChannel | None = None,
        spacing: Sequence[float] | None = None,
    ) -> None:
        require_kind(config, TrainingConfig, CONFIG_KIND)
        self.config = config
        self._reading = Reading(axes=axes, channel=channel, spacing=spacing, ignore_label=config.ignore_label)
        self.validation: list[Example] | None = None
        with speaking_python():
            self.training = from_arrays(training, **self._reading)
            if validation is not None:
                self.validation = read_held_out(validation, self._reading, FromDisk())
        self.start_from = start_from
        self.run_folder = None if run_folder is None else Path(run_folder)
        self.device = device
        self.resume = resume
        self.started = time.monotonic() if started is None else started
        self.preview = preview
        self.updates = updates

    @keeps_freed_memory
    def run(
        self, should_stop: Callable[[], bool] = never, should_pause: Callable[[], bool] = never
    ) -> Generator[TrainingEvent, None, TrainingResult]:
        """Train; a generator of events whose return value is the TrainingResult.

        Parameters
        ----------
        should_stop : callable
            Looked at between steps and between validation images; when it returns True training ends in order, and
            the result holds the model so far.
        should_pause : callable
            Looked at there too; when it returns True a checkpoint is written for another run to resume, and nothing is
            chosen for the model. Where none can be written, it stops the training.

        Raises
        ------
        DataError
            If the images cannot be trained on, or the run folder cannot be used.
        SettingsError
            If settings do not fit the images, the start model or the run to resume.
        ComputeError
            If the device is missing, runs out of memory, or the loss stops being a number.
        """
        run = yield from self._prepare()
        try:
            # Two trainings would overwrite each other's checkpoints.
            with holding(self.run_folder if is_main_process() else None, "training"):
                if self.resume:
                    yield run.resume()
                elif self.run_folder is not None and is_main_process():
                    # Nobody shall go on from an earlier training if this one ends before it has saved anything.
                    remove_checkpoint(self.run_folder)
                try:
                    stopped = yield from self._train(run, lambda: should_stop() or should_pause())
                    if should_pause() and not should_stop() and stopped and (yield from run.save()):
                        return interrupted(run)
                    return (yield from finish(run, stopped, soon_after(should_stop)))
                except INTERRUPTIONS:
                    if not run.state.step:
                        raise
                    return interrupted(run)
        finally:
            run.close()

    def last_saved(self, is_diverging: bool = False) -> TrainingResult:
        """The model of the run folder's checkpoint, where training failed later, maybe diverging; no step is made."""
        # Images on the disk may be what failed.
        run = drain(self._prepare(looks_at_images=False))
        try:
            with holding(self.run_folder, "training"):
                run.resume()
                return interrupted(run, is_diverging)
        finally:
            run.close()

    def _train(self, run: TrainingRun, should_stop: Callable[[], bool]) -> Generator[TrainingEvent, None, bool]:
        """Make steps until the end, or until a stop is asked for; which it was."""
        yield run.start()
        if (warning := run.schedule.warning(bool(run.validator.examples))) is not None:
            yield warning
        while True:
            progress, stopped = run.progress(should_stop)
            if run.is_epoch_end(progress):
                row = run.end_epoch(progress >= 1.0, should_stop)
                if row is not None:
                    yield row
                stopped = stopped or row is None
            # However short the time was: a model that has learned nothing at all is of no use.
            if stopped or (progress >= 1.0 and run.state.step > 0):
                return stopped
            if run.is_epoch_start() and (examples := self._new_labels()):
                yield run.update_labels(examples)
            yield run.step(progress if progress < 1.0 else 0.0)
            yield from run.between_steps(self.preview)

    def _prepare(self, looks_at_images: bool = True) -> Generator[Message, None, TrainingRun]:
        """Check the images, decide what the settings leave open, and say what is odd about it."""
        if self.updates is not None and shares_training(self.config) and n_processes() > 1:
            raise SettingsError("Labels cannot change while several devices train; set devices to 1.")
        if self.config.devices > n_processes():
            # Each process would wait for the others without end.
            raise SettingsError(
                f"devices: {self.config.devices} needs as many processes, which torchrun starts: torchrun "
                f"--nproc_per_node {self.config.devices} -m embedseg_napari train ...; or set devices to 1."
            )
        here = n_processes() // n_machines()
        if shares_training(self.config) and self.config.devices not in (1, here, n_processes()):
            raise SettingsError(
                f"devices: {self.config.devices}, but {n_processes()} processes were started to train together; leave "
                "devices out, or start as many."
            )
        training, validation = self._split()
        for warning in check_examples(training, validation) if looks_at_images else ():
            yield Message(warning, "warning")
        if sparse := describe_sparse(self.training):
            yield Message(sparse)
        data = TrainingSet(self.config, training, validation, is_unasked=self.validation is None)
        if data.n_held_out:
            held_out = count(data.n_held_out, "object")
            yield Message(
                f"For a score, {held_out} {'is' if data.n_held_out == 1 else 'are'} held out and not trained on."
            )
        start = self.start_from
        plan = plan_training(self.config, data.training, None if start is None else start.config, self.device)
        if start is not None and not self.resume:
            own = start.config.architecture
            network = "" if own == self.config.architecture else f" and keeps its network, {own}"
            yield Message(f"Training starts from {start.config.name or 'a model without a name'}{network}.")
        elif start is None and (why := usual_start(self.config, plan.statistics.ndim)[1]) and self.config.keep_start:
            yield Message(f"Training starts from a new network: {why}.")
        if start is not None and start.config.n_channels != plan.statistics.n_channels:
            yield Message("The start model knows one channel; it starts with the mean of those there are.")
            start = with_channels(start, plan.statistics.n_channels)
        for note in notes_from_disk([*training, *validation], plan.model_config.normalization):
            yield Message(note)
        if plan.statistics.n_open:
            yield Message(
                f"{plan.statistics.n_open} of {plan.statistics.n_objects} objects are cut off by unknown voxels; "
                "they are taken to be as long there as they are wide, by the size of the voxels."
            )
        if warning := reach_warning(plan):
            yield Message(warning, "warning")
        if note := scale_note(plan, start is None):
            yield Message(note)
        if note := batch_note(plan, self.config):
            yield Message(note)
        if start is not None and start.config.normalization != self.config.normalization:
            yield Message("Intensities are normalised as for the start model, not as in the settings.")
        return TrainingRun(self.config, plan, data, self.started, self.run_folder, start)

    def _new_labels(self) -> list[Example]:
        given = None if self.updates is None else self.updates()
        return from_arrays(given, **self._reading) if given else []

    def _split(self) -> tuple[list[Example], list[Example]]:
        if self.validation is not None:
            return self.training, self.validation
        return hold_out_images(self.training, self.config)


def train(
    source: str | Path | Sequence[Any],
    config: TrainingConfig | None = None,
    *,
    validation: str | Path | Sequence[Any] | None = None,
    start_from: Model | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    output: str | Path | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    device: str = "auto",
    axes: str | None = None,
    channel: OneChannel | None = None,
    spacing: Sequence[float] | None = None,
    labels: str | Path | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a model and return it; the ordinary way to call the :class:`Trainer`.

    Parameters
    ----------
    source : path or sequence of (image, labels) arrays
        A data-set folder, an OME-Zarr with labels, or arrays. Of images on the disk that need more memory than
        ``config.memory``, parts are read while training.
    config : TrainingConfig, optional
        Settings; default the ``fast`` preset.
    validation : path or sequence of (image, labels) arrays, optional
        Held-out images; default `val/` of the data set, or a part of the training images.
    start_from : Model, str or path, optional
        Model to start from, or "scratch" for a new network; by default as :func:`start_model` chooses.
    resume : bool
        Go on from an earlier call with the same `output`.
    overwrite : bool
        Whether `output` and the checkpoints beside it may be replaced. A file that comes while training runs never is:
        the model gets a number then, and the result says where it is.
    output : path, optional
        Where to save the model; checkpoints go to a folder beside it, ``NAME.run``.
    on_event : callable, optional
        Called with every event; without it, messages that warn become an EmbedSegWarning.
    should_stop : callable, optional
        Looked at between steps.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    axes : str, optional
        Axes of the images, such as ``"CYX"`` or ``"ZYX"``, instead of what files and arrays say; masks are turned with
        them. Guessed where nobody says, with an AssumptionWarning for arrays of more than two axes.
    channel : int or "mean", optional
        Train on this channel only, counted from 0, or on the mean of all.
    spacing : sequence of float, optional
        Physical pixel size (z, y, x) in micrometres, instead of what files and arrays say. It decides in 3D what is as
        deep as wide: without any, voxels are taken to be cubes.
    labels : str or path, optional
        Of images that are OME-Zarr: the name of the label images in them that are meant; or, of a single image, where
        its labels are.
    progress : bool
        Whether a terminal or a notebook shows a bar.

    Returns
    -------
    TrainingResult
        The model, its history and score. An interruption, by Ctrl-C or a notebook's stop button, ends training after
        the step that is being made, and a second one at once: either way the model so far is saved and returned, with
        `stopped`. Only before the first step there is none, and KeyboardInterrupt is raised.

    Raises
    ------
    EmbedSegError
        As :meth:`Trainer.run`; SettingsError if `resume` is asked for without `output`; DataError if there is such a
        model already, or a training that `resume` could go on with, and `overwrite` is not given.
    """
    started = time.monotonic()
    if resume and output is None:
        raise SettingsError("To resume, give the output of the training that was interrupted.")
    config = TrainingConfig() if config is None else config
    require_kind(config, TrainingConfig, CONFIG_KIND)
    join_slurm(config.devices)
    require_functions(on_event=on_event, should_stop=should_stop)
    require_kind(output, (type(None), str, Path), "output takes the path of a file")
    target = None if output is None else model_path(from_home(output))
    run_folder = None if target is None else target.with_suffix(".run")
    if target is not None and run_folder is not None and is_main_process():
        _check_places(target, run_folder, resume, overwrite)
    known = None if target is None else version_of(target)
    reading = Reading(axes=axes, channel=channel, spacing=spacing, ignore_label=config.ignore_label)
    shown, listener, stop = progress and is_main_process(), on_event or tell, should_stop or never
    with speaking_python():
        if isinstance(source, str | Path):
            source, beside = find_dataset(source)
            validation = beside if validation is None else validation
        if isinstance(validation, str | Path):
            validation = find_dataset(validation)[0]
        disk = from_disk(config, run_folder)
        training = read_images(source, reading, disk, labels)
        held_out = None if validation is None else read_held_out(validation, reading, disk, labels, training)
        start = start_model(start_from, config, training, device)
        trainer = Trainer(config, training, held_out, start, run_folder, device=device, resume=resume, started=started)
        with stopped_by_interrupt() as is_interrupted:
            with with_bar(shown, listener) as shower:
                result = drain(trainer.run(lambda: stop() or is_interrupted()), shower)
            has_learned = bool(result.model.config.training.get("steps"))
            if is_interrupted() and not has_learned:
                raise KeyboardInterrupt
            if target is None or not is_main_process():
                return result
            if not has_learned:
                listener(Message(f"Stopped before the first step: {target} was not written.", "warning"))
                return result
            path, warning = keep_model(result.model, target, known, target.stem)
    if warning:
        listener(Message(warning, "warning"))
    return dataclasses.replace(result, path=path)


def _check_places(output: Path, run_folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse, before any time is spent, what would replace a model or a training that can be resumed."""
    has_checkpoint = (run_folder / STATE).exists()
    if overwrite or (resume and has_checkpoint):
        return
    if output.exists():
        raise DataError(f"{output}: exists already; choose another output, or allow to overwrite it.")
    if has_checkpoint and not resume:
        raise DataError(
            f"{run_folder}: holds an earlier training; resume it, choose another output, or allow to overwrite it."
        )
