"""A folder of images in, a folder of label images and one table out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError, EmbedSegError, Stopped
from embedseg_napari.core.files.tiff import list_images, locked_place, read_image, write_atomically, write_labels
from embedseg_napari.jobs.object_table import object_table
from embedseg_napari.jobs.segment import SegmentJob, loaded, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import pandas as pd

    from embedseg_napari.core.model.model import Model

TABLE = "objects.csv"


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What a batch needs."""

    images: Path
    results: Path
    model: Path
    device: str
    changes: dict[str, Any]
    overwrite: bool


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """The next file is being read."""

    index: int
    n_images: int
    name: str


@dataclass(frozen=True, slots=True)
class ImageSaved:
    """Labels of a file were written."""

    index: int
    name: str
    n_objects: int


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """A file could not be segmented; the batch goes on."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch ended."""

    n_images: int
    n_saved: int
    n_objects: int
    failures: tuple[tuple[str, str], ...]
    stopped: bool


def check(job: BatchJob) -> list[Path]:
    """The images of a batch, if nothing would be lost by segmenting them.

    Raises
    ------
    DataError
        If a folder cannot be used, two files have one name, or files would be replaced unasked.
    """
    images = list_images(job.images)
    if not images:
        raise DataError(f"{job.images}: this folder holds no TIFF images.")
    if job.results.exists() and not job.results.is_dir():
        raise DataError(f"{job.results}: is a file; choose a folder for the results.")
    locked = locked_place(job.results)
    if locked is not None:
        raise DataError(f"{locked}: nothing can be written there; choose another folder for the results.")
    if job.images.resolve() == job.results.resolve():
        raise DataError("Results would replace the images; choose another folder for them.")
    names = [image.stem for image in images]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"Two images are named {twice}; their labels would have one name. Rename one of them.")
    existing = [target for target in (job.results / f"{name}.tif" for name in names) if target.exists()]
    if existing and not job.overwrite:
        raise DataError(f"{existing[0]} exists already; tick Replace existing files, or choose another folder.")
    return images


def segment_folder(job: BatchJob, should_stop: Callable[[], bool]) -> Generator[Any, None, BatchResult]:
    """Segment every image of a folder; one that fails does not end the batch.

    Raises
    ------
    EmbedSegError
        If the batch cannot begin, or its table not be written.
    """
    import pandas as pd

    images = check(job)
    model = yield from loaded(job.model, job.device, should_stop)
    tables: list[pd.DataFrame] = []
    failures: list[tuple[str, str]] = []
    n_saved, is_stopped = 0, False
    for index, path in enumerate(images):
        if should_stop():
            is_stopped = True
            break
        yield ImageStarted(index, len(images), path.name)
        try:
            table = yield from _segment_file(model, path, job, should_stop)
        except Stopped:
            is_stopped = True
            break
        except (EmbedSegError, OSError, MemoryError, RuntimeError) as error:
            failures.append((path.name, str(error) or type(error).__name__))
            yield ImageFailed(index, path.name, failures[-1][1])
            continue
        n_saved += 1
        tables.append(table)
        yield ImageSaved(index, path.name, len(table))
    n_objects = sum(len(table) for table in tables)
    if tables:
        text = pd.concat(tables, ignore_index=True).to_csv(index=False, float_format="%.4f")
        write_atomically(job.results / TABLE, lambda target: target.write_text(text, encoding="utf-8"))
    return BatchResult(len(images), n_saved, n_objects, tuple(failures), is_stopped)


def _segment_file(
    model: Model, path: Path, job: BatchJob, should_stop: Callable[[], bool]
) -> Generator[Any, None, pd.DataFrame]:
    from embedseg_napari.core.axes import guess_axes

    picture = read_image(path)
    axes = picture.axes or guess_axes(picture.array.shape, model.config.ndim, model.config.n_channels)
    one = SegmentJob(picture.array, axes, "all", job.model, job.device, picture.spacing, job.changes)
    run = predict(model, one, should_stop)
    segmentation = yield from run
    space = spatial_axes(axes)
    labels_axes = ("T" if "T" in axes else "") + space
    spacing = picture.spacing if picture.spacing is not None and len(picture.spacing) == len(space) else None
    write_labels(
        job.results / f"{path.stem}.tif",
        segmentation.labels,
        labels_axes,
        spacing,
        picture.unit,
        overwrite=job.overwrite,
    )
    table = object_table(segmentation, labels_axes).rename(columns={"index": "label"})
    table.insert(0, "image", path.name)
    return table
