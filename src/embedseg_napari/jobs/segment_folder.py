"""Images in files and folders in, a folder of label images and tables of their objects out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from embedseg_napari.core.axes import check_spacing, guess_axes, parse_axes, result_axes
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import AlreadyExists, DataError, EmbedSegError, SettingsError, Stopped
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.atomic import alone, locked_place, write_text
from embedseg_napari.core.files.formats import left_out
from embedseg_napari.core.files.picture import require_file
from embedseg_napari.core.files.tiff import list_images, read_image, read_software, write_labels
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.freed_memory import keeps_freed_memory
from embedseg_napari.core.model.known_models import bundled_names, bundled_path
from embedseg_napari.jobs.earlier_run import is_whole, signature
from embedseg_napari.jobs.map_file import FOLDER as MAPS
from embedseg_napari.jobs.map_file import MapFile
from embedseg_napari.jobs.object_table import as_csv, object_table
from embedseg_napari.jobs.recipe import file_words, model_words, predict_words, recipe_of, record
from embedseg_napari.jobs.segment import SegmentJob, loaded, predict, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.object_table import Table

TABLE = "objects.csv"
"""The table of all images together."""
ADVISED = 3
"""Images for which other scales are tried where the model is unsure; that takes longer than to segment them."""


@dataclass(frozen=True, slots=True)
class FolderJob:
    """Which images to segment, how, and where the results go."""

    inputs: tuple[Path, ...]
    """Image files, folders of them, or folders with `images/`."""
    results: Path
    model: str | Path
    device: str
    changes: dict[str, Any]
    """Settings that replace those stored with the model."""
    overwrite: bool = False
    resume: bool = False
    """Whether to go on where an earlier run with the same model and settings was stopped or killed."""
    tables: Literal["", "each", "together"] = ""
    """None, one `NAME.csv` per image, or `objects.csv` of all."""
    axes: str | None = None
    channel: Channel = "all"
    spacing: tuple[float, ...] | None = None
    """Pixel size (z, y, x) in place of what the files say."""
    save_maps: bool = False
    """Whether seed map, offsets and margins of each image are written, too."""


@dataclass(frozen=True, slots=True)
class Output:
    """An image, and where its results go."""

    image: Path
    labels: Path

    @property
    def table(self) -> Path:
        """The table of its objects alone."""
        return self.labels.with_suffix(".csv")

    @property
    def recipe(self) -> Path:
        """How its labels were made."""
        return recipe_of(self.labels)

    @property
    def maps(self) -> Path:
        """Its seed map, offsets and margins."""
        return self.labels.parent / MAPS / self.labels.name


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """The next file is being read."""

    index: int
    n_images: int
    name: str


@dataclass(frozen=True, slots=True)
class ImageSkipped:
    """An earlier run had segmented the file already."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ImageSaved:
    """Labels of a file were written."""

    index: int
    name: str
    n_objects: int
    n_left_out: int = 0
    """Objects found that the settings leave out: too large, or at the border."""


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """A file could not be segmented; the others are."""

    index: int
    path: Path
    error: Exception

    @property
    def reason(self) -> str:
        """What went wrong; names the file."""
        text = str(self.error) or type(self.error).__name__
        return text if self.path.name in text else f"{self.path.name}: {text}"


@dataclass(frozen=True, slots=True)
class FolderResult:
    """How it ended."""

    n_images: int
    n_saved: int
    n_objects: int
    failures: tuple[ImageFailed, ...]
    stopped: bool
    n_skipped: int = 0
    """Images that an earlier run had segmented."""

    @property
    def n_left(self) -> int:
        """Images that a stop left undone."""
        return self.n_images - self.n_saved - self.n_skipped - len(self.failures)


