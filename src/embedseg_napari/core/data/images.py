"""TIFF files to arrays and back, with axes, physical spacing and channel names."""

from __future__ import annotations

import os
import re
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from embedseg_napari.core.axes import parse_axes, spatial_axes
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUFFIXES = (".tif", ".tiff")
MICROMETRE = "um"
_UNITS = {"µm": "um", "μm": "um", "\\u00b5m": "um", "um": "um", "micron": "um", "microns": "um", "micrometer": "um"}
BIGTIFF_BYTES = 3_900_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file in memory."""

    array: np.ndarray
    axes: str
    """One letter per axis; see `core.axes`. Letters the file does not name are guessed from the shape by the caller."""
    spacing: tuple[float, ...] | None
    """Physical pixel size per spatial axis of `axes`, in the order (z, y, x); None if the file does not say."""
    unit: str | None
    """Unit of `spacing`, micrometres as ``"um"``."""
    channel_names: tuple[str, ...]
    path: Path | None
    axes_guessed: bool
    """Whether the file left the meaning of its axes open; `axes` is then empty."""


def list_images(folder: Path) -> list[Path]:
    """TIFF files of a folder in natural order (2 before 10); hidden files are left out."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    return sorted(found, key=lambda p: [int(t) if t.isdigit() else t.lower() for t in re.split(r"(\d+)", p.name)])


def read_image(path: str | Path, axes: str | None = None) -> Picture:
    """Read a TIFF file.

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
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a TIFF file; save it as .tif, for example with Fiji.")
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            array = series.asarray()
            named = series.axes
            spacing, unit, channels = _metadata(tif)
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, tifffile.TiffFileError) as error:
        raise DataError(f"{path}: cannot be read as a TIFF image ({error}); it may be damaged or incomplete.") from error
    if array.ndim < 2 or array.size == 0:
        raise DataError(f"{path}: holds no image (shape {array.shape}).")
    guessed = False
    if axes is not None:
        axes = parse_axes(axes)
        if len(axes) != array.ndim:
            raise DataError(f"{path}: axes {axes!r} name {len(axes)} axes, the file has {array.ndim} (shape {array.shape}).")
    else:
        letters = named.upper().replace("S", "C")
        guessed = bool(set(letters) - set("TCZYX")) or len(set(letters)) != len(letters) or len(letters) != array.ndim
        axes = "" if guessed else letters
    return Picture(array, axes, spacing, unit, channels, path, guessed)


def _metadata(tif: tifffile.TiffFile) -> tuple[tuple[float, ...] | None, str | None, tuple[str, ...]]:
    if tif.is_ome and tif.ome_metadata:
        return _ome_metadata(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return _imagej_metadata(tif)
    return None, None, ()


def _ome_metadata(text: str) -> tuple[tuple[float, ...] | None, str | None, tuple[str, ...]]:
    # Entities are what makes foreign XML dangerous; OME-XML has no use for a document type.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None, None, ()
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None, None, ()
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None, None, ()
    names = tuple(c.get("Name") or "" for c in pixels.findall("{*}Channel"))
    sizes = [_positive(pixels.get(f"PhysicalSize{a}")) for a in "ZYX"]
    if sizes[1] is None or sizes[2] is None:
        return None, None, names if any(names) else ()
    unit = pixels.get("PhysicalSizeXUnit") or "µm"
    has_z = int(pixels.get("SizeZ") or 1) > 1
    spacing = (sizes[0] or sizes[2], sizes[1], sizes[2]) if has_z else (sizes[1], sizes[2])
    return spacing, _UNITS.get(unit, unit), names if any(names) else ()


def _imagej_metadata(tif: tifffile.TiffFile) -> tuple[tuple[float, ...] | None, str | None, tuple[str, ...]]:
    info: dict[str, Any] = tif.imagej_metadata or {}
    unit = info.get("unit")
    names = tuple(str(n) for n in info.get("Labels", ()) or ())
    tags = tif.pages.first.tags
    steps: list[float] = []
    for tag in ("YResolution", "XResolution"):
        value = tags[tag].value if tag in tags else (0, 1)
        steps.append(value[1] / value[0] if value[0] else 0.0)
    if not unit or unit == "pixel" or min(steps) <= 0:
        return None, None, ()
    unit = _UNITS.get(str(unit), str(unit))
    depth = _positive(info.get("spacing"))
    spacing = tuple(steps) if int(info.get("slices", 1)) <= 1 else (depth or steps[1], *steps)
    count = int(info.get("channels", 1))
    return spacing, unit, names if len(names) == count and count > 1 else ()


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
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
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists, or cannot be written.
    """
    kind = np.uint16 if int(labels.max(initial=0)) < 1 << 16 else np.uint32
    write_image(path, labels.astype(kind), axes, spacing, unit, overwrite=overwrite)


def write_image(
    path: str | Path,
    array: np.ndarray,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    channel_names: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write an array as a TIFF that this program, napari and Fiji read with axes and spacing; see `write_labels`."""
    path = Path(path)
    axes = parse_axes(axes)
    if len(axes) != array.ndim:
        raise DataError(f"{path}: axes {axes!r} do not fit an array of shape {array.shape}.")
    if path.exists() and not overwrite:
        raise DataError(f"{path}: exists already; choose another place or allow overwriting.")
    order = [axes.index(letter) for letter in "TZCYX" if letter in axes]
    array = np.ascontiguousarray(array.transpose(order))
    axes = "".join(letter for letter in "TZCYX" if letter in axes)
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib"}
    if array.dtype in (np.uint8, np.uint16, np.float32) and array.nbytes < BIGTIFF_BYTES:
        options |= _imagej_options(axes, spacing, unit, channel_names)
    else:
        options |= _ome_options(axes, spacing, unit, channel_names)
        options["bigtiff"] = array.nbytes >= BIGTIFF_BYTES
    write_atomically(path, lambda target: tifffile.imwrite(target, array, **options))


def _imagej_options(
    axes: str, spacing: Sequence[float] | None, unit: str | None, names: Sequence[str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if spacing is not None:
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
        metadata["unit"] = unit or "pixel"
        if len(spacing) == 3:
            metadata["spacing"] = spacing[0]
    if names:
        metadata["Labels"] = list(names)
    return options


def _ome_options(axes: str, spacing: Sequence[float] | None, unit: str | None, names: Sequence[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    if spacing is not None:
        for letter, size in zip(spatial_axes(axes), spacing, strict=True):
            metadata[f"PhysicalSize{letter}"] = size
            metadata[f"PhysicalSize{letter}Unit"] = "µm" if unit in (None, MICROMETRE) else unit
    if names:
        metadata["Channel"] = {"Name": list(names)}
    return {"ome": True, "metadata": metadata}


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its final name in one step.

    Raises
    ------
    DataError
        If the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    temporary = Path(name)
    try:
        write(temporary)
        # mkstemp makes private files; a result has the rights that any new file would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)
