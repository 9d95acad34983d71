"""What an image says of the labels that lie on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from embedseg_napari.viewer.layers import array_of, name_axes, named_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels, Layer


def name_as_its_image(labels: Labels, layers: Iterable[Layer]) -> None:
    """Let labels that name no axes remember those of an image of their shape that does: frames are no slices.

    Parameters
    ----------
    labels : napari Labels layer
        Labels; those that name their axes keep them.
    layers : iterable of Layer
        Among them the image, if it is there.
    """
    if named_axes(labels.axis_labels, labels.ndim):
        return
    shape = tuple(array_of(labels).shape)
    for layer in layers:
        if isinstance(layer, Image) and tuple(array_of(layer).shape) == shape:
            axes = named_axes(layer.axis_labels, labels.ndim)
            if axes and "C" not in axes:
                name_axes(labels, axes)
                return
