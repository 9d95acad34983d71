"""The image that labels lie on, and what it says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.layers import array_of, labelled_picture, name_axes, named_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels, Layer


def image_under(labels: Labels, images: Iterable[Image]) -> Image | None:
    """The first image whose pixels, but for its channels, are as many along each axis; None if there is none."""
    shape = tuple(array_of(labels).shape)
    for image in images:
        try:
            picture = labelled_picture(image, labels)
        except DataError:
            # It has more axes than an image can have.
            continue
        if tuple(n for n, letter in zip(picture.array.shape, picture.axes, strict=True) if letter != "C") == shape:
            return image
    return None


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
