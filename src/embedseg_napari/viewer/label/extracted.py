"""Frames and channels that are images of their own already, found among the layers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import same_pixels
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.viewer.layers import picture_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from embedseg_napari.core.files.tiff import Picture


def extracted_before(viewer: Viewer, mark: tuple[str, str], name: str, read: Callable[[], Picture]) -> Any:
    """The layer of a part of an image that was made an image of its own; None if there is none.

    One that a session has opened again has no mark yet: it is known by its name and pixels, and marked.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    mark : (str, str)
        Key in the metadata, and its value: the image, and which part of it.
    name : str
        What the layer of the part is called.
    read : callable
        Returns the part, with its axes.
    """
    key, source = mark
    for layer in viewer.layers:
        if layer.metadata.get(key) == source:
            return layer
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.name == name:
            # Its axes may be too many.
            with suppress(DataError):
                found, part = picture_of(layer), read()
                if "T" not in found.axes + part.axes and same_pixels(to_frame(found), to_frame(part)):
                    layer.metadata[key] = source
                    return layer
    return None
