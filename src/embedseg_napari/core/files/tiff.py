"""Images to arrays, and arrays to TIFF, with axes, physical spacing and channel names."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from embedseg_napari.core.axes import KNOWN, parse_axes, reorder, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.formats import read_other, readable
from embedseg_napari.core.files.metadata import spacing_along
from embedseg_napari.core.files.picture import TIFF, Picture, faults_told, require_file
from embedseg_napari.core.files.tiff_flavours import as_stored, colour_options, imagej_options, ome_options
from embedseg_napari.core.files.tiff_pages import read_pages
from embedseg_napari.core.files.units import positive
from embedseg_napari.core.files.zarr_image import has_documents, is_store, read_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from embedseg_napari.core.files.picture import Pixels

__all__ = ["Picture", "list_images", "read_image", "write_image", "write_labels"]

logger = logging.getLogger(__name__)

OPEN = "IQ"
"""Letters of axes whose meaning a file leaves open."""
IMAGEJ_TYPES = ("uint8", "uint16", "float32")
OME_TYPES = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
COLOUR_TYPES = ("uint8", "uint16")
"""Types of pixels that napari and Fiji show in colour."""
BIGTIFF_BYTES = 3_900_000_000
MADE_BY = "embedseg-napari"
"""What files of labels begin with where they say what made them; images do not say it, maps hold no whole numbers."""


def list_images(folder: str | Path) -> list[Path]:
    """Return the images of a folder that can be read, in natural order (2 before 10); hidden files are left out.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    found = [p for p in folder.iterdir() if not p.name.startswith(".") and _is_image(p)]
    return sorted(found, key=lambda p: [int(t) if t.isdecimal() else t.lower() for t in re.split(r"(\d+)", p.name)])


def _is_image(path: Path) -> bool:
    """Whether this is an image by its name: a file, or the folder of an OME-Zarr."""
    ending = path.suffix.lower()
    return has_documents(path) if ending == ".zarr" else ending in readable() and path.is_file()


def read_image(
    path: str | Path,
    axes: str | None = None,
    *,
    labels: bool = False,
    planes: bool = False,
    lazily: bool = False,
    say: Callable[[str], None] | None = None,
) -> Picture:
    """Read the image of a file; axes of length 1 are left out.

    Of several images in a file those of the largest size are read, counted by an axis of their own.

    Parameters
    ----------
    path : path
        The file, or the folder of an OME-Zarr: its group, or one of its resolutions. Where labels are wanted of a group
        that has label images, the only one of these is read.
    axes : str, optional
        Axes of its array, where the file does not say or says wrong.
    labels : bool
        Whether its pixels are numbers of objects: these keep their values whatever colours they are shown in.
    planes : bool
        Whether these are planes of one object each: three or four may be stored as if they were the colours of one.
    lazily : bool
        Whether frames may stay on the disk, see `FramesOnDisk`; what must be read whole to be understood is.
    say : callable, optional
        Takes a sentence, to follow the file's name, for each thing that was assumed or left out; by default they are
        logged as warnings.

    Raises
    ------
    DataError
        If the file is missing, of no format that can be read, damaged, holds less than it says, or `axes` do
        not fit it.
    """
    path = Path(path)
    given = None if axes is None else parse_axes(axes)

    def tell(words: str) -> None:
        if say is None:
            logger.warning("%s: %s.", path, words)
        else:
            say(f"{words}.")

    is_zarr = is_store(path)
    if not is_zarr:
        require_file(path)
    with faults_told(path):
        if is_zarr:
            pixels = read_zarr(path, given, labels, tell, lazily=lazily)
        elif path.suffix.lower() in TIFF:
            pixels = read_pages(path, None if given is None else len(given), labels, tell, lazily=lazily)
        else:
            pixels = read_other(path, labels, tell)
    array, metadata = pixels.array, pixels.metadata
    if array.ndim < 2 or array.size == 0:
        raise DataError(f"{path}: contains no image (shape {array.shape}).")
    if labels and pixels.is_colour:
        # Three or four planes are stored as if they were the colours of one.
        may_be_planes = pixels.axes.startswith("S") and array.ndim == 3
        if not (may_be_planes and (planes or (given is not None and "C" not in given))):
            stack = (
                "; if it is a stack that was stored as colours, name its axes, such as TYX or ZYX, or save it as grey "
                '(tifffile: photometric="minisblack")'
            )
            raise DataError(
                f"{path}: is a colour picture; a mask needs one number per pixel, saved as 16-bit grey"
                f"{stack if may_be_planes and given is None else ''}."
            )
    array, stored = _with_letters(path, pixels, tell if given is None else None)
    if given is not None and len(given) != array.ndim:
        raise DataError(
            f"{path}: axes {given!r} name {len(given)} axes, the file has {array.ndim} (shape {array.shape})."
        )
    axes = stored if given is None else given
    names = metadata.channel_names
    if "C" in axes and len(names) != array.shape[axes.index("C")]:
        names = ()
    spacing = spacing_along(metadata.steps, axes, stored or axes, array.ndim)
    unit = metadata.unit if spacing else None
    is_colour = pixels.is_colour and axes.endswith("C")
    return Picture(array, axes, spacing, unit, names, path, not axes, metadata.interval, is_colour=is_colour)


