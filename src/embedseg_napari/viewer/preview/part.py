"""The part of a layer that is previewed: what the viewer looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.jobs.true_objects import around, true_objects
from embedseg_napari.viewer.camera import looked_at
from embedseg_napari.viewer.labelled_images import fits_labels, ordered_labels
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.result_layers import spatial_frame

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.jobs.true_objects import TrueObjects
    from embedseg_napari.viewer.result_layers import Frame

MOST_PIXELS = {2: (512, 512), 3: (32, 128, 128)}
"""Part of an image that is previewed, pixels per axis (z, y, x): two cores predict it in about a second."""


@dataclass(frozen=True)
class PreviewPart:
    """A part of a layer that shall be previewed; holds no layer, so that the worker thread may read it."""

    token: str
    name: str
    """Of the layer."""
    array: Any
    axes: str
    """Of `array`: (C)(Z)YX."""
    frame: Frame
    truth: Any = None
    """Labels ((Z,) Y, X) of the part and its surroundings, or planes (K, (Z,) Y, X), where they are known."""
    inside: tuple[slice, ...] = ()
    """Where in `truth` the part lies."""
    is_mean: bool = False
    """Whether the network sees the mean of its channels."""

    def example(self) -> Example:
        """Read the pixels; the labels stay empty, for a preview knows no truth."""
        from embedseg_napari.core.axes import mean_of_channels, to_frames
        from embedseg_napari.core.data.example import Example

        image = to_frames(np.asarray(self.array), self.axes)[0]
        if self.is_mean:
            image = mean_of_channels(image, keepdims=True)
        return Example(self.token, image, np.zeros(image.shape[1:], np.int32))

    def objects(self, center: CenterKind) -> TrueObjects | None:
        """Read the true objects, to be shown beside a prediction; None if they are not known."""
        if self.truth is None:
            return None
        truth = np.asarray(self.truth)
        planes = truth.ndim > len(self.inside)
        return true_objects(truth, self.inside, center=center, spacing=self.frame.spacing(), planes=planes)


def part_in_view(
    viewer: Viewer, layer: Image, axes: str, channel: OneChannel | None, truth: Labels | None, token: str
) -> PreviewPart:
    """The part of a layer around the middle of the canvas; no pixel is read.

    Parameters
    ----------
    viewer : napari viewer
        Where the layer is shown.
    layer : napari Image layer
        Its axes are `axes`.
    axes : str
        In the layer's own order.
    channel : int, "mean" or None
        The only channel that is wanted, or the mean of all.
    truth : napari Labels layer or None
        The true objects; passed over where they do not fit.
    token : str
        Names the part.
    """
    frame = spatial_frame(layer, axes)
    middle = dict(zip(axes, looked_at(viewer, layer), strict=False))
    array, own = reorder(array_of(layer), axes, ordered(axes)), ordered(axes)
    index: list[Any] = [slice(None)] * len(own)
    space = [own.index(letter) for letter in "ZYX" if letter in own]
    start = []
    for axis, most in zip(space, MOST_PIXELS[len(space)], strict=True):
        side = min(array.shape[axis], most)
        first = int(np.clip(round(middle[own[axis]]) - side // 2, 0, array.shape[axis] - side))
        index[axis] = slice(first, first + side)
        start.append(first)
    time = None
    if "T" in own:
        axis = own.index("T")
        time = index[axis] = int(np.clip(round(middle["T"]), 0, array.shape[axis] - 1))
        frame = frame.without("T")
    if isinstance(channel, int) and "C" in own:
        index[own.index("C")] = slice(channel, channel + 1)
    known, inside = _truth_around(layer, axes, truth, [index[axis] for axis in space], time)
    part, left, is_mean = array[tuple(index)], own.replace("T", ""), channel == "mean"
    return PreviewPart(token, layer.name, part, left, frame.at(start), known, inside, is_mean)


def _truth_around(
    layer: Image, axes: str, truth: Labels | None, part: list[slice], time: int | None
) -> tuple[Any, tuple[slice, ...]]:
    """Labels of a part and half its size around it, unread, and where the part lies in them."""
    if truth is None:
        return None, ()
    sizes, own = dict(zip(axes, array_of(layer).shape, strict=True)), result_axes(axes)
    try:
        labels = ordered_labels(truth, own, layer.name)
    except DataError:
        return None, ()
    if not fits_labels([sizes[letter] for letter in ordered(own)], labels.shape, "T" in own):
        return None, ()
    return around(labels if time is None else labels[time], part)
