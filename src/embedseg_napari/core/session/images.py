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

from embedseg_napari.core.axes import parse_axes, reorder, spatial_axes, to_frames
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import opaque_value
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.core.files.picture import TIFF, PartOf, same_pixels
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.files.tiff_flavours import storable
from embedseg_napari.core.session.state import ImageSource, SessionImage, SessionPart
from embedseg_napari.core.wording import readable

if TYPE_CHECKING:
    from embedseg_napari.core.files.tiff import Picture


class ImageChanged(DataError):
    """The file of an image holds something else than what was annotated."""


def file_key(number: int, name: str) -> str:
    """Return a file name without ending that every system takes, told apart by the number."""
    stem = re.sub(r"[^\w\-]+", "_", name).strip("_")
    return f"{number:03d}-{portable_name(stem, 'image', 60)}"


def add_picture(folder: Path, picture: Picture, name: str, key: str) -> SessionImage:
    """Describe an image; it is copied into the session folder, unless its TIFF file holds the same pixels.

    Raises
    ------
    DataError
        If it cannot be read, understood or written.
    """
    axes = parse_axes(picture.axes)
    _check(picture, axes, name)
    source = _same_file(folder, picture, axes)
    array, spacing = picture.array, picture.spacing
    if source is None:
        # Stored in the order that TIFF readers expect.
        order = "".join(letter for letter in "ZCYX" if letter in axes)
        array, axes = storable(reorder(np.asarray(array), axes, order)), order
    image = SessionImage.parse(
        {
            "name": name,
            "axes": axes,
            "shape": array.shape,
            "dtype": array.dtype.name,
            "spacing": None if spacing is None else tuple(float(step) for step in spacing),
            "unit": picture.unit,
            "key": key,
            "source": source,
            "part_of": _kept(picture.part_of),
            "is_colour": picture.is_colour,
        }
    )
    if source is None:
        write_image(stored_path(folder, image), array, axes, spacing, image.unit, overwrite=True)
    return image


def _check(picture: Picture, axes: str, name: str) -> None:
    shape, spacing, space = picture.array.shape, picture.spacing, spatial_axes(axes)
    if len(axes) != len(shape):
        raise DataError(f"{name}: axes {axes!r} do not fit an array of shape {shape}.")
    if "T" in axes:
        raise DataError(f"{name}: has time points; add each as an image of its own (if they are slices, axes ZYX).")
    if 0 in shape or picture.array.dtype.kind not in "buif":
        raise DataError(f"{name}: holds {picture.array.dtype} of shape {shape}, which is not an image.")
    if spacing is not None and (len(spacing) != len(space) or not all(np.isfinite(s) and s > 0 for s in spacing)):
        raise DataError(f"{name}: spacing {tuple(spacing)} needs one positive value for each of the axes {space}.")


def _same_file(folder: Path, picture: Picture, axes: str) -> ImageSource | None:
    """The TIFF file that holds the pixels of a picture, if there is one."""
    path = picture.path
    if path is None or path.suffix.lower() not in TIFF or not path.is_file():
        return None
    path = path.expanduser().absolute()
    try:
        on_disk, found = read_image(path, axes).array, path.stat()
    except DataError:
        # It is the first file of a stack, holds other channels too, or was damaged since.
        return None
    if on_disk.dtype.name != picture.array.dtype.name or not same_pixels(on_disk, picture.array):
        return None
    if readable(str(path)) != str(path):
        # A path that is no text cannot be remembered; the session keeps a copy.
        return None
    return ImageSource(
        path=str(path),
        relative=_relative(path, folder),
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        sha256=_digest(path),
    )


def stored_path(folder: Path, image: SessionImage) -> Path:
    """File inside the session folder of an image that was in memory only."""
    return folder / "images" / f"{image.key}.tif"


def read_picture(folder: Path, image: SessionImage) -> Picture:
    """Read an image of a session, making sure that it is the one that was annotated.

    Raises
    ------
    DataError
        If the file is missing or damaged; an `ImageChanged` if it was changed.
    """
    if image.source is not None:
        picture = read_image(_source_path(folder, image), image.axes)
    else:
        picture = read_image(stored_path(folder, image))
        # Reading leaves axes of length 1 out.
        if picture.array.size == math.prod(image.shape):
            picture = replace(picture, array=picture.array.reshape(image.shape))
    if picture.is_colour and image.shape == (*picture.array.shape[:-1], 4):
        # Sessions of before took an alpha channel that hides nothing for a fourth colour, and so did their rounds.
        alpha = np.full((*picture.array.shape[:-1], 1), opaque_value(picture.array.dtype), picture.array.dtype)
        picture = replace(picture, array=np.concatenate([picture.array, alpha], -1))
    if picture.array.shape != image.shape or picture.array.dtype.name != image.dtype:
        raise ImageChanged(
            f"{picture.path}: holds {picture.array.dtype} of shape {picture.array.shape}, but the image {image.name} "
            f"was {image.dtype} of shape {image.shape} when it was added; put the old file back."
        )
    part = None if image.part_of is None else PartOf(Path(image.part_of.store), image.part_of.start)
    return replace(
        picture,
        axes=image.axes,
        spacing=image.spacing,
        unit=image.unit,
        axes_guessed=False,
        part_of=part,
        is_colour=image.is_colour,
    )


def may_hold(path: str | None, image: SessionImage) -> bool:
    """Whether a file may be that of an image whose own cannot be read; pixels of no file may be those of any image."""
    if path is None or image.source is None or not _is_file(Path(path)):
        return True
    return _digest(Path(path)) == image.source.sha256


def _kept(part: PartOf | None) -> SessionPart | None:
    """Where a part comes from, as a session remembers it; a path that is no text cannot be."""
    if part is None or readable(str(part.store)) != str(part.store):
        return None
    return SessionPart(store=str(part.store.absolute()), start=part.start)


def _source_path(folder: Path, image: SessionImage) -> Path:
    """Where the file of an image lies now."""
    source = image.source
    assert source is not None
    places = [Path(source.path), folder / source.relative] if source.relative else [Path(source.path)]
    path = next((place for place in places if _is_file(place)), None)
    if path is None:
        raise DataError(f"{source.path}: the image {image.name} is missing; move it back, or open it from where it is.")
    found = path.stat()
    # A copy may have another date; its content decides.
    is_same = found.st_size == source.size and (found.st_mtime_ns == source.mtime_ns or _digest(path) == source.sha256)
    if not is_same:
        raise ImageChanged(
            f"{path}: the image {image.name} was changed since it was added to this session; put the old file back, "
            "or add the new one under another name."
        )
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that no file can have.
        return False


def to_frame(picture: Picture) -> np.ndarray:
    """Return the pixels C(Z)YX of an image without time points."""
    frame: np.ndarray = to_frames(np.asarray(picture.array), picture.axes)[0]
    return frame


def _relative(path: Path, folder: Path) -> str:
    try:
        return os.path.relpath(path, folder.absolute())
    except ValueError:
        # On Windows, another drive.
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
