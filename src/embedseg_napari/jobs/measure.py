"""Label images in, one table of their objects out."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.pairing import by_name, partners
from embedseg_napari.core.files.tiff import list_images
from embedseg_napari.core.files.units import micrometres
from embedseg_napari.core.files.zarr_image import is_store, labels_in
from embedseg_napari.core.measure.blocks import Blocks
from embedseg_napari.core.measure.measurements import brightness_words, measuring, with_columns, without_brightness
from embedseg_napari.core.measure.outlined import FURTHER
from embedseg_napari.core.measure.table_files import require_table_name, write_table
from embedseg_napari.core.stores.labels import labels_place, table_place
from embedseg_napari.core.wording import count, shape_words
from embedseg_napari.jobs.label_files import named_like, read_labels, read_like

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.files.picture import Picture
    from embedseg_napari.core.measure.measurements import Table

TALLY = 300_000_000
"""Bytes that measuring takes beside a block and what is known of objects."""


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """What to measure, and where the table goes."""

    labels: Path
    """A label image, or a folder of them."""
    output: Path
    """``.csv`` or ``.parquet``."""
    image: Path | None = None
    """The image of the labels, or a folder of images of the same names."""
    axes: str | None = None
    spacing: tuple[float, ...] | None = None
    """Micrometres per pixel (z, y, x) in place of what the files say."""
    columns: tuple[str, ...] = ()
    """Some of `FURTHER`."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class LabelsMeasured:
    """A label image was measured."""

    name: str
    n_objects: int


