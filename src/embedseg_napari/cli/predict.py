"""``embedseg predict``: from images to label images, one file each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import TYPE_CHECKING, Annotated

import typer

from embedseg_napari.cli.console import complain, say
from embedseg_napari.cli.failures import StopRequest, sentence
from embedseg_napari.cli.options import (
    Axes,
    Channel,
    Device,
    NoProgress,
    Spacing,
    parse_axes,
    parse_spacing,
    parse_tile,
    require_writable,
    setting,
    write_text,
)
from embedseg_napari.cli.progress import PredictionProgress
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, EmbedSegError, SettingsError, Stopped
from embedseg_napari.core.runs import drain
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    import numpy as np

    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model

STORED = "that of the model"


@dataclass(frozen=True, slots=True)
class Job:
    """One image to segment."""

    image: Path
    labels: Path
    """Where its label image goes."""

    @property
    def table(self) -> Path:
        """Where its table of objects goes, if one is wanted."""
        return self.labels.with_suffix(".csv")


@dataclass(frozen=True, slots=True)
class Reading:
    """How image files are read."""

    axes: str | None
    channel: int | None
    spacing: tuple[float, ...] | None


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's name, a .embedseg file, or an original .pth file.")
    ],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="TIFF files, or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder the label images go to.")],
    tta: Annotated[bool, setting(PredictionConfig, "tta", "--tta")] = False,
    seed_threshold: Annotated[float | None, setting(PredictionConfig, "seed_threshold", default=STORED)] = None,
    foreground_threshold: Annotated[
        float | None, setting(PredictionConfig, "foreground_threshold", default=STORED)
    ] = None,
    faint_seeds: Annotated[float | None, setting(PredictionConfig, "faint_seeds", default=STORED)] = None,
    margin_scale: Annotated[float | None, setting(PredictionConfig, "margin_scale", default=STORED)] = None,
    min_object_size: Annotated[int | None, setting(PredictionConfig, "min_object_size", default=STORED)] = None,
    scale: Annotated[float | None, setting(PredictionConfig, "scale", default=STORED)] = None,
    axes: Axes = None,
    channel: Channel = None,
    spacing: Spacing = None,
    device: Device = "auto",
    precision: Annotated[
        str | None, setting(PredictionConfig, "precision", default=STORED, metavar="float32|bfloat16|float16")
    ] = None,
    tile: Annotated[str | None, setting(PredictionConfig, "tile", default=STORED, metavar="Z,Y,X")] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Also write NAME.csv: score, size and centre of each object.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing label images and tables.")] = False,
    no_progress: NoProgress = False,
) -> None:
    """Segment images: DIR/NAME.tif holds the labels of NAME.tif, of the same size."""
    given = {
        "tta": tta or None,
        "seed_threshold": seed_threshold,
        "foreground_threshold": foreground_threshold,
        "faint_seeds": faint_seeds,
        "margin_scale": margin_scale,
        "min_object_size": min_object_size,
        "scale": scale,
        "precision": precision,
        "tile": parse_tile(tile),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    # Wrong values are found here, before the model is loaded.
    PredictionConfig.parse(changes)
    reading = Reading(parse_axes(axes), channel, parse_spacing(spacing))
    jobs = plan(inputs, output, tables=csv, overwrite=overwrite)
    require_writable(output, "--output")

    from embedseg_napari.core.model.model import load_model

    network = load_model(model, device=device)
    stored = network.config.prediction.model_dump()
    if "tile" in changes:
        # The stored overlap belongs to the stored tile.
        stored["tile_overlap"] = None
    settings = PredictionConfig.parse({**stored, **changes})
    if settings.tile is not None and len(settings.tile) != network.config.ndim:
        raise SettingsError(
            f"--tile {tile} has {len(settings.tile)} values; the model works in {network.config.ndim}D."
        )

    request = StopRequest()
    progress = PredictionProgress(shown=not no_progress, n_images=len(jobs))
    done = failed = 0
    began = time.monotonic()
    with request.listening("Stopping; press Ctrl-C again to end at once."), progress.showing():
        for job in jobs:
            if request():
                break
            try:
                _segment(job, network, settings, reading, csv, overwrite, progress, request)
                done += 1
            except Stopped:
                break
            except (EmbedSegError, OSError, MemoryError) as error:
                failed += 1
                complain(_named(job.image, sentence(error)))
                progress.finish(f"{job.image.name}: failed")
    where = f"; labels are in {output}" if done else ""
    say(f"{done} of {count(len(jobs), 'image')} segmented in {time.monotonic() - began:.1f} s{where}")
    if request():
        complain(f"Stopped: {len(jobs) - done - failed} of {count(len(jobs), 'image')} not segmented.")
        raise typer.Exit(request.status)
    if failed:
        complain(f"Error: {failed} of {count(len(jobs), 'image')} failed; the sentences above say why.")
        raise typer.Exit(1)


def plan(inputs: list[Path], output: Path, *, tables: bool, overwrite: bool) -> list[Job]:
    """Decide which file becomes which, and refuse what would lose data.

    Parameters
    ----------
    inputs : list of Path
        Files, folders of TIFF files, or folders with `images/`.
    output : Path
        Folder of the results.
    tables : bool
        Whether tables are written too.
    overwrite : bool
        Whether results may replace files.

    Raises
    ------
    DataError
        If an input is missing or holds no image, two have one name, or a result would replace a file.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"--output {output} is a file; give a folder.")
    images = [image for path in inputs for image in _images(path)]
    jobs = [Job(image, output / f"{image.stem}.tif") for image in images]
    seen: dict[Path, Path] = {}
    for job in jobs:
        if job.labels in seen:
            raise DataError(
                f"{seen[job.labels]} and {job.image} would both become {job.labels}; "
                "give one of them another name, or segment them into different folders."
            )
        seen[job.labels] = job.image
    sources = {image.resolve() for image in images}
    for job in jobs:
        if job.labels.resolve() in sources:
            raise DataError(f"{job.labels} is an input image and would be replaced by labels; choose another --output.")
    targets = [target for job in jobs for target in ((job.labels, job.table) if tables else (job.labels,))]
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise DataError(
            f"{existing[0]}{more} exists already; add --overwrite to replace it, or choose another --output."
        )
    return jobs


