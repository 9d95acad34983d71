"""TIFF files to arrays and back, with axes, physical spacing and channel names."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from embedseg_napari.core.axes import SPATIAL, parse_axes, reorder, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.metadata import MICROMETRE, Steps, positive, read_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".tif", ".tiff")
IMAGEJ_TYPES = ("uint8", "uint16", "float32")
OME_TYPES = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
BIGTIFF_BYTES = 3_900_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file in memory."""

    array: np.ndarray
    axes: str
    """One letter per axis; see `core.axes`. Letters the file does not name are guessed from the shape by the caller."""
    spacing: tuple[float, ...] | None = None
    """Physical pixel size per spatial axis of `axes`, in the order (z, y, x); None if the file does not say.

    Without `axes` it has a value for z where the file gives one.
    """
    unit: str | None = None
    """Unit of `spacing`, micrometres as ``"um"``."""
    channel_names: tuple[str, ...] = ()
    path: Path | None = None
    axes_guessed: bool = False
    """Whether the file left the meaning of its axes open; `axes` is then empty."""


def list_images(folder: str | Path) -> list[Path]:
    """Return the TIFF files of a folder in natural order (2 before 10); hidden files are left out.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    return sorted(found, key=lambda p: [int(t) if t.isdecimal() else t.lower() for t in re.split(r"(\d+)", p.name)])


def read_image(path: str | Path, axes: str | None = None) -> Picture:
    """Read the first image of a TIFF file; axes of length 1 are left out.

    Parameters
    ----------
    path : path
        The file.
    axes : str, optional
        Axes of its array, where the file does not say or says wrong.

    Raises
    ------
    DataError
        If the file is missing, is no TIFF, is damaged, or `axes` do not fit it.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: " + ("is a folder, not an image." if path.is_dir() else "there is no such file."))
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a TIFF file; save it as .tif, for example with Fiji.")
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            _refuse_incomplete(tif, series)
            array = series.asarray()
            named = series.axes
            steps, unit, channels = read_metadata(tif)
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory, or is damaged.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:
        # On damaged files the TIFF and compression libraries raise errors of a dozen unrelated types.
        raise DataError(
            f"{path}: cannot be read as a TIFF image ({error}); it may be damaged or incomplete."
        ) from error
    if array.ndim < 2 or array.size == 0:
        raise DataError(f"{path}: contains no image (shape {array.shape}).")
    letters = named.upper().replace("S", "C")
    known = (
        set(letters) <= set("TCZYX") and len(set(letters)) == len(letters) == array.ndim and {"Y", "X"} <= set(letters)
    )
    guessed = axes is None and not known
    if axes is not None:
        axes = parse_axes(axes)
        if len(axes) != array.ndim:
            raise DataError(
                f"{path}: axes {axes!r} name {len(axes)} axes, the file has {array.ndim} (shape {array.shape})."
            )
    else:
        axes = letters if known else ""
    if "C" in axes and len(channels) != array.shape[axes.index("C")]:
        channels = ()
    stored = letters if known else ""
    spacing = _spacing(steps, axes, stored or axes, array.ndim)
    return Picture(array, axes, spacing, unit if steps else None, channels, path, guessed)


