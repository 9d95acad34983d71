"""The layer that shows an image of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.viewer.file_metadata import axis_labels, axis_scale, axis_units
from embedseg_napari.viewer.large.annotated_part import mark_of, place_of
from embedseg_napari.viewer.layers import PART_OF

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from embedseg_napari.core.files.tiff import Picture


def show_image(viewer: Viewer, name: str, picture: Picture, *, is_file: bool) -> Any:
    """Add the layer of an image.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    name : str
        Name of the image.
    picture : Picture
        The image.
    is_file : bool
        Whether it is the whole of a file of the user's, which commands can read.
    """
    array, n = to_frame(picture), len(spatial_axes(picture.axes))
    is_rgb = picture.is_colour and len(array) in (3, 4)
    # Colours are none of a layer's own axes.
    lead = int("C" in picture.axes and not is_rgb)
    axes = "C" * lead + "ZYX"[-n:]
    metadata: dict[str, Any] = {} if picture.part_of is None else {PART_OF: mark_of(picture.part_of)}
    # Where the file has its axes in another order, a command would take those of the layer for them.
    if is_file and picture.path is not None and picture.axes == axes + "C" * is_rgb:
        metadata["path"] = str(picture.path)
    return viewer.add_image(
        np.moveaxis(array, 0, -1) if is_rgb else array if lead else array[0],
        name=name,
        rgb=is_rgb,
        axis_labels=axis_labels(axes),
        scale=axis_scale(axes, picture.spacing),
        units=axis_units(axes, picture.unit),
        translate=None if picture.part_of is None else [0.0] * lead + place_of(picture.part_of, picture.spacing, n),
        metadata=metadata,
    )
