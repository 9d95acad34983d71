"""The part of a layer that is previewed: what the viewer looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.region import Part, Region
from embedseg_napari.jobs.true_objects import around, true_objects
from embedseg_napari.viewer.camera import looked_at
from embedseg_napari.viewer.labelled_images import fits_labels, ordered_labels
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.result_layers import spatial_frame

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.config import NormalizationConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.jobs.true_objects import TrueObjects
    from embedseg_napari.viewer.preview.brightness import WholeBrightness
    from embedseg_napari.viewer.result_layers import Frame

MOST_PIXELS = {2: (512, 512), 3: (32, 128, 128)}
"""Part of an image that is previewed, pixels per axis (z, y, x): two cores predict it in about a second."""


@dataclass(frozen=True)
class PreviewPart:
    """A part of a layer that shall be previewed; holds no layer, so that the worker thread may read it."""

    token: str
    name: str
    """Of the layer."""
    image: Region
    """All of the layer, as far as the network sees its channels."""
    time: int
    """Frame that is shown, 0 in an image without."""
    part: Part
    """Pixels of that."""
    frame: Frame
    truth: Any = None
    """Labels ((Z,) Y, X) of the part and its surroundings, or planes (K, (Z,) Y, X), where they are known."""
    inside: tuple[slice, ...] = ()
    """Where in `truth` the part lies."""

    def example(self, brightness: WholeBrightness, normalization: NormalizationConfig) -> Example:
        """Read the pixels, as the network sees them in the whole image; labels stay empty: a preview knows no truth."""
        from embedseg_napari.core.data.example import Example

        image = brightness.read(self.image, self.time, self.part, normalization)
        return Example(self.token, image, np.zeros(image.shape[1:], np.int32), is_normalized=True)

    def objects(self, center: CenterKind) -> TrueObjects | None:
        """Read the true objects, to be shown beside a prediction; None if they are not known."""
        if self.truth is None:
            return None
        truth = np.asarray(self.truth)
        planes = truth.ndim > len(self.inside)
        return true_objects(truth, self.inside, center=center, spacing=self.frame.spacing(), planes=planes)


def part_in_view(
    viewer: Viewer,
    layer: Image,
    axes: str,
    channel: OneChannel | None,
    truth: Labels | None,
    token: str,
    flat: Any = None,
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
    flat : array, optional
        The layer's array without the axis of its only plane, for a network that knows no depth.
    """
    frame, array = spatial_frame(layer, axes), array_of(layer)
    middle = dict(zip(axes, looked_at(viewer, layer), strict=False))
    if flat is not None:
        frame, array, axes, truth = frame.flat(), flat, axes.replace("Z", ""), None
    sizes = dict(zip(axes, array.shape, strict=True))
    space = spatial_axes(axes)
    shape = tuple(int(sizes[letter]) for letter in space)
    stops, starts = [], []
    for letter, size, most in zip(space, shape, MOST_PIXELS[len(space)], strict=True):
        side = min(size, most)
        starts.append(int(np.clip(round(middle[letter]) - side // 2, 0, size - side)))
        stops.append(starts[-1] + side)
    time = None
    if "T" in axes:
        time = int(np.clip(round(middle["T"]), 0, sizes["T"] - 1))
        frame = frame.without("T")
    part = Part(tuple(starts), tuple(stops))
    known, inside = _truth_around(layer, axes, truth, [slice(*ends) for ends in zip(*part, strict=True)], time)
    image = Region(array, axes, "all" if channel is None else channel, (0,) * len(shape), shape)
    return PreviewPart(token, layer.name, image, time or 0, part, frame.at(starts), known, inside)


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