def _refuse_incomplete(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Say so where a stack lost its end: the library would return the planes that are left, or zeros."""
    last = tif.pages[-1]
    form, handle = tif.tiff, tif.filehandle
    handle.seek(last.offset)
    n_tags = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(last.offset + form.tagnosize + n_tags * form.tagsize)
    following = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0]
    if following >= handle.size:
        raise ValueError(f"only {len(tif.pages)} of its planes are present")
    if series.kind == "ome" and any(page is None for page in series.pages):
        raise ValueError("some of its planes lie in other files that are missing")


def _spacing(steps: Steps | None, axes: str, stored: str, ndim: int) -> tuple[float, ...] | None:
    """Pixel size for the spatial axes; slices of unknown distance are taken to be as far apart as pixels in x.

    The file gives sizes for the axes it names, `stored`; where those were given other letters, each keeps its size.
    """
    if steps is None:
        return None
    z, y, x = steps
    sizes = {"Z": x if z is None else z, "Y": y, "X": x}
    if not axes:
        return tuple(sizes.values()) if ndim > 2 and z is not None else (y, x)
    if len(stored) == len(axes):
        sizes |= {letter: sizes[name] for letter, name in zip(axes, stored, strict=True) if name in sizes}
    return tuple(sizes[letter] for letter in spatial_axes(axes))


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    keep_order: bool = False,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a label image, compressed, with axes and spacing; ids keep their values.

    Parameters
    ----------
    path : path
        Target, ``.tif``.
    labels : ndarray of int
        Ids from 0; stored as uint16 where they fit, else uint32.
    axes : str
        Axes of `labels`, such as ``"ZYX"``.
    spacing : sequence of float, optional
        Physical pixel size per spatial axis (z, y, x).
    unit : str, optional
        Unit of the spacing.
    keep_order : bool
        Whether the file holds the array as it is, so that it lies on an image of the same order; see `write_image`.
    software : str, optional
        What made the labels, ASCII; `read_software` returns it.
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
        path, labels.astype(kind), axes, spacing, unit, keep_order=keep_order, software=software, overwrite=overwrite
    )


def write_image(
    path: str | Path,
    array: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    channel_names: Sequence[str] = (),
    keep_order: bool = False,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write an array as a TIFF that this program, napari and Fiji read with axes and spacing; see `write_labels`.

    uint8, uint16 and float32 become ImageJ TIFFs, other types OME-TIFFs. Axes are stored in the order TZCYX, unless
    `keep_order` asks for the array as it is. No TIFF ends in other axes than Y and X: an array that does is then stored
    under the letters that its image's file has in these places.

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
        axes, spacing = _as_stored(axes, spacing)
    plain = "".join(letter for letter in "TZCYX" if letter in axes)
    stored = axes if keep_order and axes.endswith("YX") else plain
    array, axes = np.ascontiguousarray(reorder(array, axes, stored)), stored
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib", "software": software}
    # ImageJ files have 32-bit offsets; larger ones need the OME flavour.
    if axes == plain and array.dtype.name in IMAGEJ_TYPES and array.nbytes < BIGTIFF_BYTES:
        options |= _imagej_options(array.shape, axes, spacing, unit, channel_names)
    else:
        options |= _ome_options(axes, spacing, unit, channel_names)
        options["bigtiff"] = array.nbytes >= BIGTIFF_BYTES
    write_atomically(path, lambda target: tifffile.imwrite(target, array, **options), overwrite=overwrite)


def read_software(path: Path) -> str:
    """Return what a TIFF file says it was made by; empty if it says nothing or cannot be read."""
    try:
        with tifffile.TiffFile(path) as tif:
            return tif.pages.first.software
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError):
        return ""


def _as_stored(axes: str, spacing: Sequence[float] | None) -> tuple[str, Sequence[float] | None]:
    """The letters that a file gives to the places of an array, and the pixel size of these, (z, y, x)."""
    space = iter(spatial_axes(axes))
    stored = "".join(next(space) if letter in SPATIAL else letter for letter in axes)
    if spacing is None or stored == axes:
        return stored, spacing
    sizes = dict(zip(spatial_axes(axes), spacing, strict=True))
    return stored, [sizes[axes[stored.index(letter)]] for letter in spatial_axes(stored)]


def _imagej_options(
    shape: tuple[int, ...], axes: str, spacing: Sequence[float] | None, unit: str | None, names: Sequence[str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if spacing is not None:
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
        metadata["unit"] = unit or "pixel"
        if len(spacing) == 3:
            metadata["spacing"] = float(spacing[0])
    if names and "C" in axes:
        metadata["Labels"] = list(names) * math.prod(n for n, letter in zip(shape, axes, strict=True) if letter in "TZ")
    return options


def _ome_options(axes: str, spacing: Sequence[float] | None, unit: str | None, names: Sequence[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    if spacing is not None:
        for letter, size in zip(spatial_axes(axes), spacing, strict=True):
            metadata[f"PhysicalSize{letter}"] = float(size)
            metadata[f"PhysicalSize{letter}Unit"] = "µm" if unit == MICROMETRE else unit or "pixel"
    if names and "C" in axes:
        metadata["Channel"] = {"Name": list(names)}
    return {"ome": True, "metadata": metadata}
