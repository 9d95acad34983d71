"""Images in files and folders in, a folder of label images and tables of their objects out."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.filesize import decimal

from embedseg_napari.core.axes import check_spacing, guess_axes, ordered, reorder, result_axes
from embedseg_napari.core.errors import AlreadyExists, DataError, EmbedSegError, Stopped
from embedseg_napari.core.events import EngineMessage, Message
from embedseg_napari.core.files.atomic import alone, write_text
from embedseg_napari.core.files.formats import left_out
from embedseg_napari.core.files.lazy_image import FramesOnDisk, frames_or_whole
from embedseg_napari.core.files.plane_stack import marked, write_planes
from embedseg_napari.core.files.tiff import read_image, read_software, write_labels
from embedseg_napari.core.files.units import MICROMETRE
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.freed_memory import keeps_freed_memory
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.folder.earlier_run import is_made_here, is_whole, signature
from embedseg_napari.jobs.folder.finished import is_done, rows_beside
from embedseg_napari.jobs.folder.joint_table import find_tables, is_own_table, renew_table
from embedseg_napari.jobs.folder.label_frames import LabelFrames
from embedseg_napari.jobs.folder.map_file import MapFile
from embedseg_napari.jobs.folder.plan import FolderJob, Output, folder_of_images, plan, words_of
from embedseg_napari.jobs.folder.report import FolderReport
from embedseg_napari.jobs.object_table import as_csv, object_table, rows_hash
from embedseg_napari.jobs.recipe import file_words, model_words, record
from embedseg_napari.jobs.segment import ImageStarted, SegmentJob, loaded, predict, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.object_table import Table

T = TypeVar("T")
ADVISED = 3
"""Images for which other scales are tried where the model is unsure; that takes longer than to segment them."""


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
    report: Path | None = None
    """The page with an overview, if one was written."""
    n_kept: int = 0
    """Images not segmented now that the table of all lists, too."""

    @property
    def n_left(self) -> int:
        """Images that a stop left undone."""
        return self.n_images - self.n_saved - self.n_skipped - len(self.failures)


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
        for path, fault in left_out(folder_of_images(place)).items()
    }
    n_images = len(outputs) + len(unread)
    tables: dict[str, Table] = {}
    renewed: set[str] = set()
    skipped: set[str] = set()
    failures: list[ImageFailed] = []
    stopped = False
    beside: dict[str, Table] = {}
    joint, earlier = find_tables(job.results) if job.resume and job.tables == "together" else (job.results, {})
    is_reported = n_images > 1 if job.report is None else job.report
    with FolderReport(job, n_images) if is_reported else nullcontext() as report:
        try:
            model = yield from loaded(job.model, job.device, should_stop)
            # What does not fit the model is found before the first image.
            settings = settings_of(model, job.changes)
            if job.spacing is not None:
                check_spacing(job.spacing, "ZYX"[-model.config.ndim :])
            told = set[EngineMessage]()
            made_by = signature(model, settings, job.axes, job.channel, job.spacing)
            model_known = model_words(model, job.model)
            for index, output in enumerate(outputs):
                if should_stop():
                    raise Stopped("Stopped between two images.")
                yield ImageStarted(index, n_images, output.image.name)
                try:
                    if job.resume and is_done(output, job, made_by, earlier):
                        skipped.add(output.labels.stem)
                        beside |= rows_beside(output, joint, earlier)
                        if report is not None:
                            report.add_earlier(output, model.config)
                        yield ImageSkipped(index, output.image.name)
                        continue
                    n_like_it = 0 if tables else len(outputs) - index
                    run = _segment_file(
                        model, output, job, made_by, should_stop, index, len(outputs), n_like_it, model_known, report
                    )
                    table, n_left_out, is_new = yield from _said_once(run, told)
                    tables[output.labels.stem] = table
                    renewed |= {output.labels.stem} if is_new else set()
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
        n_kept = 0
        unwritten: DataError | None = None
        if tables or beside:
            names = [output.labels.stem for output in outputs]
            is_asked, overwrite = job.tables == "together", job.overwrite
            try:
                n_kept = yield from renew_table(
                    job.results, names, beside | tables, renewed, skipped, is_asked=is_asked, overwrite=overwrite
                )
            except DataError as error:
                unwritten = error
        page = None
        if report is not None and (tables or skipped):
            try:
                page = report.write([(one.path, one.error) for one in failures], model, is_stopped=stopped)
            except DataError as error:
                yield Message(f"The report was not written: {error}", "warning")
    if unwritten is not None:
        raise unwritten
    n_objects = sum(len(table["label"]) for table in tables.values())
    return FolderResult(n_images, len(tables), n_objects, tuple(failures), stopped, len(skipped), page, n_kept)


def _segment_file(
    model: Model,
    output: Output,
    job: FolderJob,
    made_by: str,
    should_stop: Callable[[], bool],
    index: int,
    n_images: int,
    n_like_it: int,
    model_known: dict[str, str],
    report: FolderReport | None,
) -> Generator[Any, None, tuple[Table, int, bool]]:
    said: list[str] = []
    began = time.monotonic()
    picture = read_image(output.image, job.axes, lazily=True, say=said.append)
    for text in said:
        yield Message(text, "warning")
    shape, axes = picture.array.shape, picture.axes
    if not axes:
        axes = guess_axes(shape, model.config.ndim, model.config.n_channels)
        yield Message(f"The axes of the image, shape {shape}, were guessed to be {axes}.")
    array = frames_or_whole(picture.array, axes)
    if isinstance(array, FramesOnDisk):
        array.check(should_stop)
    if job.planes and "T" in axes:
        raise DataError(
            f"{output.image}: has frames (axes {axes}), and planes are written of single images; segment it without "
            "--planes."
        )
    # A file whose axes had to be guessed may give a depth that its picture has no axis for.
    if job.spacing is not None:
        picture = replace(picture, spacing=job.spacing, unit=MICROMETRE)
    spacing = None if picture.spacing is None else picture.spacing[-model.config.ndim :]
    if spacing is not None and len(spacing) < model.config.ndim:
        spacing = None
    advise, changes = index < ADVISED, job.changes
    one = SegmentJob(
        array, axes, job.channel, job.model, job.device, spacing, changes, unit=picture.unit, advise=advise,
        remarks=True, n_images=n_images,
    )  # fmt: skip
    own = result_axes(axes)
    with ExitStack() as stack:
        maps = stack.enter_context(MapFile(shape, axes, model.config.ndim, job.results)) if job.save_maps else None
        # In the usual order of axes, frames are written as they come.
        comes = "T" in own and own == ordered(own)
        frames = stack.enter_context(LabelFrames(own, output.image.name, job.results)) if comes else None
        if maps is not None and n_like_it:
            yield maps.room(n_like_it)
        run = predict(
            model,
            one,
            should_stop,
            keep_maps=job.planes,
            take_maps=None if maps is None else maps.take,
            take_frame=None if frames is None else frames.take,
        )
        segmentation = yield from _heard(run, said)
        if maps is not None:
            overwrite = job.overwrite or (job.resume and read_software(output.maps) == made_by)
            maps.write(output.maps, own, spacing, picture, software=made_by, overwrite=overwrite)
        whole = segmentation.objects(should_stop) if job.planes else None
        if frames is not None:
            table = frames.table()
        else:
            table = object_table(segmentation, own, image=output.image.name, whole=whole)
        n_objects = len(table["label"])
        score = float(table["score"].mean()) if n_objects else None
        n_bytes = n_objects * segmentation.labels.size
        if job.planes and not fits_machine(n_bytes):
            yield Message(
                f"The planes of {count(n_objects, 'object')} take {decimal(n_bytes)} where they are read at once, more "
                "than this machine has memory.",
                "warning",
            )
        labels_by = marked(made_by) if job.planes else made_by
        seconds = round(time.monotonic() - began, 3)
        # Labels and table belong together, also where two programs write into one folder; large ones take minutes.
        with alone(job.results, should_stop):
            # Only maps, or the table, were missing of what an earlier run has left.
            is_labelled = job.resume and is_whole(output.labels, labels_by)
            # That of earlier labels would stay beside these.
            is_outdated = not is_labelled and is_own_table(output.table)
            writes_table = is_outdated or (job.tables == "each" and not (is_labelled and output.table.exists()))
            if writes_table and not (job.overwrite or is_outdated) and output.table.exists():
                raise AlreadyExists(f"{output.table}: exists already, but not its labels; move it away.")
            # What a killed run left damaged is made again.
            overwrite = job.overwrite or (job.resume and read_software(output.labels) == labels_by)
            # In the order of the image's own file: whatever opens both lays one onto the other.
            if not is_labelled and job.planes:
                write_planes(
                    output.labels,
                    _planes(segmentation, own, should_stop),
                    n_objects,
                    segmentation.labels.shape,
                    own,
                    spacing,
                    picture.unit,
                    software=made_by,
                    overwrite=overwrite,
                )
            elif not is_labelled and frames is not None:
                frames.write(output.labels, spacing, picture, software=made_by, overwrite=overwrite)
            elif not is_labelled:
                write_labels(
                    output.labels,
                    segmentation.labels,
                    own,
                    spacing,
                    picture.unit,
                    interval=picture.interval,
                    keep_order=True,
                    software=made_by,
                    overwrite=overwrite,
                )
            if not (is_labelled and output.recipe.exists()):
                about = {
                    "axes": axes,
                    "shape": list(shape),
                    "spacing": spacing,
                    "unit": picture.unit if spacing else None,
                }
                recipe = record(
                    model_known,
                    # With the scale that was found, if one was looked for.
                    segmentation.settings,
                    {**file_words(output.image), **about},
                    {
                        **file_words(output.labels),
                        "n_objects": n_objects,
                        "mean_score": score,
                        "rows_sha256": rows_hash(table),
                    },
                    words_of(replace(job, inputs=(output.image,))),
                    channel=job.channel,
                    device=model.device.type,
                    seconds=seconds,
                    remarks=said,
                )
                write_text(output.recipe, recipe, overwrite=job.overwrite or job.resume)
            if writes_table:
                write_text(output.table, as_csv([table]), overwrite=job.overwrite or is_outdated)
            have_gone = maps is None and not is_labelled and _take_away_maps(output, job, made_by)
        if is_outdated and job.tables != "each":
            yield Message(f"{output.table.name} was of earlier labels; it is written anew.")
        if have_gone:
            yield Message(f"{output.maps.parent.name}/{output.maps.name} was of earlier labels; it is deleted.")
        if report is not None:
            # Those of frames are in their file only.
            labels = None if frames is not None else segmentation.labels
            report.add(output, array, axes, labels, score, said)
    return table, segmentation.n_left_out, not is_labelled


def _take_away_maps(output: Output, job: FolderJob, made_by: str) -> bool:
    """Delete the maps that an earlier run has left of labels which were made anew; returns whether there were any."""
    if not is_made_here(output.maps) or (not job.overwrite and read_software(output.maps) == made_by):
        return False
    output.maps.unlink()
    return True


def _said_once(run: Generator[Any, None, T], told: set[EngineMessage]) -> Generator[Any, None, T]:
    """Hand on the events of an image, but not what was said of the engine before."""
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            found: T = end.value
            return found
        if isinstance(event, EngineMessage):
            if event in told:
                continue
            told.add(event)
        yield event


def _heard(run: Generator[Any, None, Segmentation], said: list[str]) -> Generator[Any, None, Segmentation]:
    """Hand on the events of a run, and note its warnings."""
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            found: Segmentation = end.value
            return found
        if isinstance(event, Message) and event.level == "warning":
            said.append(event.text)
        yield event


def _planes(segmentation: Segmentation, axes: str, should_stop: Callable[[], bool]) -> Iterator[NDArray[np.bool_]]:
    """The objects of an image as planes in the order of its axes, one after the other."""
    own = ordered(axes)
    shape = reorder(segmentation.labels, axes, own).shape
    for one in segmentation.objects(should_stop):
        plane = np.zeros(shape, bool)
        plane[one.box] = one.mask
        yield reorder(plane, own, axes)
