"""Label images as files: what measuring, exporting and importing start from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import guess_axes, result_axes, spatial_axes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.planes import Stack, stack_kind
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.picture import TIFF, Picture
from embedseg_napari.core.files.plane_stack import is_plane_file
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.files.zarr_image import is_store, open_chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

WHOLE = 1 << 28
"""Bytes up to which an image is read whole."""


def read_labels(
    path: Path, axes: str | None = None, like: Picture | None = None, *, whole: bool = True, may_be_empty: bool = False
) -> Generator[Message, None, Picture]:
    """Read a label image; its axes are known afterwards, and its pixel size as far as a file tells it.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        Its axes, where the file does not say.
    like : Picture, optional
        The image that it belongs to, which tells what the labels' own file leaves open.
    whole : bool
        False: a large one is not read but opened, to be read in parts; whether it holds objects is then not known.
    may_be_empty : bool
        Whether it may hold no objects.

    Raises
    ------
    DataError
        If the file cannot be read, holds no numbers of objects, or none at all.
    """
    picture, is_read = yield from _read(path, axes, True, whole)
    array = picture.array
    if is_read:
        require_kept_ids(array, str(path))
    is_guessed = not picture.axes
    if is_guessed:
        own = "" if like is None else result_axes(like.axes)
        guessed = own if len(own) == array.ndim else guess_axes(array.shape, min(array.ndim, 3))
        if guessed != own and array.ndim > 2:
            yield Message(f"The axes of {path.name}, shape {array.shape}, were guessed to be {guessed}; see --axes.")
        picture = _with_axes(picture, guessed)
    if "C" in picture.axes and is_plane_file(path):
        raise DataError(
            f"{path}: holds planes of one object each; this needs labels, as predict writes without --planes."
        )
    if is_read and array.ndim > 2 and "T" not in picture.axes and stack_kind(array) is Stack.PLANES:
        words = f"{path}: seems to hold planes of one object each"
        if "C" in picture.axes:
            raise DataError(f"{words}, and this needs a label image; of planes, export takes --planes.")
        if is_guessed:
            yield Message(
                f"{words}, and was taken for a volume; --axes says what it is, and export takes --planes.", "warning"
            )
    if "C" in picture.axes:
        raise DataError(f"{path}: has channels (axes {picture.axes}); a label image has one number for each pixel.")
    if is_read and not may_be_empty and not array.any():
        raise DataError(f"{path}: holds no objects; all its pixels are 0.")
    if picture.spacing is None and like is not None and spatial_axes(like.axes) == spatial_axes(picture.axes):
        picture = replace(picture, spacing=like.spacing, unit=like.unit)
    return picture


def read_like(path: Path, axes: str | None = None, *, whole: bool = True) -> Generator[Message, None, Picture]:
    """Read the image that labels belong to; its axes are known afterwards.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        Its axes, where the file does not say.
    whole : bool
        False: a large one is opened, to be read in parts.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    picture, _ = yield from _read(path, axes, False, whole)
    if picture.axes:
        return picture
    shape = picture.array.shape
    guessed = guess_axes(shape)
    if len(shape) > 2:
        yield Message(f"The axes of {path.name}, shape {shape}, were guessed to be {guessed}.")
    return _with_axes(picture, guessed)


def _read(path: Path, axes: str | None, labels: bool, whole: bool) -> Generator[Message, None, tuple[Picture, bool]]:
    """The image of a file, and whether it is in memory; else it was opened, to be read in parts."""
    said: list[str] = []
    opened = None if whole else _opened(path, axes, labels, said.append)
    picture = opened or read_image(path, axes, labels=labels, say=said.append)
    for text in dict.fromkeys(said):
        yield Message(f"{path}: {text}", "warning")
    return picture, opened is None


def _with_axes(picture: Picture, axes: str) -> Picture:
    """A picture whose axes its file does not name; it may give a depth that there is no axis for."""
    n = len(spatial_axes(axes))
    spacing = None if picture.spacing is None or len(picture.spacing) < n else picture.spacing[-n:]
    return replace(picture, axes=axes, spacing=spacing)


def _opened(path: Path, axes: str | None, labels: bool, say: Callable[[str], None]) -> Picture | None:
    """A large image that can be read in parts; None for others."""
    if is_store(path):
        image = open_chosen(path, axes, labels, lambda words: say(f"{words}."))
    elif path.suffix.lower() in TIFF and path.is_file():
        try:
            image = open_image(path, 0, axes)
        except DataError:
            # Reading it whole says what is wrong with it, if anything is.
            return None
    else:
        return None
    if image.nbytes <= WHOLE:
        return None
    if image.left_out:
        say(f"{image.left_out}.")
    array: Any = image
    return Picture(array, image.axes, image.spacing, image.unit, image.channel_names, path, interval=image.interval)
