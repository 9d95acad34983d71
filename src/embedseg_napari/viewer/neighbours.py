"""The image that labels lie on, and what it says of them."""

from __future__ import annotations

import re
from itertools import takewhile
from operator import eq
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.viewer.labelled_images import shares_pixels
from embedseg_napari.viewer.layers import (
    AT_FRAME,
    PART_OF,
    SEGMENTED,
    TIME_POINT,
    array_of,
    is_users,
    line_of,
    name_axes,
    named_axes,
    object_axis,
    path_of,
    picture_of,
    taken_from,
)
from embedseg_napari.viewer.result_layers import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Labels, Layer


def image_under(labels: Labels, images: Iterable[Image]) -> Image | None:
    """The image that labels, or their planes of one object each, lie on, pixel for pixel; None if there is none.

    Of the image that they were found in, it may be a part.
    Of several it is the one that the labels are known to be of; else the one in their place whose name begins most
    like theirs, by whole words; else the first.
    """
    fitting, own = [image for image in images if _fits(labels, image)], taken_from(labels)
    return max(
        fitting,
        key=lambda one: (str(one.unique_id) == own, not lie_apart(labels, one, fitting), _likeness(labels, one)),
        default=None,
    )


def _fits(labels: Labels, image: Image) -> bool:
    """Whether labels have a value for each pixel of an image, or of its part in which they were found."""
    try:
        return shares_pixels(image, labels)
    except EmbedSegError:
        # It is of another kind.
        return False


def _likeness(labels: Labels, image: Image) -> tuple[int, bool]:
    """With how many words of the image's name, or its file's, that of labels begins; whether these are all of them."""
    pairs = [(one, other) for one in _words(labels) for other in _words(image)]
    shared = [(sum(takewhile(bool, map(eq, *pair))), pair[1]) for pair in pairs]
    return max((n, n == len(words)) for n, words in shared)


def _words(layer: Layer) -> list[list[str]]:
    """The words of a layer's name, and of its file's where it has one."""
    path = path_of(layer)
    names = [layer.name, *([] if path is None else [path.stem])]
    return [re.findall(r"[^\W_]+", name.casefold()) for name in names]


def image_below(labels: Labels, layers: Sequence[Layer]) -> Image | None:
    """As :func:`image_under`, of the user's images among all layers, of which the next below is first."""
    at = layers.index(labels)
    return image_under(
        labels, (one for one in (*layers[at::-1], *layers[at:]) if isinstance(one, Image) and is_users(one))
    )


def lie_apart(one: Labels, other: Labels | Image, layers: Sequence[Layer]) -> bool:
    """Whether two layers are known to lie at different places, as two parts or two frames of an image do.

    Parts are known to where both were taken from one image, or neither begins at the origin. Nothing is known of those
    whose pixels are of different sizes.
    """
    if are_of_other_frames(one, other, layers):
        return True
    places = [_place(layer) for layer in (one, other)]
    shared = sorted(places[0].keys() & places[1].keys())
    starts, steps = np.moveaxis(np.array([[place[letter] for letter in shared] for place in places]), -1, 0)
    is_known = line_of(one, layers)[-1] == line_of(other, layers)[-1] or bool(starts.any(axis=1).all())
    return is_known and np.allclose(*steps) and bool((np.abs(starts[1] - starts[0]) > steps[0] / 2).any())


def are_of_other_frames(one: Labels, other: Labels | Image, layers: Sequence[Layer]) -> bool:
    """Whether two layers are known to be of different frames of one movie, which their images were taken out of."""
    here, there = _frames(one, layers), _frames(other, layers)
    return any(here[movie] != there[movie] for movie in here.keys() & there.keys())


def _frames(labels: Labels | Image, layers: Iterable[Layer]) -> dict[str, int]:
    """Of which frame labels are, by the `unique_id` of the movie, or its store; empty where they are of none."""
    known, found = {str(one.unique_id): one for one in layers}, {}
    for layer in (labels, *(known[key] for key in line_of(labels, known.values())[1:] if key in known)):
        if TIME_POINT in layer.metadata:
            movie, number = layer.metadata[TIME_POINT].split(" ")
            found[movie] = int(number)
        if AT_FRAME in layer.metadata and SEGMENTED in layer.metadata:
            found[layer.metadata[SEGMENTED]] = int(layer.metadata[AT_FRAME])
        part = layer.metadata.get(PART_OF, {})
        start = part.get("start", ())
        if start and len(start) > len(spatial_axes(picture_of(layer).axes)):
            # A part of a movie is cut out of one of its frames.
            found |= {part[key]: int(start[0]) for key in ("image", "store") if part.get(key)}
    return found


def _place(labels: Labels | Image) -> dict[str, tuple[float, float]]:
    """Where the first pixel of a layer lies along each axis, but that of channels, and how far it is to the next."""
    letters = named_axes(labels.axis_labels, labels.ndim) or RESULTS[-labels.ndim :].rjust(labels.ndim)
    starts = labels.data_to_world((0,) * labels.ndim)
    axes = zip(letters, starts, np.abs(labels.scale), strict=True)
    return {letter: (float(start), float(step)) for letter, start, step in axes if letter in RESULTS}


def name_as_its_image(labels: Labels, layers: Iterable[Layer]) -> None:
    """Let labels that name no axes remember those of an image of their shape that does: frames are no slices.

    Parameters
    ----------
    labels : napari Labels layer
        Labels; those that name their axes keep them.
    layers : iterable of Layer
        Among them the image, if it is there.
    """
    if named_axes(labels.axis_labels, labels.ndim) or object_axis(labels.axis_labels) is not None:
        return
    shape = tuple(array_of(labels).shape)
    for layer in layers:
        if isinstance(layer, Image) and tuple(array_of(layer).shape) == shape:
            axes = named_axes(layer.axis_labels, labels.ndim)
            if axes and "C" not in axes:
                name_axes(labels, axes)
                return
