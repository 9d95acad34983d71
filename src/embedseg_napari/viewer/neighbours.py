"""The image that labels lie on, and what it says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from embedseg_napari.core.axes import result_axes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.viewer.labelled_images import labelled_picture, turned_labels
from embedseg_napari.viewer.layers import SEGMENTED, array_of, is_users, name_axes, named_axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Labels, Layer


def image_under(labels: Labels, images: Iterable[Image]) -> Image | None:
    """The image that labels lie on, pixel for pixel: that they were found in, or the first; None if there is none."""
    found_in = labels.metadata.get(SEGMENTED)
    for image in sorted(images, key=lambda one: str(one.unique_id) != found_in):
        try:
            picture = labelled_picture(image, labels)
            axes = result_axes(picture.axes)
            array = turned_labels(labels, axes, image.name)
        except EmbedSegError:
            # It is of another size or kind.
            continue
        sizes = dict(zip(picture.axes, picture.array.shape, strict=True))
        if tuple(array.shape) == tuple(sizes[letter] for letter in axes):
            return image
    return None


def image_below(labels: Labels, layers: Sequence[Layer]) -> Image | None:
    """As :func:`image_under`, of the user's images among all layers, of which the next below is first."""
    at = layers.index(labels)
    return image_under(
        labels, (one for one in (*layers[at::-1], *layers[at:]) if isinstance(one, Image) and is_users(one))
    )


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