def _with_letters(path: Path, pixels: Pixels, tell: Callable[[str], None] | None) -> tuple[np.ndarray, str]:
    """The array of a file and its axes in letters of `core.axes`, none where the file leaves them open.

    A set of other things than time points, such as positions, is one of images of their own, which frames are; several
    such sets become one.
    """
    array, letters = pixels.array, pixels.axes.upper().replace("S", "C")
    if len(letters) != array.ndim:
        return array, ""
    strange = [letter for letter in letters if letter not in KNOWN]
    is_plain = len(set(letters)) == len(letters)
    if not strange and is_plain:
        return array, letters if {"Y", "X"} <= set(letters) else ""
    is_open = strange != [] and all(letter in OPEN for letter in strange)
    is_stack = is_open and letters.replace(strange[0], "") == "YX"
    if tell is None or is_stack or (is_open and len(strange) > 1):
        return array, ""
    sets = [letter for letter in letters if letter in strange or letter == "T"]
    if not is_plain or not {"Y", "X"} <= set(letters) or (is_open and len(sets) > 1):
        raise DataError(
            f"{path}: has the axes {pixels.axes} (shape {array.shape}), but only T, C, Z, Y and X are known here; save "
            "each position, mosaic tile or set of samples as a file of its own, or name all axes with --axes."
        )
    if len(sets) == 1:
        read = letters.replace(sets[0], "T")
        tell(f"axis {sets[0]} of {pixels.axes} is read as a set of images of their own ({read}); else name its axes")
        return array, read
    rest = "".join(letter for letter in letters if letter not in sets)
    array = np.asarray(reorder(array, letters, "".join(sets) + rest))
    array = array.reshape(-1, *array.shape[len(sets) :])
    tell(
        f"axes {' and '.join(sets)} of {pixels.axes} are read as one set of {len(array)} images of their own "
        f"(T{rest}); else name its axes"
    )
    return array, f"T{rest}"


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    interval: float | None = None,
    keep_order: bool = False,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a label image, compressed, with axes and spacing; ids keep their values.

    Parameters
    ----------
    path : path
        Target, ``.tif``; one that ends in ``.ome.tif`` becomes an OME-TIFF.
    labels : ndarray of int
        Ids from 0; stored as uint16 where they fit, else uint32.
    axes : str
        Axes of `labels`, such as ``"ZYX"``.
    spacing : sequence of float, optional
        Physical pixel size per spatial axis (z, y, x).
    unit : str, optional
        Unit of the spacing.
    interval : float, optional
        Seconds between two time points.
    keep_order : bool
        Whether the file holds the array as it is, so that it lies on an image of the same order; see `write_image`.
    software : str, optional
        What made the labels, ASCII, by default `MADE_BY`; `read_software` returns it.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists, or cannot be written.
    """
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise DataError(f"{path}: labels of type {labels.dtype} cannot be written; they must be whole numbers.")
    least, largest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if least < 0 or largest >= 1 << 32:
        raise DataError(
            f"{path}: labels from {least} to {largest} cannot be written; ids must be between 0 and {(1 << 32) - 1}."
        )
    kind = np.uint16 if largest < 1 << 16 else np.uint32
    write_image(
        path,
        labels.astype(kind),
        axes,
        spacing,
        unit,
        interval=interval,
        keep_order=keep_order,
        software=software or MADE_BY,
        overwrite=overwrite,
    )


def write_image(
    path: str | Path,
    array: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    channel_names: Sequence[str] = (),
    interval: float | None = None,
    keep_order: bool = False,
    is_colour: bool = False,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write an array as a TIFF that this program, napari and Fiji read with axes and spacing; see `write_labels`.

    uint8, uint16 and float32 become ImageJ TIFFs, other types and names that end in ``.ome.tif`` OME-TIFFs. Axes are
    stored in the order TZCYX, unless `keep_order` asks for the array as it is. No TIFF ends in other axes than Y and X:
    an array that does is then stored under the letters that its image's file has in these places. Channels that are
    colours (`is_colour`), three or four of `COLOUR_TYPES`, are stored as such, behind the other axes.

    Raises
    ------
    DataError
        If the file exists, or cannot be written, or axes, spacing or type do not fit.
    """
    path = Path(path)
    axes = parse_axes(axes)
    if len(axes) != array.ndim:
        raise DataError(f"{path}: axes {axes!r} do not fit an array of shape {array.shape}.")
    if spacing is not None and (
        len(spacing) != len(spatial_axes(axes)) or any(positive(step) is None for step in spacing)
    ):
        raise DataError(f"{path}: spacing {tuple(spacing)} needs one positive value for each of {spatial_axes(axes)}.")
    if array.dtype.name not in OME_TYPES:
        raise DataError(
            f"{path}: values of type {array.dtype} cannot be stored in a TIFF; convert them, for example to float32."
        )
    if keep_order:
        axes, spacing = as_stored(axes, spacing)
    is_colour = is_colour and "C" in axes and array.shape[axes.index("C")] in (3, 4)
    is_colour = is_colour and array.dtype.name in COLOUR_TYPES
    plain = "".join(letter for letter in ("TZYXC" if is_colour else "TZCYX") if letter in axes)
    stored = axes if keep_order and axes.endswith("YXC" if is_colour else "YX") else plain
    array, axes = np.ascontiguousarray(reorder(array, axes, stored)), stored
    options = _options(path, array.shape, array.dtype, axes, spacing, unit, channel_names, interval, software)
    if is_colour:
        options |= colour_options(axes, spacing, unit, interval, has_alpha=array.shape[-1] == 4)
    write_atomically(path, lambda target: tifffile.imwrite(target, array, **options), overwrite=overwrite)