def plan(job: FolderJob) -> list[Output]:
    """Decide which file becomes which, and refuse what would lose data, before any work.

    Raises
    ------
    EmbedSegError
        If an input is missing or holds no image, two have one name, results cannot be written or would replace a file
        unasked, or a setting does not fit.
    """
    PredictionConfig().changed(job.changes)
    if job.resume and (job.overwrite or job.tables == "together"):
        raise SettingsError(
            "An earlier run cannot be continued while its files are replaced, or with one table of all images; choose "
            "one table per image, or none."
        )
    if job.axes is not None:
        parse_axes(job.axes)
    if job.results.exists() and not job.results.is_dir():
        raise DataError(f"{job.results}: is a file; choose a folder for the results.")
    locked = locked_place(job.results / MAPS if job.save_maps else job.results)
    if locked is not None:
        raise DataError(f"{locked}: nothing can be written there; choose another folder for the results.")
    images = [image for path in job.inputs for image in images_of(path)]
    outputs = [Output(image, job.results / f"{image.stem}.tif") for image in images]
    seen: dict[Path, Path] = {}
    sources = {image.resolve() for image in images}
    for output in outputs:
        if output.labels in seen:
            raise DataError(
                f"{seen[output.labels]} and {output.image} would both become {output.labels}; "
                "give one of them another name, or segment them into different folders."
            )
        for target, what in ((output.labels, "labels"), (output.maps, "maps")):
            if target.resolve() in sources and (target == output.labels or job.save_maps):
                raise DataError(
                    f"{target} is an input image and would be replaced by {what}; "
                    "choose another folder for the results."
                )
        seen[output.labels] = output.image
    targets = [target for output in outputs for target in (output.labels, output.recipe)]
    if job.save_maps:
        targets += [output.maps for output in outputs]
    if job.tables:
        targets += [output.table for output in outputs] if job.tables == "each" else [job.results / TABLE]
    existing = [target for target in targets if target.exists()]
    if existing and not (job.overwrite or job.resume):
        names = existing[1].name if len(existing) == 2 else f"{len(existing) - 1} more"
        more = f" (and {names})" if len(existing) > 1 else ""
        raise DataError(
            f"{existing[0]}{more} exists already; continue an earlier run (--resume), replace existing files "
            "(--overwrite), or choose another folder."
        )
    return outputs


def words_of(job: FolderJob) -> list[str]:
    """The words of the command that does a job."""
    bundled = {path: path.stem for path in map(bundled_path, bundled_names())}
    model = bundled.get(Path(job.model), str(job.model))
    return predict_words(
        model,
        job.inputs,
        job.results,
        axes=job.axes,
        channel=job.channel,
        spacing=job.spacing,
        device=job.device,
        changes=job.changes,
        tables=job.tables == "each",
        save_maps=job.save_maps,
    )


def images_of(path: Path) -> list[Path]:
    """An image itself, or the images of a folder.

    Raises
    ------
    DataError
        If there is no such file or folder, or no image in it that can be read.
    """
    if is_store(path):
        return [path]
    if not path.is_dir():
        require_file(path)
        return [path]
    folder = _folder_of_images(path)
    images = list_images(folder)
    if not images:
        unread = left_out(folder)
        example = next((f"; {file.name}: {fault}" for file, fault in unread.items()), "")
        raise DataError(f"{path}: this folder holds no images that can be read{example}.")
    return images


def _folder_of_images(path: Path) -> Path:
    """A folder of images, or its `images/` if it holds none itself."""
    return path / "images" if not list_images(path) and (path / "images").is_dir() else path


@keeps_freed_memory
def segment_folder(job: FolderJob, should_stop: Callable[[], bool]) -> Generator[Any, None, FolderResult]:
    """Segment every image; one that fails does not end the work, and a stop keeps what is done.

    Events are `ModelLoaded`, those above, and those of the core in between.

    Raises
    ------
    EmbedSegError
        If the work cannot begin, or its table not be written.
    """
    outputs = plan(job)
    unread = {
        path: fault
        for place in job.inputs
        if place.is_dir() and not is_store(place)
        for path, fault in left_out(_folder_of_images(place)).items()
    }
    n_images = len(outputs) + len(unread)
    tables: list[Table] = []
    failures: list[ImageFailed] = []
    n_skipped, stopped = 0, False
    try:
        model = yield from loaded(job.model, job.device, should_stop)
        # What does not fit the model is found before the first image.
        settings = settings_of(model, job.changes)
        if job.spacing is not None:
            check_spacing(job.spacing, "ZYX"[-model.config.ndim :])
        made_by = signature(model, settings, job.axes, job.channel, job.spacing)
        model_known = model_words(model, job.model)
        for index, output in enumerate(outputs):
            if should_stop():
                raise Stopped("Stopped between two images.")
            yield ImageStarted(index, n_images, output.image.name)
            try:
                if job.resume and _is_done(output, job, made_by):
                    n_skipped += 1
                    yield ImageSkipped(index, output.image.name)
                    continue
                n_like_it = 0 if tables else len(outputs) - index
                table, n_left_out = yield from _segment_file(
                    model, output, job, made_by, should_stop, index, n_like_it, model_known
                )
                tables.append(table)
            except Stopped:
                raise
            except (EmbedSegError, OSError, MemoryError, RuntimeError) as error:
                failures.append(ImageFailed(index, output.image, error))
                yield failures[-1]
            else:
                yield ImageSaved(index, output.image.name, len(table["label"]), n_left_out)
        for index, (path, fault) in enumerate(unread.items(), len(outputs)):
            failures.append(ImageFailed(index, path, DataError(f"{path}: left out; {fault}.")))
            yield failures[-1]
    except Stopped:
        stopped = True
    if tables and job.tables == "together":
        write_text(job.results / TABLE, as_csv(tables), overwrite=job.overwrite)
    n_objects = sum(len(table["label"]) for table in tables)
    return FolderResult(n_images, len(tables), n_objects, tuple(failures), stopped, n_skipped)


