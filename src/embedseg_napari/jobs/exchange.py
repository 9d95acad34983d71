"""Label images to files of other programs, and annotations of other programs to label images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import result_axes, spatial_axes
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.exchange.export import FORMATS, export_labels, import_labels, require_format
from embedseg_napari.core.files.pairing import image_name
from embedseg_napari.core.files.tiff import write_labels
from embedseg_napari.core.measure.measurements import measuring
from embedseg_napari.core.measure.sums import ids_of
from embedseg_napari.jobs.label_files import read_labels, read_like

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["FORMATS", "ExportJob", "ImportJob", "export_file", "import_file"]


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What to export, and where it goes."""

    labels: Path
    format: str
    """One of `FORMATS`."""
    output: Path
    image: Path | None = None
    """Whose brightness is measured for GeoJSON."""
    axes: str | None = None
    spacing: tuple[float, ...] | None = None
    """Micrometres per pixel (z, y, x) in place of what the file says."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ImportJob:
    """What becomes labels, and of which image."""

    annotations: Path
    like: Path
    """The image that was annotated."""
    output: Path
    axes: str | None = None
    """Axes of the image, where its file does not say."""
    overwrite: bool = False


def export_file(job: ExportJob, should_stop: Callable[[], bool]) -> Generator[Any, None, int]:
    """Export a label image; returns the number of its objects.

    Raises
    ------
    DataError
        If it cannot be read, does not fit the format, or the target exists.
    Stopped
        If `should_stop` returned True; nothing is written then.
    """
    require_format(job.output, job.format)
    _require_free(job.output, job.overwrite)
    like = None if job.image is None else (yield from read_like(job.image))
    labels = yield from read_labels(job.labels, job.axes, like)
    spacing, unit = (labels.spacing, labels.unit) if job.spacing is None else (job.spacing, "um")
    if spacing is not None and len(spacing) != len(spatial_axes(labels.axes)):
        raise DataError(f"--spacing needs one number for each of the axes {spatial_axes(labels.axes)}.")
    table = None
    if job.format == "geojson":
        table = yield from measuring(
            labels.array,
            None if like is None else like.array,
            labels.axes,
            image_axes=None if like is None else like.axes,
            spacing=spacing,
            unit=unit,
            should_stop=should_stop,
        )
    if job.format == "mesh" and spacing is None:
        yield Message(f"{job.labels.name} does not say how large a pixel is: surfaces are in pixels; see --spacing.")
    try:
        export_labels(
            labels.array,
            job.output,
            job.format,
            labels.axes,
            spacing=spacing,
            unit=unit,
            table=table,
            overwrite=job.overwrite,
        )
    except AlreadyExists:
        raise
    except DataError as error:
        raise DataError(f"{job.labels}: {error}") from error
    return len(ids_of(labels.array))


def import_file(job: ImportJob, should_stop: Callable[[], bool]) -> Generator[Any, None, int]:
    """Write annotations as a label image that lies on its image; returns the number of objects.

    Raises
    ------
    DataError
        If a file cannot be read, no object lies on the image, or the output exists.
    """
    if job.output.suffix.lower() not in (".tif", ".tiff"):
        raise DataError(f"{job.output}: labels are written as .tif; choose such a name.")
    _require_free(job.output, job.overwrite)
    like = yield from read_like(job.like, job.axes)
    own = result_axes(like.axes)
    shape = [size for size, letter in zip(like.array.shape, like.axes, strict=True) if letter != "C"]
    said: list[str] = []
    labels = import_labels(job.annotations, shape, own, image=image_name(job.like), say=said.append)
    for text in said:
        yield Message(text, "warning")
    write_labels(
        job.output,
        labels,
        own,
        like.spacing,
        like.unit,
        interval=like.interval,
        keep_order=True,
        overwrite=job.overwrite,
    )
    return len(ids_of(labels))


def _require_free(path: Path, overwrite: bool) -> None:
    if os.path.lexists(path) and not overwrite:
        raise AlreadyExists(f"{path}: exists already; add --overwrite to replace it, or choose another --output.")