def measure_files(job: MeasureJob, should_stop: Callable[[], bool]) -> Generator[Any, None, int]:
    """Measure label images and write the table; returns the number of rows.

    Raises
    ------
    DataError
        If a file cannot be read, does not fit, or the table exists already.
    Stopped
        If `should_stop` returned True; nothing is written then.
    """
    require_table_name(job.output)
    if os.path.lexists(job.output) and not job.overwrite:
        raise AlreadyExists(f"{job.output}: exists already; add --overwrite to replace it, or choose another --output.")
    unknown = [name for name in job.columns if name not in FURTHER]
    if unknown:
        raise DataError(f"There is no column {unknown[0]!r} to add; choose from {' and '.join(FURTHER)}.")
    tables: dict[str, Table] = {}
    for labels, image in _files(job):
        tables[labels.name] = yield from _measure_file(job, labels, image, should_stop)
        yield LabelsMeasured(labels.name, len(tables[labels.name]["label"]))
    table = next(iter(tables.values())) if not _is_folder(job.labels) else _together(tables)
    write_table(job.output, table, overwrite=job.overwrite)
    return len(table["label"])


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder of images, and no image that is stored as a folder."""
    return path.is_dir() and not is_store(path)


def _files(job: MeasureJob) -> list[tuple[Path, Path | None]]:
    """Each label image with its image."""
    if not _is_folder(job.labels):
        if job.image is not None and _is_folder(job.image):
            found = partners(by_name([job.labels]), by_name(list_images(job.image)))
            if not found:
                raise DataError(f"{job.image}: holds no image of the name {job.labels.stem}.")
            return [(job.labels, next(iter(found.values())))]
        return [(job.labels, job.image)]
    labels = by_name(list_images(job.labels))
    if not labels:
        raise DataError(f"{job.labels}: holds no label images that can be read.")
    if job.image is None:
        return [(path, None) for path in labels.values()]
    if not _is_folder(job.image):
        raise DataError(f"{job.image}: is one file, but {job.labels} is a folder; give the folder of its images.")
    images = partners(labels, by_name(list_images(job.image)))
    missing = [name for name in labels if name not in images]
    if missing:
        raise DataError(f"{job.image}: holds no image {missing[0]} ({len(missing)} of {len(labels)} are missing).")
    return [(path, images[name]) for name, path in labels.items()]


def _measure_file(
    job: MeasureJob, path: Path, image: Path | None, should_stop: Callable[[], bool]
) -> Generator[Any, None, Table]:
    like = None if image is None else (yield from read_like(image, whole=False))
    # One image of many may well show no objects.
    is_one_of_many = _is_folder(job.labels)
    labels = yield from read_labels(path, job.axes, like, whole=False, may_be_empty=is_one_of_many)
    like = yield from named_like(like, labels)
    spacing, unit = job.spacing, "um" if job.spacing is not None else labels.unit
    if spacing is None:
        spacing = labels.spacing
    elif len(spacing) != len(spatial_axes(labels.axes)):
        raise DataError(f"--spacing needs one number for each of the axes {spatial_axes(labels.axes)} of {path.name}.")
    if spacing is None or unit is None:
        yield Message(f"{path.name} does not say how large a pixel is: lengths are in pixels; see --spacing.")
    elif micrometres(unit) is None:
        yield Message(
            f"{path.name} gives its pixel size in {unit!r}, no known unit: lengths are in pixels; see --spacing."
        )
    words = _plan(labels, like)
    if words:
        yield Message(f"{path.name}: {words}")
    try:
        table = yield from measuring(
            labels.array,
            None if like is None else like.array,
            labels.axes,
            image_axes=None if like is None else like.axes,
            spacing=spacing,
            unit=unit,
            columns=job.columns,
            should_stop=should_stop,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if not len(table["label"]) and not is_one_of_many:
        raise DataError(f"{path}: holds no objects; all its pixels are 0.")
    n_unknown = without_brightness(table)
    if n_unknown:
        yield Message(f"{path.name}: {brightness_words(n_unknown)}", "warning")
    return (yield from _with_scores(table, path))


def _plan(labels: Picture, image: Picture | None) -> str:
    """How large images are read, and what memory that takes; empty for others."""
    blocks = Blocks(labels.array, labels.axes, *(() if image is None else (image.array, image.axes)))
    if not blocks.is_lazy:
        return ""
    return (
        f"{shape_words(blocks.shape)} pixels are measured in {count(blocks.n_blocks, 'block')} of "
        f"{shape_words(blocks.sides)}, with about {(TALLY + blocks.n_bytes) / 1e9:.1f} GB of memory and half a GB "
        "more for each million objects."
    )


def _with_scores(table: Table, labels: Path) -> Generator[Message, None, Table]:
    """Take scores from the table that ``predict --csv`` wrote beside the labels, where it is about these objects."""
    beside = _table_beside(labels)
    if not beside.exists():
        return table
    try:
        known = _known_scores(beside)
    except (ValueError, OSError, StopIteration):
        # Some other table.
        return table
    frames = table.get("frame", np.zeros(len(table["label"]), int))
    # Numbers of objects in the order in which they are met in either table, so that frame and number are one key.
    _, number = np.unique(np.concatenate([known[1], table["label"]]), return_inverse=True)
    key = np.concatenate([known[0], frames]) * len(number) + number
    own, theirs = key[len(known[0]) :], key[: len(known[0])]
    order = np.argsort(theirs)
    row = order[np.searchsorted(theirs, own, sorter=order).clip(max=len(order) - 1)]
    # An object of another size was changed since, and nobody knows how sure the model would be of it.
    is_same = (theirs[row] == own) & (known[3][row] == table["num_pixels"])
    scores = np.where(is_same, known[2][row], np.nan)
    n_known = int(np.isfinite(scores).sum())
    if not n_known:
        return table
    yield Message(f"The scores of {n_known} of {len(scores)} objects are those in {beside.name}.")
    return with_columns(table, {"score": scores})


def _table_beside(labels: Path) -> Path:
    """Where a segmentation wrote its table, if it did."""
    if not is_store(labels):
        return labels.with_suffix(".csv")
    place = labels_in(labels)
    store = place.parent.parent
    return table_place(store, place.name) if place == labels_place(store, place.name) else table_place(place)


def _known_scores(path: Path) -> NDArray[np.float64]:
    """Frames, numbers, scores and sizes (4, n) in a table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file))
        columns = [names.index(name) for name in ("label", "score", "size")]
        frame = [names.index("frame")] if "frame" in names else []
        values = np.loadtxt(
            file,
            delimiter=",",
            quotechar='"',
            comments=None,
            usecols=[*frame, *columns],
            converters=dict.fromkeys(frame, lambda text: float(text or 0)),
            ndmin=2,
        ).T
    if not values.shape[1]:
        raise ValueError("it has no rows")
    return values if frame else np.vstack([np.zeros(values.shape[1]), values])


def _together(tables: dict[str, Table]) -> Table:
    """One table of several images; what one of them has no column for is not a number there."""
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    image = np.concatenate([np.full(len(table["label"]), name) for name, table in tables.items()])
    columns = {
        name: np.concatenate([table.get(name, np.full(len(table["label"]), np.nan)) for table in tables.values()])
        for name in names
    }
    return {"image": image, **columns}
