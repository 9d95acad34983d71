"""Images with the labels that belong to them: axes of one tell those of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.planes import Within
from embedseg_napari.core.wording import shape_words
from embedseg_napari.jobs.training_pairs import ArrayPair, Region, pair_axes
from embedseg_napari.viewer.camera import units_in
from embedseg_napari.viewer.layers import (
    AT_FRAME,
    SEGMENTED,
    array_of,
    file_of,
    first_along,
    lazily,
    named_axes,
    object_axis,
    picture_of,
    pixel_size,
    stacked,
)
from embedseg_napari.viewer.result_layers import layer_frame, spatial_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari.layers import Image, Labels, Layer, Shapes
    from numpy.typing import NDArray

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.files.tiff import Picture


OPEN_SHAPES = ("line", "path")
"""Kinds of shapes that enclose nothing."""
ELLIPSE_CORNERS = 100
"""Of the polygon that stands for an ellipse: of one that is 1000 pixels wide, it leaves out a quarter of a pixel."""
_AS_DEPTH = str.maketrans("T", "Z")
"""Depth for time: only the image tells which of the two a stack is."""


def pair_from_layers(
    image: Image,
    labels: Labels,
    shapes: Shapes | None = None,
    *,
    channel: OneChannel | None = None,
) -> ArrayPair:
    """Take an image and its labels from the viewer. Reads no pixels, so it may run on the viewer's thread.

    Parameters
    ----------
    image : napari Image layer
        Image; of a multiscale layer the full resolution.
    labels : napari Labels layer
        Its objects, or those of a part of it in which they were found: then that part is taken.
    shapes : napari Shapes layer, optional
        Train only inside its shapes.
    channel : int or "mean", optional
        The only channel to train on, counted from 0, or the mean of all; default all.

    Raises
    ------
    DataError
        If the two do not fit together.
    """
    whole, picture = labelled_picture(image, labels), labelled_part(image, labels)
    truth = ordered_labels(labels, result_axes(picture.axes), image.name)
    axes = pair_axes(picture.axes)
    array = reorder(picture.array, picture.axes, axes)
    space = tuple(size for size, letter in zip(array.shape, axes, strict=True) if letter != "C")
    if not fits_labels(space, truth.shape, "T" in axes):
        raise DataError(
            f"{image.name} has the shape {shape_words(space)}, but {labels.name} has {shape_words(truth.shape)}; "
            "choose the labels that were drawn on this image"
            + (", or an image of the part that they cover" if _may_cover_part(space, truth.shape) else "")
            + ("; if its first axis counts channels, name that axis c." if picture.axes_guessed else ".")
        )
    start = _corner(image, labels, whole.axes)
    regions = () if shapes is None else regions_on(image, shapes, whole.axes, start)
    if shapes is not None and not regions:
        raise DataError(f"{shapes.name}: holds no shape yet; draw a rectangle around the objects you labelled.")
    return ArrayPair(image.name, array, truth, axes, picture.spacing, picture.unit, regions, channel, start)


def _may_cover_part(space: Sequence[int], labels: Sequence[int]) -> bool:
    """Whether labels are no larger than their image along any axis."""
    return len(space) == len(labels) and all(n <= size for n, size in zip(labels, space, strict=True))


def _corner(image: Image, labels: Labels, axes: str) -> tuple[int, int]:
    """The pixel (y, x) of an image at which the part begins that labels were found in; the first where it is all."""
    part = _part(image, labels, axes)
    return (0, 0) if part is None else (part["Y"].start, part["X"].start)


def labelled_picture(image: Image, labels: Labels | None, stack: str | None = None) -> Picture:
    """The picture of an image with its labels, whose number of axes tells space from channels."""
    shape, ndim = array_of(image).shape, None
    if labels is not None:
        # Planes of one object each are no axis of their image.
        ndim = len(array_of(labels).shape) - (object_axis(labels.axis_labels) is not None)
    # Beside the labels of a single volume, a few of them are its channels.
    n_channels = shape[0] if ndim == len(shape) - 1 and shape[0] <= 4 else 1
    picture = picture_of(image, ndim if ndim in (2, 3) and ndim <= len(shape) else None, n_channels, stack)
    return picture if labels is None else named_like(picture, image, labels, stack)


def labelled_part(image: Image, labels: Labels, stack: str | None = None) -> Picture:
    """As :func:`labelled_picture`, of that part of the image in which the labels were found; no pixel is read.

    It is the whole where they were not found in this image, or lie on it otherwise than by whole pixels.
    """
    picture = labelled_picture(image, labels, stack)
    part = _part(image, labels, picture.axes)
    if part is None:
        return picture
    if "T" in picture.axes and "T" not in part:
        at = picture.axes.index("T")
        frame = labels.metadata.get(AT_FRAME, 0)
        if frame >= picture.array.shape[at] or (picture.array.shape[at] != 1 and AT_FRAME not in labels.metadata):
            # Which of its frames it is, is not known.
            return picture
        array = lazily(picture.array)[(slice(None),) * at + (frame,)]
        picture = replace(picture, array=array, axes=picture.axes.replace("T", ""))
    cut = tuple(part.get(letter, slice(None)) for letter in picture.axes)
    return replace(picture, array=lazily(picture.array)[cut])


def found_within(labels: Labels, layers: Iterable[Layer]) -> Within | None:
    """Where labels lie in the image that they were found in; None where it is not there, or they lie otherwise."""
    own = labels.metadata.get(SEGMENTED)
    image = next((one for one in layers if str(one.unique_id) == own), None)
    try:
        axes = "" if image is None else labelled_picture(image, labels).axes
        part = None if image is None else _part(image, labels, axes)
    except DataError:
        # It has got other axes since.
        return None
    if image is None or part is None:
        return None
    whole = dict(zip(axes, array_of(image).shape, strict=True))
    start = {letter: one.start for letter, one in part.items()}
    if whole.get("T", 1) > 1 and "T" not in start and AT_FRAME in labels.metadata:
        start = {"T": labels.metadata[AT_FRAME], **start}
    return Within(start, {letter: int(whole[letter]) for letter in start})


def file_beside(image: Image, labels: Labels, otherwise: str = ", or choose no image") -> Path:
    """The file of an image for a command, which reads all of it beside a file of labels.

    Parameters
    ----------
    image, labels
        Layers.
    otherwise : str
        What else helps where the labels are of a part, at the end of a sentence.

    Raises
    ------
    DataError
        If there is none, or the labels are of a part of the image.
    """
    axes = labelled_picture(image, labels).axes
    part, whole = _part(image, labels, axes), dict(zip(axes, array_of(image).shape, strict=True))
    # Of a frame without its axis there is one.
    if part is not None and any(part.get(a, slice(0, 1)) != slice(0, whole[a]) for a in result_axes(axes)):
        raise DataError(
            f"{labels.name} is of a part of {image.name}, and a command reads all of its file: save the part as an "
            f"image of its own and choose that{otherwise}."
        )
    return file_of(image)


def _part(image: Image, labels: Labels, axes: str) -> dict[str, slice] | None:
    """The pixels of an image with these axes on which labels lie; None if they were not found there, or lie between."""
    if labels.metadata.get(SEGMENTED) != str(image.unique_id):
        return None
    frame = spatial_frame(image, axes)
    if labels.ndim < frame.ndim and "T" in frame.axes:
        # A frame of a large image is tried out without its axis.
        frame = frame.without("T")
    start = layer_frame(labels, frame.axes).pixels_from(frame) if labels.ndim == frame.ndim else None
    if start is None or not np.allclose(start, np.rint(start), rtol=0, atol=0.01):
        return None
    whole = dict(zip(axes, array_of(image).shape, strict=True))
    sizes = dict(zip(frame.axes, array_of(labels).shape, strict=True))
    part = {}
    for letter, first in zip(ordered(result_axes(frame.axes)), np.rint(start).astype(int).tolist(), strict=True):
        part[letter] = slice(first, first + sizes[letter])
        if first < 0 or part[letter].stop > whole[letter]:
            return None
    return part


def shares_pixels(image: Image, labels: Labels) -> bool:
    """Whether an image, or its part in which labels were found, has a pixel for each of theirs, or of their planes.

    Raises
    ------
    DataError
        If the axes of the two do not fit together.
    """
    picture = labelled_part(image, labels)
    sizes = {letter: n for letter, n in zip(picture.axes, picture.array.shape, strict=True) if letter != "C"}
    planes = object_axis(labels.axis_labels)
    if planes is None:
        return tuple(turned_labels(labels, result_axes(picture.axes), image.name).shape) == tuple(sizes.values())
    names, shape = list(labels.axis_labels), list(array_of(labels).shape)
    del names[planes], shape[planes]
    return named_axes(names, len(names)) == "".join(sizes) and shape == list(sizes.values())


def named_like(picture: Picture, layer: Layer, labels: Labels, stack: str | None = None) -> Picture:
    """The picture of a layer that names no axes, with the names of labels on it, whose pixels lie in the same order.

    Parameters
    ----------
    picture : Picture
        Of the layer; it stays as it is where its axes are named, or the labels name none.
    layer : Layer
        The layer.
    labels : napari Labels layer
        Labels that belong to it.
    stack : str, optional
        As in :func:`picture_of`.
    """
    own = named_axes(labels.axis_labels, labels.ndim)
    if not picture.axes_guessed or not own:
        return picture
    axes = own if stack is None else stacked(own, stack)
    if "C" not in own and len(own) == len(result_axes(picture.axes)):
        letters = iter(axes)
        axes = "".join(letter if letter == "C" else next(letters) for letter in picture.axes)
    elif "C" not in own or not len(own) == len(picture.axes) == layer.ndim:
        # They are of another image: results for one with channels between other axes have as many as it has.
        return picture
    spacing, unit = pixel_size(layer.scale, layer.units, axes[: layer.ndim])
    return replace(picture, axes=axes, spacing=spacing, unit=unit)


def without_channel(labels: Labels) -> tuple[Any, str]:
    """The array of labels and the axes they name, without the pixel that stands for all channels of their image."""
    array = array_of(labels)
    own = named_axes(labels.axis_labels, array.ndim)
    if "C" in own and array.shape[own.index("C")] == 1:
        # Results for an image with channels between other axes keep a place for them.
        array, own = first_along(array, own.index("C")), own.replace("C", "")
    return array, own


def labels_picture(labels: Labels, ndim: int | None = None) -> Picture:
    """The picture of labels that are looked at by themselves; as :func:`without_channel`."""
    picture = picture_of(labels, ndim)
    array, own = without_channel(labels)
    return replace(picture, array=array, axes=own or picture.axes)


def fits_labels(space: Sequence[int], labels: Sequence[int], has_frames: bool) -> bool:
    """Whether labels of one shape, or planes of one object each, belong to an image of another.

    Parameters
    ----------
    space : sequence of int
        Shape (T)(Z)YX of the image.
    labels : sequence of int
        Shape (T)(D)(Z)YX, D being planes of one object each, if there are any.
    has_frames : bool
        Whether the first axis counts frames.
    """
    at = int(has_frames)
    return tuple(labels) == tuple(space) or (*labels[:at], *labels[at + 1 :]) == tuple(space)


def turned_labels(labels: Labels, axes: str, image: str) -> Any:
    """The array of a Labels layer in the order of axes of the image it belongs to; nothing is read.

    Axes that the layer names are believed, in any order. A layer that names none has those of its image.

    Parameters
    ----------
    labels : napari Labels layer
        Labels; planes of one object each name no axes.
    axes : str
        Axes of the image in its own order, without channels.
    image : str
        What the image is called in a sentence.

    Raises
    ------
    DataError
        If the layer names other axes than its image has.
    """
    array, own = without_channel(labels)
    if len(own) != len(axes):
        return array
    if "".join(sorted(own)) != "".join(sorted(axes)) and own.translate(_AS_DEPTH) == axes.translate(_AS_DEPTH):
        # Whether a stack is depth or time is asked of the image.
        own = axes
    if sorted(own) != sorted(axes):
        raise DataError(
            f"The axes of {labels.name} are {', '.join(own.lower())}, those of {image} {', '.join(axes.lower())}; "
            "choose the labels that belong to it, or give both the same names."
        )
    return reorder(array, own, axes)


def ordered_labels(labels: Labels, axes: str, image: str) -> Any:
    """The array of a Labels layer as (T)(D)(Z)YX, D being planes of one object each; as :func:`turned_labels`."""
    array = turned_labels(labels, axes, image)
    order, planes = ordered(axes), "D" * (array.ndim - len(axes))
    # Planes of frames follow the frames.
    own, wanted = (f"T{planes}{letters[1:]}" if letters[0] == "T" else planes + letters for letters in (axes, order))
    return reorder(array, own, wanted) if array.ndim == len(own) else array


def regions_on(image: Image, shapes: Shapes, axes: str, start: tuple[int, int] = (0, 0)) -> tuple[Region, ...]:
    """Shapes of a layer in the pixels (y, x) of an image layer with these axes, counted from one of them."""
    regions = []
    places = [axes.index("Y"), axes.index("X")]
    for outline, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in OPEN_SHAPES:
            continue
        points = []
        for point in outline:
            world = np.asarray(shapes.data_to_world(point), float) * units_in(shapes.units, image.units)
            n = image.ndim
            world = np.concatenate([np.zeros(max(n - len(world), 0)), world])[-n:]
            points.append(np.asarray(image.world_to_data(world))[places])
        corners = np.asarray(points) - start
        if kind == "ellipse":
            # Known by the corners of the box around it, which may be turned.
            along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
            angles = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
            corners = corners.mean(0) + np.cos(angles) * along + np.sin(angles) * across
        regions.append(Region(corners, kind == "rectangle" and _is_upright(corners)))
    return tuple(regions)


def _is_upright(corners: NDArray[np.float64]) -> bool:
    """Whether each side of an outline runs along an axis, but for less than half a pixel."""
    return bool((np.abs(np.roll(corners, -1, 0) - corners).min(1) < 0.5).all())