def _images(path: Path) -> list[Path]:
    from embedseg_napari.core.files.tiff import list_images

    if not path.exists():
        raise DataError(f"Input {path} does not exist; check the path.")
    if not path.is_dir():
        return [path]
    images = list_images(path)
    if not images and (path / "images").is_dir():
        images = list_images(path / "images")
    if not images:
        raise DataError(f"Folder {path} holds no TIFF images.")
    return images


def _segment(
    job: Job,
    model: Model,
    settings: PredictionConfig,
    reading: Reading,
    table: bool,
    overwrite: bool,
    progress: PredictionProgress,
    request: StopRequest,
) -> None:
    from embedseg_napari.core.axes import spatial_axes
    from embedseg_napari.core.files.tiff import read_image, write_labels
    from embedseg_napari.core.inference.predictor import Predictor

    progress.start(job.image.name)
    began = time.monotonic()
    picture = read_image(job.image, reading.axes)
    image, axes = picture.array, picture.axes or None
    if reading.channel is not None:
        image, axes = _take_channel(picture, reading.channel, model.config.ndim, model.config.n_channels)
    spacing = reading.spacing or picture.spacing
    run = Predictor(model, settings).run(image, axes, request, spacing=spacing, keep_maps=False)
    segmentation = drain(run, progress)
    space = spatial_axes(progress.axes)
    label_axes = space if segmentation.labels.ndim == len(space) else f"T{space}"
    if spacing is not None and len(spacing) != len(space):
        spacing = None
    if table:
        write_text(job.table, table_text(segmentation, space))
    write_labels(job.labels, segmentation.labels, label_axes, spacing, picture.unit, overwrite=overwrite)
    n_objects = count(int(segmentation.labels.max(initial=0)), "object")
    progress.finish(f"{job.image.name}: {n_objects}, {time.monotonic() - began:.1f} s")


def _take_channel(picture: Picture, channel: int, ndim: int, n_channels: int) -> tuple[np.ndarray, str]:
    from embedseg_napari.core.axes import guess_axes

    shape = picture.array.shape
    axes = picture.axes or guess_axes(shape, ndim, n_channels)
    if "C" not in axes:
        raise DataError(
            f"{picture.path}: has no channel axis (shape {shape} is read as {axes}); leave out --channel, "
            "or name the axes with --axes."
        )
    axis = axes.index("C")
    if channel >= shape[axis]:
        raise DataError(f"{picture.path}: has {shape[axis]} channel(s), counted from 0; there is no channel {channel}.")
    return picture.array.take(channel, axis), axes.replace("C", "")


def table_text(segmentation: Segmentation, space: str) -> str:
    """Write the objects of a segmentation as comma-separated values.

    Parameters
    ----------
    segmentation : Segmentation
        Labels, centres and scores.
    space : str
        Spatial axes, such as ``"ZYX"``.

    Returns
    -------
    str
        A header, and one row per object: frame (in a time-lapse), label, score, size in pixels, centre in pixels per
        axis.
    """
    import numpy as np

    header = ["label", "score", "size", *(f"center_{letter.lower()}" for letter in space)]
    lines = [["frame", *header] if segmentation.frames else header]
    for frame, part in enumerate(segmentation.frames or (segmentation,)):
        sizes = np.bincount(part.labels.ravel(), minlength=len(part.scores) + 1)
        for label, (score, center) in enumerate(zip(part.scores, part.centers, strict=True), start=1):
            row = [str(label), f"{score:.4f}", str(sizes[label]), *(f"{value:.2f}" for value in center)]
            lines.append([str(frame), *row] if segmentation.frames else row)
    return "".join(",".join(line) + "\n" for line in lines)


def _named(path: Path, text: str) -> str:
    return text if str(path) in text else text.replace("Error: ", f"Error: {path}: ", 1)