def _options(
    path: Path,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    axes: str,
    spacing: Sequence[float] | None,
    unit: str | None,
    channel_names: Sequence[str],
    interval: float | None,
    software: str | None,
) -> dict[str, Any]:
    """How tifffile writes an image whose axes are in the order of the file."""
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib", "software": software}
    n_bytes = math.prod(shape) * dtype.itemsize
    # ImageJ files have 32-bit offsets; larger ones need the OME flavour.
    is_named_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    is_plain = axes == "".join(letter for letter in "TZCYX" if letter in axes)
    fits_imagej = is_plain and dtype.name in IMAGEJ_TYPES and n_bytes < BIGTIFF_BYTES
    if fits_imagej and not is_named_ome:
        options |= imagej_options(tuple(shape), axes, spacing, unit, channel_names, interval)
    else:
        options |= ome_options(axes, spacing, unit, channel_names, interval)
        options["bigtiff"] = n_bytes >= BIGTIFF_BYTES
    return options


def write_label_pages(
    path: str | Path,
    pages: Iterable[np.ndarray],
    n: int,
    shape: Sequence[int],
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    interval: float | None = None,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a label image as `write_labels` does, one plane after the other: no two of them are in memory.

    Parameters
    ----------
    path : path
        Target.
    pages : iterable of ndarray of int, shape (Y, X)
        Its planes, in order.
    n : int
        Largest id.
    shape : sequence of int
        Of the whole.
    axes : str
        Its axes, in the order TZYX.
    spacing, unit, interval, software, overwrite
        As for `write_labels`.

    Raises
    ------
    DataError
        If the file exists, or cannot be written.
    """
    kind = np.dtype(np.uint16 if n < 1 << 16 else np.uint32)
    options = _options(Path(path), shape, kind, axes, spacing, unit, (), interval, software or MADE_BY)
    planes = (page.astype(kind) for page in pages)
    write_atomically(
        Path(path),
        lambda target: tifffile.imwrite(target, planes, shape=tuple(shape), dtype=kind, **options),
        overwrite=overwrite,
    )


def read_software(path: Path) -> str:
    """Return what a TIFF file says it was made by; empty if it says nothing or cannot be read."""
    try:
        with tifffile.TiffFile(path) as tif:
            return tif.pages.first.software
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError):
        return ""