def _is_done(output: Output, job: FolderJob, made_by: str) -> bool:
    """Whether an earlier run has left all that is asked for of an image."""
    if not is_whole(output.labels, made_by) or not output.recipe.exists():
        return False
    if job.tables == "each" and not output.table.exists():
        return False
    return not job.save_maps or is_whole(output.maps, made_by)


def _segment_file(
    model: Model,
    output: Output,
    job: FolderJob,
    made_by: str,
    should_stop: Callable[[], bool],
    index: int,
    n_like_it: int,
    model_known: dict[str, str],
) -> Generator[Any, None, tuple[Table, int]]:
    said: list[str] = []
    began = time.monotonic()
    picture = read_image(output.image, job.axes, say=said.append)
    for text in said:
        yield Message(text, "warning")
    shape, axes = picture.array.shape, picture.axes
    if not axes:
        axes = guess_axes(shape, model.config.ndim, model.config.n_channels)
        yield Message(f"The axes of the image, shape {shape}, were guessed to be {axes}.")
    # A file whose axes had to be guessed may give a depth that its picture has no axis for.
    spacing = job.spacing or (None if picture.spacing is None else picture.spacing[-model.config.ndim :])
    if spacing is not None and len(spacing) < model.config.ndim:
        spacing = None
    advise, changes = index < ADVISED, job.changes
    one = SegmentJob(
        picture.array, axes, job.channel, job.model, job.device, spacing, changes, advise=advise, remarks=True
    )
    own = result_axes(axes)
    if job.save_maps:
        with MapFile(shape, axes, model.config.ndim, job.results) as maps:
            if n_like_it:
                yield maps.room(n_like_it)
            segmentation = yield from predict(model, one, should_stop, keep_maps=False, take_maps=maps.take)
            overwrite = job.overwrite or (job.resume and read_software(output.maps) == made_by)
            maps.write(output.maps, own, spacing, picture, software=made_by, overwrite=overwrite)
    else:
        segmentation = yield from predict(model, one, should_stop, keep_maps=False)
    table = object_table(segmentation, own, image=output.image.name)
    seconds = round(time.monotonic() - began, 3)
    # Labels and table belong together, also where two programs write into one folder.
    with alone(job.results):
        # Only maps, or the table, were missing of what an earlier run has left.
        is_labelled = job.resume and is_whole(output.labels, made_by)
        writes_table = job.tables == "each" and not (is_labelled and output.table.exists())
        if writes_table and not job.overwrite and output.table.exists():
            raise AlreadyExists(f"{output.table}: exists already, but not its labels; move it away.")
        if not is_labelled:
            # In the order of the image's own file: whatever opens both lays one onto the other.
            write_labels(
                output.labels,
                segmentation.labels,
                own,
                spacing,
                picture.unit,
                interval=picture.interval,
                keep_order=True,
                software=made_by,
                # What a killed run left damaged is made again.
                overwrite=job.overwrite or (job.resume and read_software(output.labels) == made_by),
            )
        if not (is_labelled and output.recipe.exists()):
            about = {"axes": axes, "shape": list(shape), "spacing": spacing, "unit": picture.unit if spacing else None}
            recipe = record(
                model_known,
                settings_of(model, job.changes),
                {**file_words(output.image), **about},
                {**file_words(output.labels), "n_objects": len(table["label"])},
                words_of(replace(job, inputs=(output.image,))),
                channel=job.channel,
                device=model.device.type,
                seconds=seconds,
            )
            write_text(output.recipe, recipe, overwrite=job.overwrite or job.resume)
        if writes_table:
            write_text(output.table, as_csv([table]), overwrite=job.overwrite)
    return table, segmentation.n_left_out
