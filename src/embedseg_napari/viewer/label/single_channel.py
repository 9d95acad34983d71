"""One channel of an image, or their mean, as an image of its own, to be annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.jobs.segment import take_channel
from embedseg_napari.viewer.label.extracted import extracted_before
from embedseg_napari.viewer.layers import CHANNEL_OF, array_of, of_image, picture_of
from embedseg_napari.viewer.result_layers import layer_frame
from embedseg_napari.viewer.stage import stage_of

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel


def single_channel(viewer: Viewer, layer: Image, channel: Channel) -> Any:
    """Make a channel of a layer an image of its own, or find the one that was made before; the layer is hidden.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    layer : Image
        The image; it is returned itself where it has no channels, or all are meant.
    channel : int, "mean" or "all"
        Counted from 0.

    Returns
    -------
    Image
        Named "NAME channel 1", or "NAME mean of channels".
    """
    axes = picture_of(layer).axes
    if channel == "all" or "C" not in axes:
        return layer
    mark = CHANNEL_OF, f"{layer.unique_id} {channel}"
    name = f"{layer.name} {'mean of channels' if channel == 'mean' else f'channel {channel}'}"
    # Panels that are about all of it show it.
    stage_of(viewer).set_visible(layer, False)
    known = extracted_before(viewer, mark, name, lambda: Picture(*take_channel(array_of(layer), axes, channel)))
    if known is not None:
        stage_of(viewer).set_visible(known, True)
        return known
    array, letters = take_channel(array_of(layer), axes, channel)
    # Colours are none of a layer's own axes.
    frame = layer_frame(layer, letters if layer.rgb else axes).without("C")
    return viewer.add_image(
        array,
        name=name,
        rgb=False,
        **frame.options() | {"axis_labels": tuple(letters.lower())},
        metadata={**of_image(layer), **dict([mark])},
    )
