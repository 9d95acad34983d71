"""Images of a session: files that stay where they are, and copies of what was in memory only."""

from __future__ import annotations

import hashlib
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import guess_axes, parse_axes, spatial_axes, to_frames
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.session.files import write_durably
from embedseg_napari.core.session.state import ImageSource, SessionImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.files.tiff import Picture


def file_key(number: int, name: str) -> str:
    """Return a file name without ending that every system takes, told apart by the number."""
    stem = re.sub(r"[^\w\-]+", "_", name).strip("_")[:60]
    return f"{number:03d}-{stem or 'image'}"


def remember_file(
    folder: Path,
    path: Path,
    name: str,
    key: str,
    axes: str | None,
    spacing: Sequence[float] | None,
    unit: str | None,
) -> SessionImage:
    """Read an image file once and describe it.

    Raises
    ------
    DataError
        If it cannot be read or understood.
    """
    path = path.expanduser().absolute()
    picture = read_image(path, axes)
    axes = _usable_axes(picture.array, picture.axes or None, str(path))
    if spacing is None and picture.spacing is not None and len(picture.spacing) >= len(spatial_axes(axes)):
        spacing, unit = picture.spacing[-len(spatial_axes(axes)) :], unit or picture.unit
    found = path.stat()
    source = ImageSource(
        path=str(path),
        relative=_relative(path, folder),
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        sha256=_digest(path),
    )
    return _describe(picture.array, name, key, axes, spacing, unit, source)


def copy_array(
    folder: Path,
    array: np.ndarray,
    name: str,
    key: str,
    axes: str | None,
    spacing: Sequence[float] | None,
    unit: str | None,
) -> SessionImage:
    """Copy an image into the session folder and describe it.

    Raises
    ------
    DataError
        If it cannot be understood or written.
    """
    axes = _usable_axes(array, axes, name)
    # Stored in the order that TIFF readers expect.
    order = "".join(letter for letter in "ZCYX" if letter in axes)
    array = _storable(array.transpose([axes.index(letter) for letter in order]))
    image = _describe(array, name, key, order, spacing, unit, None)
    write_durably(
        stored_path(folder, image),
        lambda target: write_image(target, array, order, image.spacing, unit),
    )
    return image


def stored_path(folder: Path, image: SessionImage) -> Path:
    """File inside the session folder of an image that was in memory only."""
    return folder / "images" / f"{image.key}.tif"


def read_stored(folder: Path, image: SessionImage) -> Picture:
    """Read an image that the session folder holds.

    Raises
    ------
    DataError
        If it is missing or damaged.
    """
    picture = read_image(stored_path(folder, image))
    if picture.array.size == math.prod(image.shape):
        # Reading leaves axes of length 1 out.
        picture = replace(picture, array=picture.array.reshape(image.shape))
    return _as_described(picture, image)


def read_source(folder: Path, image: SessionImage) -> Picture:
    """Read an image that lies elsewhere, making sure that it is the one that was annotated.

    Raises
    ------
    DataError
        If the file is missing or was changed.
    """
    source = image.source
    assert source is not None
    places = [Path(source.path), folder / source.relative] if source.relative else [Path(source.path)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"{source.path}: the image {image.name} is missing; move it back, or say where it lies now.")
    found = path.stat()
    # A copy may have another date; its content decides.
    is_same = found.st_size == source.size and (found.st_mtime_ns == source.mtime_ns or _digest(path) == source.sha256)
    if not is_same:
        raise DataError(
            f"{path}: the image {image.name} was changed since it was added to this session; put the old file back, "
            "or add the new one under another name."
        )
    return _as_described(read_image(path), image)


def to_frame(picture: Picture) -> np.ndarray:
    """Return the array of a session's image as C(Z)YX."""
    frame: np.ndarray = to_frames(picture.array, picture.axes)[0]
    return frame


def _as_described(picture: Picture, image: SessionImage) -> Picture:
    if picture.array.shape != image.shape or picture.array.dtype.name != image.dtype:
        raise DataError(
            f"{picture.path}: holds {picture.array.dtype} of shape {picture.array.shape}, but the image {image.name} "
            f"was {image.dtype} of shape {image.shape} when it was added; put the old file back."
        )
    return replace(picture, axes=image.axes, spacing=image.spacing, unit=image.unit, axes_guessed=False)


def _usable_axes(array: np.ndarray, axes: str | None, where: str) -> str:
    axes = guess_axes(array.shape) if axes is None else parse_axes(axes)
    if len(axes) != array.ndim:
        raise DataError(f"{where}: axes {axes!r} do not fit an array of shape {array.shape}.")
    if "T" in axes:
        raise DataError(f"{where}: has time points; add each as an image of its own (if they are slices, axes ZYX).")
    if array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(f"{where}: holds {array.dtype} of shape {array.shape}, which is no image.")
    return axes


def _describe(
    array: np.ndarray,
    name: str,
    key: str,
    axes: str,
    spacing: Sequence[float] | None,
    unit: str | None,
    source: ImageSource | None,
) -> SessionImage:
    space = spatial_axes(axes)
    if spacing is not None and (
        len(spacing) != len(space) or not all(np.isfinite(step) and step > 0 for step in spacing)
    ):
        raise DataError(f"{name}: spacing {tuple(spacing)} needs one positive value for each of the axes {space}.")
    return SessionImage(
        name=name,
        axes=axes,
        shape=array.shape,
        dtype=array.dtype.name,
        spacing=None if spacing is None else tuple(float(step) for step in spacing),
        unit=unit,
        key=key,
        source=source,
    )


def _storable(array: np.ndarray) -> np.ndarray:
    """Give types that have no place in a TIFF the nearest one that holds their values."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.name not in ("int64", "uint64"):
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.dtype("int32"), np.dtype("uint32")):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.float64)


def _relative(path: Path, folder: Path) -> str:
    try:
        return os.path.relpath(path, folder.absolute())
    except ValueError:
        # On Windows, another drive.
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
