"""Label images to files of other programs, and annotations of other programs to label images."""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes, spatial_axes
from embedseg_napari.core.clustering.crossing import on_planes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import AlreadyExists, DataError, Stopped
from embedseg_napari.core.evaluation.planes import require_planes
from embedseg_napari.core.events import Message
from embedseg_napari.core.exchange.export import (
    FORMATS,
    NAMES,
    PART_BY_PART,
    export_labels,
    import_labels,
    overlaid,
    require_format,
)
from embedseg_napari.core.exchange.planes import Overlaid
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.names import identity
from embedseg_napari.core.files.pairing import image_name
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.files.plane_stack import each_plane, is_plane_file
from embedseg_napari.core.files.tiff import list_images, read_image, write_labels
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.machine import memory_of_machine
from embedseg_napari.core.measure.blocks import Blocks, is_lazy
from embedseg_napari.core.measure.measurements import PartMeasured, measuring
from embedseg_napari.core.measure.sums import ids_of
from embedseg_napari.jobs.label_files import named_like, read_labels, read_like, sized_like, with_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FORMATS", "ExportJob", "ImportJob", "export_file", "import_file"]


TIMES_LABELS = 3.5
"""Memory of an export by that of its labels, these among it, at most; docs/exchange.md has it by format."""
WORTH_TELLING = 1 << 30


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
    planes: bool = False
    """Whether the file holds planes of one object each and does not say so, as those written here do."""


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
    _require_free(job.output, job.overwrite, job.labels, job.image, names=NAMES.get(job.format, ""))
    if job.labels.is_dir() and not is_store(job.labels):
        example = next((f", such as {path}" for path in list_images(job.labels)), "")
        raise DataError(f"{job.labels}: is a folder; export its label images one by one{example}.")
    like = None if job.image is None else (yield from read_like(job.image, whole=False))
    is_whole = job.planes or is_plane_file(job.labels)
    if is_whole:
        labels, groups = yield from _read_planes(job, like)
    else:
        labels = yield from read_labels(job.labels, job.axes, like, whole=False)
        groups = (labels.array,)
    like = yield from named_like(like, labels)
    spacing, unit = (labels.spacing, labels.unit) if job.spacing is None else (job.spacing, "um")
    if spacing is not None and len(spacing) != len(spatial_axes(labels.axes)):
        raise DataError(f"--spacing needs one number for each of the axes {spatial_axes(labels.axes)}.")
    yield from _told_memory(labels, job)
    n_objects = 0
    for group in groups:
        n_objects += yield from _count(replace(labels, array=group), should_stop)
    if not n_objects:
        raise DataError(f"{job.labels}: holds no objects; all its pixels are 0.")
    table = None
    if job.format == "geojson":
        tables = []
        try:
            for group in groups:
                measured = yield from measuring(
                    group,
                    None if like is None else like.array,
                    labels.axes,
                    image_axes=None if like is None else like.axes,
                    spacing=spacing,
                    unit=unit,
                    should_stop=should_stop,
                )
                tables.append(measured)
        except DataError as error:
            raise DataError(f"{job.labels}: {error}") from error
        table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
        if len(groups) > 1:
            # Each sees those of its own label image only.
            table.pop("touching_neighbours")
    if job.format == "mesh" and spacing is None:
        yield Message(f"{job.labels.name} does not say how large a pixel is: surfaces are in pixels; see --spacing.")
    said: list[str] = []
    try:
        export_labels(
            Overlaid(groups) if is_whole else labels.array,
            job.output,
            job.format,
            labels.axes,
            spacing=spacing,
            unit=unit,
            table=table,
            overwrite=job.overwrite,
            say=said.append,
        )
    except AlreadyExists:
        raise
    except DataError as error:
        raise DataError(f"{job.labels}: {error}") from error
    for text in said:
        yield Message(text, "warning")
    return n_objects


