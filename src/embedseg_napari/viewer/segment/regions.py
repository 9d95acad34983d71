"""The part of an image that is to be segmented: the whole, what is in view, or a rectangle that was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.camera import frames_drawn_on, in_view, outline_on
from embedseg_napari.viewer.layers import AT_FRAME, found_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.layers
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.viewer.result_layers import Frame

WHOLE, VIEW, RECTANGLE = "Whole image", "Current view", "Rectangle of a Shapes layer"


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of an image that is to be segmented."""

    layer: napari.layers.Image
    array: Any
    """In the order TC(Z)YX, whatever that of the layer."""
    axes: str
    channel: Channel
    frame: Callable[[], Frame]
    """Where the part lies now: what its pixels measure may be told after it was segmented."""
    start: tuple[int, ...]
    """Its first pixel, one value per axis T(Z)YX of the results."""
    spacing: tuple[float, ...] | None
    """Pixel size (z, y, x) in micrometres, where the layer has a physical unit."""
    region: str
    name: str
    """What layers of the result are named after."""
    stands_alone: bool = False
    """Whether its objects are not added to those that were found around it."""
    at_frame: int | None = None
    """Which frame of the image it is, where its results have no axis of frames."""

    def found_in(self) -> dict[str, Any]:
        """What the metadata of its results say of where they were found."""
        return found_in(self.layer) | ({} if self.at_frame is None else {AT_FRAME: self.at_frame})


def view_bounds(viewer: Viewer, layer: napari.layers.Image, axes: str) -> dict[str, tuple[int, int]]:
    """What is in view, in Y and X, and the current frame: the first pixel of an axis, and one past the last."""
    letters = axes[:-1] if layer.rgb else axes
    low, high = in_view(viewer, layer, letters)
    shown = [letters[int(d) - viewer.dims.ndim + layer.ndim] for d in viewer.dims.displayed]
    wanted = {letter for letter in "YX" if letter in shown} | {letter for letter in "T" if letter not in shown}
    places = zip(letters, low, high, strict=True)
    return {letter: (first, last) for letter, first, last in places if letter in wanted}


def rectangle_bounds(
    viewer: Viewer, shapes: napari.layers.Shapes, layer: napari.layers.Image, axes: str
) -> dict[str, tuple[int, int]]:
    """The extent in Y and X of the selected shape, or of the one drawn last, and the frames that it is drawn on.

    One that knows no time is on all frames.

    Raises
    ------
    DataError
        If there is none.
    """
    if not len(shapes.data):
        raise DataError(f"Layer {shapes.name!r} has no shape; draw a rectangle around the part to segment.")
    chosen = sorted(shapes.selected_data)
    number = chosen[-1] if chosen else -1
    letters = axes[:-1] if layer.rgb else axes
    places = outline_on(viewer, shapes, number, layer)
    # The pixels whose centre lies inside.
    low, high = (np.ceil(np.round(edge, 6)) for edge in (places.min(0), places.max(0)))
    at = {letter: letters.index(letter) for letter in "YX"}
    bounds = {letter: (int(low[i]), int(high[i])) for letter, i in at.items()}
    frames = frames_drawn_on(viewer, shapes, number, layer, letters)
    return bounds if frames is None else {**bounds, "T": frames}
