"""Image files as layers, with axes, pixel size and channel names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import guess_axes, result_axes, spatial_axes
from embedseg_napari.core.files.tiff import COLOUR_TYPES
from embedseg_napari.viewer.file_metadata import axis_labels, axis_scale, axis_units
from embedseg_napari.viewer.layers import CHANNEL_NAMES, FRAME_INTERVAL

if TYPE_CHECKING:
    from embedseg_napari.core.files.tiff import Picture

LayerData = tuple[Any, dict[str, Any], str]
"""Array, keyword arguments and kind of a layer, as napari's readers return them."""


def image_layer(picture: Picture, name: str) -> LayerData:
    """Return an image as one layer; colour images stay colour, channels become a slider."""
    array, axes = picture.array, picture.axes or guess_axes(picture.array.shape)
    may_be_rgb = axes.endswith("C") and array.shape[-1] in (3, 4) and array.dtype.name in COLOUR_TYPES
    is_rgb = may_be_rgb and (picture.is_colour or array.dtype == np.uint8)
    if axes.endswith("C") and not is_rgb and isinstance(array, np.ndarray):
        # Napari shows the last two axes as rows and columns.
        array, axes = np.moveaxis(array, -1, 0), f"C{axes[:-1]}"
        # A command would take the axes of the layer for those of its file.
        picture = replace(picture, path=None)
    options = {**_options(picture, axes[:-1] if is_rgb else axes, name), "rgb": is_rgb}
    if picture.channel_names:
        options["metadata"] = {**options["metadata"], CHANNEL_NAMES: list(picture.channel_names)}
    return array, options, "image"


def labels_layer(picture: Picture, name: str, image: Picture | None = None) -> LayerData:
    """Return a mask as one layer: a label image as it is, planes of single objects with their numbers.

    Parameters
    ----------
    picture : Picture
        The mask.
    name : str
        Name of the layer.
    image : Picture, optional
        The image it belongs to: it tells planes from slices, and the size of pixels where the mask's file is silent.
    """
    array = picture.array
    if array.dtype.kind == "f":
        array = array.astype(np.int32)
    axes = picture.axes or guess_axes(array.shape)
    if image is not None:
        own = result_axes(image.axes or guess_axes(image.array.shape))
        if array.ndim == len(own):
            axes = picture.axes if sorted(picture.axes) == sorted(own) else own
        elif array.ndim == len(own) + 1:
            # One object per plane, behind the frames of a time-lapse: numbered, so that each has a colour of its own.
            at = int(own.startswith("T"))
            numbers = np.arange(1, array.shape[at] + 1, dtype=np.int32).reshape(-1, *(1,) * (len(own) - at))
            array, axes = (array > 0) * numbers, f"{own[:at]}N{own[at:]}"
    options = _options(picture, axes, name, image)
    return array, options, "labels"


def _options(picture: Picture, axes: str, name: str, stand_in: Picture | None = None) -> dict[str, Any]:
    source = stand_in if picture.spacing is None and stand_in is not None else picture
    space = spatial_axes(axes)
    spacing = None
    if source.spacing is not None and len(source.spacing) >= len(space):
        spacing = source.spacing[-len(space) :]
    metadata: dict[str, Any] = {} if picture.path is None else {"path": str(picture.path)}
    intervals = [one.interval for one in (picture, stand_in) if one is not None and one.interval is not None]
    if intervals:
        metadata[FRAME_INTERVAL] = intervals[0]
    return {
        "name": name,
        "scale": axis_scale(axes, spacing),
        "units": axis_units(axes, source.unit if spacing is not None else None),
        "axis_labels": axis_labels(axes),
        "metadata": metadata,
    }