def _read_planes(
    job: ExportJob, like: Picture | None
) -> Generator[Message, None, tuple[Picture, tuple[NDArray[np.int32], ...]]]:
    """Objects of planes as label images that lie over each other; the first of them with axes and pixel size."""
    if is_plane_file(job.labels):
        stack = open_image(job.labels)
        objects, space = on_planes(each_plane(stack)), stack.axes.removeprefix("C")
        shape, spacing, unit = stack.shape[-len(space) :], stack.spacing, stack.unit
    else:
        said: list[str] = []
        picture = read_image(job.labels, labels=True, planes=True, say=said.append)
        for text in said:
            yield Message(text, "warning")
        array, space = picture.array, job.axes or "ZYX"[-picture.array.ndim + 1 :]
        require_kept_ids(array, str(job.labels))
        if array.ndim != len(space) + 1 or ordered(space) not in ("YX", "ZYX"):
            raise DataError(
                f"{job.labels}: an array of shape {array.shape} is no stack of planes of one object each, which has "
                "one axis more than its image."
            )
        require_planes(array, str(job.labels))
        objects, shape = on_planes(array), array.shape[1:]
        # What the planes of a file are that does not say it has no size.
        spacing, unit = (picture.spacing, picture.unit) if "C" in picture.axes else (None, None)
    if not objects:
        raise DataError(f"{job.labels}: holds no objects; all its pixels are 0.")
    groups = overlaid(objects, shape).groups
    return sized_like(Picture(groups[0], space, spacing, unit, path=job.labels), like), groups


def _told_memory(labels: Picture, job: ExportJob) -> Generator[Message, None, None]:
    """Say how much memory a large export takes, before it is taken.

    Raises
    ------
    DataError
        If the machine has less.
    """
    part = PART_BY_PART.get(job.format) if is_lazy(labels.array) else labels.axes
    sizes = [n for n, letter in zip(labels.array.shape, labels.axes, strict=True) if part is None or letter in part]
    n_bytes = math.prod(sizes) * labels.array.dtype.itemsize * TIMES_LABELS if part != "" else 0
    words = f"{job.labels.name}: exporting as {job.format} takes about {n_bytes / 1e9:.1f} GB of memory"
    there = memory_of_machine()
    if there is not None and n_bytes > there:
        raise DataError(f"{words}, and this machine has {there / 1e9:.1f} GB; choose ome-zarr, or export a part.")
    if n_bytes > WORTH_TELLING:
        yield Message(f"{words}.")


def _count(labels: Picture, should_stop: Callable[[], bool]) -> Generator[PartMeasured, None, int]:
    """The number of objects, block by block."""
    blocks, found = Blocks(labels.array, labels.axes), np.zeros(0, np.int64)
    n_parts = blocks.n_frames * blocks.n_blocks
    for done, (frame, box) in enumerate(itertools.product(range(blocks.n_frames), blocks.boxes()), 1):
        if should_stop():
            raise Stopped("The export was stopped.")
        found = np.union1d(found, ids_of(blocks.read(frame, box)))
        yield PartMeasured(done, n_parts)
    return len(found)


def import_file(job: ImportJob, should_stop: Callable[[], bool]) -> Generator[Any, None, int]:
    """Write annotations as a label image that lies on its image; returns the number of objects.

    Raises
    ------
    DataError
        If a file cannot be read, no object lies on the image, or the output exists.
    """
    if job.output.suffix.lower() not in (".tif", ".tiff"):
        raise DataError(f"{job.output}: labels are written as .tif; choose such a name.")
    _require_free(job.output, job.overwrite, job.annotations, job.like)
    like = yield from read_like(job.like, job.axes)
    like = with_axes(like, like.axes)
    if like.axes_guessed and like.array.ndim > 2:
        yield Message(
            f"The axes of {job.like.name}, shape {like.array.shape}, were guessed to be {like.axes}; see --axes."
        )
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


def _require_free(path: Path, overwrite: bool, *inputs: Path | None, names: str = "") -> None:
    """Refuse to replace what is read, and unasked what is there; in a folder files of these `names` are replaced."""
    # Some file systems do not tell capitals from small letters.
    made = re.compile(names, re.IGNORECASE)
    inside = [one for one in path.iterdir() if made.fullmatch(one.name)] if names and path.is_dir() else []
    read = {identity(one) for one in inputs if one is not None} - {None}
    for target in (path, *inside):
        if identity(target) in read:
            raise DataError(
                f"{target}: is one of the files that are read, and would be replaced; choose another --output."
            )
    if os.path.lexists(path) and not overwrite:
        raise AlreadyExists(f"{path}: exists already; add --overwrite to replace it, or choose another --output.")
