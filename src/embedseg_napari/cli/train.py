"""``embedseg train``: from a folder of annotated images to one model file."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import time
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.cli.console import complain, say, show_table
from embedseg_napari.cli.failures import StopRequest
from embedseg_napari.cli.options import (
    Axes,
    Channel,
    Device,
    NoProgress,
    Spacing,
    parse_axes,
    parse_spacing,
    require_folder,
    require_writable,
    setting,
)
from embedseg_napari.cli.progress import TrainingProgress, curve_rows
from embedseg_napari.core.config import PRESETS, TrainingConfig
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.files.atomic import version_of
from embedseg_napari.core.runs import drain, is_main_process, join_slurm
from embedseg_napari.core.wording import no_score_words, score_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.core.training.trainer import Trainer

LONGEST_SETTINGS = 1 << 20
"""Bytes of a settings file."""
MEASURING_SECONDS = 5.0
"""Between two lines about a large image."""
CHECKPOINT = "state.json"
"""The file of a run folder that says it can be resumed."""


def train(
    context: typer.Context,
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with images/ and masks/ (same file names), or with train/ and val/ of that kind; an OME-Zarr "
            "with labels; or a session of Label & Train.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL.embedseg", help="Where the model is saved.")],
    val: Annotated[
        Path | None, typer.Option("--val", metavar="DIR", help="Folder with images/ and masks/ to validate on.")
    ] = None,
    val_fraction: Annotated[float | None, setting(TrainingConfig, "validation_fraction", "--val-fraction")] = None,
    val_group: Annotated[
        str | None,
        typer.Option(
            "--val-group",
            metavar="REGEX",
            help="Hold out whole groups of images: files in whose names the expression (or its first group, if it "
            "has one) matches the same text belong together, such as the frames of one embryo.",
        ),
    ] = None,
    epochs: Annotated[int | None, setting(TrainingConfig, "epochs")] = None,
    minutes: Annotated[float | None, setting(TrainingConfig, "minutes")] = None,
    preset: Annotated[str, typer.Option("--preset", metavar="|".join(PRESETS), help="Preset to start from.")] = "fast",
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE.yaml", help="Settings that override those of the preset.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Start from this model's weights (a file or a name), or with a new network (scratch); by default, the "
            "preset few starts from start-2d, in volumes from nuclei-3d, others from scratch.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run folder, if it holds an unfinished training.")
    ] = False,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run-folder", metavar="DIR", help="Folder for the checkpoints.", show_default="MODEL.run"),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            metavar="DIR",
            help="Also write losses, learning rate and scores for TensorBoard (needs: pip install tensorboard).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model, and start its run folder afresh.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="NAME|PATH",
            help="Which labels of the OME-Zarr images are meant, by name, where they have several; or where the labels "
            "of a single image are.",
        ),
    ] = None,
    memory: Annotated[str | None, setting(TrainingConfig, "memory", metavar="SIZE")] = None,
    axes: Axes = None,
    channel: Channel = None,
    spacing: Spacing = None,
    ignore_label: Annotated[int | None, setting(TrainingConfig, "ignore_label", metavar="N")] = None,
    device: Device = "auto",
    seed: Annotated[int | None, setting(TrainingConfig, "seed")] = None,
    no_progress: NoProgress = False,
) -> None:
    """Train a model on annotated images.

    Masks are label images, or stacks of one binary plane per object where objects overlap. Ctrl-C stops in order and
    keeps the model so far; so do a time limit of a cluster and a terminal that is closed.
    """
    pixel_size = parse_spacing(spacing)
    if epochs is not None and minutes is not None:
        raise typer.BadParameter(
            "--epochs and --minutes cannot be used together; give the one that should end the training."
        )
    if val is not None and (val_fraction is not None or val_group is not None):
        raise typer.BadParameter(
            "--val names the validation images; leave out --val-fraction and --val-group, which would choose others."
        )
    if output.suffix != ".embedseg":
        raise typer.BadParameter(f"--output {output} must end in .embedseg.")
    explicit = {
        "epochs": epochs,
        "minutes": minutes,
        "validation_fraction": val_fraction,
        "ignore_label": ignore_label,
        "seed": seed,
        "memory": memory,
    }
    settings = training_settings(preset, config, explicit)
    join_slurm(settings.devices)
    axes = parse_axes(axes)
    folder = run_folder or output.with_suffix(".run")
    if tensorboard is not None:
        from embedseg_napari.jobs.tensorboard import require_tensorboard

        require_tensorboard()
        require_writable(tensorboard, "--tensorboard")
    if is_main_process():
        _check_places(dataset, val, output, folder, resume, overwrite)
    known = version_of(output)
    from embedseg_napari.core.data.pairs import find_dataset
    from embedseg_napari.core.data.splitting import hold_out_images
    from embedseg_napari.core.model.keep import keep_model
    from embedseg_napari.core.session.folder import STATE as SESSION
    from embedseg_napari.core.training.reading import from_disk
    from embedseg_napari.core.training.start import start_model
    from embedseg_napari.core.training.trainer import Trainer
    from embedseg_napari.jobs.training_pairs import read_dataset

    is_split_anew = val_fraction is not None or val_group is not None
    beside = find_dataset(dataset)[1] if is_split_anew and not (dataset / SESSION).is_file() else None
    if beside is not None:
        say(f"{beside} is left alone: --val-fraction or --val-group choose among the training images.")
    training, validation = read_dataset(
        dataset,
        settings.ignore_label,
        validation=val,
        is_split_anew=is_split_anew,
        axes=axes,
        channel=channel,
        spacing=pixel_size,
        labels=labels,
        disk=from_disk(settings, folder, _measuring(shown=not no_progress and is_main_process())),
    )
    if validation is None:
        training, validation = hold_out_images(training, settings, val_group)
        # None lets the trainer hold out objects instead.
        validation = validation or None

    start = start_model(start_from, settings, training)
    trainer = Trainer(settings, training, validation, start, folder, device=device, resume=resume, started=context.obj)
    request = StopRequest()
    if not is_main_process():
        # The main process decides when to stop; a terminal sends its Ctrl-C to all.
        with request.listening(""):
            drain(trainer.run(request))
        return
    progress = TrainingProgress(shown=not no_progress)
    with request.listening("Stopping after this step; press Ctrl-C again to end at once."):
        with progress.showing(), _heard(progress, tensorboard) as hear:
            result = _trained(trainer, request, hear)
            request.work_is_done()
        # A stop that came too late to shorten the training has nothing to resume.
        if result.stopped and not result.model.config.training.get("steps"):
            complain("Stopped before the first step; no model was saved.")
            raise typer.Exit(request.status)
        path, elsewhere = keep_model(result.model, output, known, result.model.config.name or output.stem)
    _report(dataclasses.replace(result, path=path), folder)
    if elsewhere:
        complain(f"Warning: {elsewhere}")
    if result.stopped:
        complain(f"Stopped before the end; the model so far is saved. {_how_to_go_on(folder, path)}")
        raise typer.Exit(request.status)
    if elsewhere:
        raise typer.Exit(1)


def _trained(trainer: Trainer, request: StopRequest, hear: Callable[[TrainingEvent], None]) -> TrainingResult:
    """Train; an error says how to go on where a checkpoint was written before it."""
    from embedseg_napari.core.events import CheckpointSaved

    is_saved = False

    def note(event: TrainingEvent) -> None:
        nonlocal is_saved
        is_saved |= isinstance(event, CheckpointSaved)
        hear(event)

    try:
        return drain(trainer.run(request), note)
    except Exception as error:
        if is_saved:
            error.add_note(f"To go on with what was saved: {_resume_command()}")
        raise


def _measuring(shown: bool) -> Callable[[str, float], None]:
    """Tells now and then how far the objects of large images are measured."""
    last = time.monotonic()

    def watch(name: str, fraction: float) -> None:
        nonlocal last
        if shown and time.monotonic() - last > MEASURING_SECONDS:
            last = time.monotonic()
            say(f"Measuring the objects of {name}: {fraction:.0%}")

    return watch


@contextmanager
def _heard(progress: TrainingProgress, tensorboard: Path | None) -> Iterator[Callable[[TrainingEvent], None]]:
    """Who hears the events of the training: the screen, and TensorBoard if it is asked for."""
    if tensorboard is None:
        yield progress
        return
    from embedseg_napari.jobs.tensorboard import TensorBoardLog

    with TensorBoardLog(tensorboard) as log:

        def hear(event: TrainingEvent) -> None:
            progress(event)
            log(event)

        yield hear


def training_settings(preset: str, path: Path | None, explicit: dict[str, Any]) -> TrainingConfig:
    """Take the settings of a preset, changed by a YAML file, changed by options.

    Parameters
    ----------
    preset : str
        Name of the preset.
    path : Path, optional
        YAML file with settings by name; nested ones replace only what they name.
    explicit : dict
        Settings given as options; None where an option was not given.

    Raises
    ------
    SettingsError
        If the preset is unknown, the file cannot be read, or a setting does not fit.
    """
    values = TrainingConfig.preset(preset).model_dump()
    for changes, source in (
        ({} if path is None else _read_yaml(path), f"{path}: "),
        ({name: value for name, value in explicit.items() if value is not None}, ""),
    ):
        if changes.get("epochs") is not None and changes.get("minutes") is not None:
            raise SettingsError(
                f"{source}epochs and minutes cannot be used together; give the one that should end the training."
            )
        if changes.get("epochs") is not None:
            values["minutes"] = None
        if changes.get("minutes") is not None:
            values["epochs"] = None
        values = _merged(values, changes)
        try:
            TrainingConfig.parse(values)
        except SettingsError as error:
            raise SettingsError(f"{source}{error}") from error
    return TrainingConfig.parse(values)


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    out = dict(values)
    for name, value in changes.items():
        old = out.get(name)
        out[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _read_yaml(path: Path) -> dict[str, Any]:
    from embedseg_napari.core.files.documents import Unreadable, parse_yaml, read_text

    try:
        values = parse_yaml(read_text(path, LONGEST_SETTINGS))
    except OSError as error:
        raise SettingsError(f"Settings file {path} cannot be read: {error.strerror or error}.") from error
    except Unreadable as error:
        raise SettingsError(f"Settings file {path} {error}; write lines such as 'batch_size: 4'.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"Settings file {path} holds no settings; write lines such as 'batch_size: 4'.")
    return {str(name): value for name, value in values.items()}


def _check_places(
    dataset: Path, val: Path | None, output: Path, run_folder: Path, resume: bool, overwrite: bool
) -> None:
    require_folder(dataset, "Data set folder")
    if val is not None:
        require_folder(val, "Validation folder")
    if output.is_dir():
        raise DataError(f"Output {output} is a folder; give the name of a file.")
    has_checkpoint = (run_folder / CHECKPOINT).exists()
    if resume and not has_checkpoint and output.exists() and not overwrite:
        raise DataError(
            f"Run folder {run_folder} holds nothing to resume, and {output} exists already; "
            "name the right --run-folder, or add --overwrite to train anew."
        )
    if not (resume or overwrite):
        if output.exists():
            raise DataError(
                f"Model {output} exists already; add --overwrite to replace it, or choose another --output."
            )
        if has_checkpoint:
            raise DataError(
                f"Run folder {run_folder} holds an earlier training; add --resume to go on with it, "
                "--overwrite to begin anew, or choose another --run-folder."
            )
    require_writable(output.parent, "--output")
    if run_folder.exists() and not run_folder.is_dir():
        raise DataError(f"Run folder {run_folder} is a file; choose another --run-folder.")
    require_writable(run_folder if run_folder.exists() else run_folder.parent, "--run-folder")


def _report(result: TrainingResult, run_folder: Path) -> None:
    if result.history:
        header, rows = curve_rows([dataclasses.asdict(row) for row in result.history], result.model.config.training)
        show_table("Training curve", header, rows)
    if result.best_score is not None:
        from embedseg_napari.core.evaluation.before_after import ENOUGH_OBJECTS

        n_objects = int(str(result.model.config.training.get("n_held_out_objects", 0)))
        say(score_words(result.best_score, n_objects, ENOUGH_OBJECTS))
    elif result.stopped:
        say(no_score_words(int(str(result.model.config.training["steps"]))))
    prediction = result.model.config.prediction
    say(f"Thresholds: seed {prediction.seed_threshold:g}, foreground {prediction.foreground_threshold:g}")
    say(f"Model: {result.path}")
    say(f"Run folder: {run_folder}")
    say(f"Segment images with: embedseg predict {shlex.quote(str(result.path))} IMAGES... --output DIR")


def _how_to_go_on(run_folder: Path, model: Path) -> str:
    if (run_folder / CHECKPOINT).exists():
        return f"To go on: {_resume_command()}"
    return f"There is no checkpoint to resume; another training can start from it: --from {shlex.quote(str(model))}"


def _resume_command() -> str:
    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    return shlex.join(["embedseg", *words, *([] if "--resume" in words else ["--resume"])])
