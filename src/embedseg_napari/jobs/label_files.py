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
from embedseg_napari.core.measure.measurements import axes_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

WHOLE = 1 << 28
"""Bytes up to which an image is read whole."""
_OTHER_STACK = str.maketrans("TZ", "ZT")


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
        if array.ndim > 2 and (like is None or guessed != own or like.axes_guessed):
            yield Message(f"The axes of {path.name}, shape {array.shape}, were guessed to be {guessed}; see --axes.")
        picture = with_axes(picture, guessed)
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
    return sized_like(picture, like)


def read_like(path: Path, axes: str | None = None, *, whole: bool = True) -> Generator[Message, None, Picture]:
    """Read the image that labels belong to; axes that its file leaves open are guessed, until `named_like` knows.

    Its pixel size is then as the file has it, see `with_axes`.

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
    return replace(picture, axes=guess_axes(picture.array.shape))


def named_like(image: Picture | None, labels: Picture) -> Generator[Message, None, Picture | None]:
    """The image of labels, with their axes where its own file names none or only takes time for depth.

    Movies are often stored as slices, and who segmented one has said what it is.
    """
    if image is None:
        return None
    named = _named_like(image, labels)
    if named.axes != image.axes and not image.axes_guessed:
        where = "The image" if image.path is None else image.path.name
        yield Message(
            f"{where} has the axes {image.axes}, which are taken for {named.axes} as in its labels; --axes says what "
            "those are.",
            "warning",
        )
    return named


def _named_like(image: Picture, labels: Picture) -> Picture:
    own, theirs, shape = labels.axes, result_axes(image.axes), image.array.shape
    if image.axes_guessed and len(shape) - len(own) in (0, 1):
        return with_axes(image, axes_beside(shape, own, labels.array.shape))
    is_other_stack = len(theirs) == len(own) and {*theirs} ^ {*own} == {"T", "Z"}
    return with_axes(image, image.axes.translate(_OTHER_STACK) if is_other_stack else image.axes)


def sized_like(labels: Picture, image: Picture | None) -> Picture:
    """Labels with the pixel size of their image, where their own file gives none."""
    if labels.spacing is not None or image is None:
        return labels
    image = _named_like(image, labels)
    if spatial_axes(image.axes) != spatial_axes(labels.axes):
        return labels
    return replace(labels, spacing=image.spacing, unit=image.unit)


def _read(path: Path, axes: str | None, labels: bool, whole: bool) -> Generator[Message, None, tuple[Picture, bool]]:
    """The image of a file, and whether it is in memory; else it was opened, to be read in parts."""
    said: list[str] = []
    opened = None if whole else _opened(path, axes, labels, said.append)
    picture = opened or read_image(path, axes, labels=labels, say=said.append)
    for text in dict.fromkeys(said):
        yield Message(f"{path}: {text}", "warning")
    return picture, opened is None


def with_axes(picture: Picture, axes: str) -> Picture:
    """A picture whose axes its file does not name, or wrongly; it may give a depth that there is no axis for."""
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
