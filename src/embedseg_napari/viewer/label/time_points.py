"""Single frames of a time-lapse as images of their own, to be annotated."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.camera import looked_at, to_world
from embedseg_napari.viewer.label.extracted import extracted_before
from embedseg_napari.viewer.layers import TIME_POINT, array_of, picture_of
from embedseg_napari.viewer.result_layers import layer_frame
from embedseg_napari.viewer.stage import stage_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from embedseg_napari.core.files.tiff import Picture


def image_axes(layer: Image) -> str:
    """Axes of an image that shall be annotated, guessed from its shape where it does not name them."""
    return picture_of(layer).axes


def time_axis(layer: Image) -> int | None:
    """Which axis of an image is time; None where it has none."""
    axes = image_axes(layer)
    return axes.index("T") if "T" in axes else None


def frame_in_view(viewer: Viewer, layer: Image) -> int:
    """Number of the frame that the slider shows, from 0."""
    axis = time_axis(layer)
    assert axis is not None
    return int(np.clip(round(float(looked_at(viewer, layer)[axis])), 0, array_of(layer).shape[axis] - 1))


def frame_name(layer: Image, number: int) -> str:
    """What the image of a frame is called."""
    return f"{layer.name} t={number}"


def frame_number(layer: Image, name: str) -> int | None:
    """Which frame of a time-lapse an image of this name is, by its name; None if it is none."""
    found = re.fullmatch(rf"{re.escape(layer.name)} t=(\d+)", name)
    return None if found is None else int(found[1])


def is_frame_name(layer: Image, name: str) -> bool:
    """Whether an image of this name is a frame of a time-lapse, by its name."""
    return frame_number(layer, name) is not None


def frame_picture(layer: Image, number: int) -> Picture:
    """The image of a frame, with the axes of its time-lapse."""
    movie = picture_of(layer)
    key = (slice(None),) * movie.axes.index("T") + (number,)
    return replace(movie, array=movie.array[key], axes=movie.axes.replace("T", ""))


def known_frame(viewer: Viewer, layer: Image, number: int) -> Any:
    """The layer of a frame that is an image of its own already; None if it is not."""
    mark = TIME_POINT, _source(layer, number)
    return extracted_before(viewer, mark, frame_name(layer, number), lambda: frame_picture(layer, number))


def mark_frame(viewer: Viewer, name: str) -> None:
    """Let an image that a session has opened know the time-lapse it is a frame of, if that is in the viewer."""
    for layer in tuple(viewer.layers):
        number = frame_number(layer, name)
        if number is None or not isinstance(layer, Image):
            continue
        # What its axes are may not be known.
        with suppress(DataError):
            axis = time_axis(layer)
            if axis is not None and number < array_of(layer).shape[axis]:
                known_frame(viewer, layer, number)


def is_taken(viewer: Viewer, layer: Image, number: int) -> bool:
    """Whether a frame is an image of its own already."""
    return any(other.metadata.get(TIME_POINT) == _source(layer, number) for other in viewer.layers)


def _source(layer: Image, number: int) -> str:
    return f"{layer.unique_id} {number}"


def spread(n: int) -> list[int]:
    """Numbers below n, so ordered that the first few lie far apart, however many those are."""
    width = max(n - 1, 1).bit_length()
    return sorted(range(n), key=lambda number: int(f"{number:0{width}b}"[::-1], 2))


def take_frame(viewer: Viewer, layer: Image, number: int | None = None) -> Any:
    """Make a frame an image of its own, or find the one that was made before.

    It lies where the time-lapse lies, seen at every time point.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    layer : Image
        A time-lapse.
    number : int, optional
        Which frame; the slider goes there. Without it, the frame that the slider shows.

    Returns
    -------
    Image
        Named "NAME t=7".
    """
    axis = time_axis(layer)
    assert axis is not None
    if number is None:
        number = frame_in_view(viewer, layer)
    else:
        at = np.zeros(layer.ndim)
        at[axis] = number
        viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, float(to_world(viewer, layer, at)[axis]))
    known = known_frame(viewer, layer, number)
    if known is not None:
        stage_of(viewer).set_visible(known, True)
        return known
    axes = image_axes(layer)
    frame = layer_frame(layer, axes[:-1] if layer.rgb else axes).without("T")
    return viewer.add_image(
        np.asarray(frame_picture(layer, number).array),
        name=frame_name(layer, number),
        rgb=bool(layer.rgb),
        # Axes that were guessed must not be guessed otherwise now.
        **frame.options() | {"axis_labels": tuple(frame.axes.lower())},
        colormap=None if layer.rgb else layer.colormap,
        contrast_limits=None if layer.rgb else layer.contrast_limits,
        metadata={TIME_POINT: _source(layer, number)},
    )
