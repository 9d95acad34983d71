"""What is judged, as layers: the outline of an object or the frame of an area, and what is missed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, read_part, result_axes, spatial_axes
from embedseg_napari.core.estimate.sample import SampledObject
from embedseg_napari.viewer.camera import KeptView, go_to, screen_pixels, to_pixel
from embedseg_napari.viewer.layers import RESULT, array_of
from embedseg_napari.viewer.result_layers import (
    boxes_around,
    is_shown,
    show_labels,
    show_points,
    show_shapes,
    spatial_frame,
)
from embedseg_napari.viewer.step_back import SteppedBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.estimate.sample import Place

MARK = "embedseg-estimate"
"""What the metadata of these layers say."""
OBJECT, AREA, MISSED = "estimate: object", "estimate: area", "estimate: missed"
COLOR, MISSED_COLOR = "#ffd54f", "#ff5fd2"
OUTLINE = 2
"""Pixels that outlines of labels are wide while they are judged; filled ones would hide the image."""
LINE, RING = 2, 14
"""Pixels of the screen: the frame around an area, and across the ring around a missed object."""
FAINT = 0.35
"""Opacity of the others while one object is judged: some of them are yellow, too."""
LARGEST = 1 << 26
"""Pixels of the box around an object whose outline is read; of a larger one the box is shown."""
ROOM = 2
"""Pixels around an object in its layer, along Y and X, so that its outline is whole in each plane."""


class JudgeMarks:
    """Layers that show what is judged; they are there while it is.

    Parameters
    ----------
    viewer : Viewer
        Where.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None
        """The labels that are judged; None while nothing is."""
        self.shown: dict[str, Any] = {}
        """Our layers by name."""
        self._axes = ""
        self._contour = 0
        self._view = KeptView(viewer)
        self._faint = SteppedBack(FAINT)

    def begin(self, layer: Labels, axes: str) -> None:
        """Show labels as outlines; `axes` are those of their array."""
        self.layer, self._axes, self._contour = layer, axes, layer.contour
        self._frame = spatial_frame(layer, axes)
        layer.contour = OUTLINE
        # A click marks what is missed; with a brush it would paint.
        layer.mode = "pan_zoom"
        self.viewer.layers.selection.active = layer

    def end(self) -> None:
        """Let all be as it was."""
        layer, self.layer = self.layer, None
        for name in tuple(self.shown):
            self._remove(name)
        if layer is not None:
            if is_shown(self.viewer, layer) and layer.contour == OUTLINE:
                layer.contour = self._contour
            self._faint.release()
            self._view.give_back()

    def rest(self) -> None:
        """Show all as it was seen before, while nothing is left to judge."""
        for name in self.shown:
            self._hide(name)
        self._faint.release()
        self._view.give_back()

    def is_ours(self, layer: Layer) -> bool:
        """Whether a layer was made here."""
        return any(layer == one for one in self.shown.values())

    def show(self, step: SampledObject | Place, missed: Sequence[Sequence[float]] = ()) -> None:
        """Show an object, or an area with the missed objects in it."""
        is_object = isinstance(step, SampledObject)
        assert self.layer is not None
        self._faint.hold([self.layer] if is_object else [])
        if isinstance(step, SampledObject) and step.n_pixels <= LARGEST:
            self._hide(AREA)
            self._outline(step)
        else:
            self._hide(OBJECT)
            corners = boxes_around(*self._box(step), self._ndim)
            self._put(AREA, show_shapes, corners, face_color="transparent", edge_color=COLOR)
            self.shown[AREA].edge_width = screen_pixels(self.viewer, self._frame, LINE)
        if is_object:
            self._hide(MISSED)
        else:
            self.show_missed(step, missed)
        self.viewer.layers.selection.active = self.layer

    def show_missed(self, area: Place, missed: Sequence[Sequence[float]]) -> None:
        """Show the missed objects that were clicked on."""
        times = (area.frame,) * ("T" in self._axes)
        points = np.array([[*times, *point] for point in missed], float).reshape(-1, len(times) + self._ndim)
        size = screen_pixels(self.viewer, self._frame, RING)
        self._put(
            MISSED, show_points, points, symbol="ring", face_color=MISSED_COLOR, border_color=MISSED_COLOR, size=size
        )
        if len(points):
            self.shown[MISSED].size = size

    def go_to(self, step: Place) -> None:
        """Bring what is judged into view, large enough to judge it."""
        assert self.layer is not None
        self._view.keep()
        lower, upper = self._box(step)
        places = self._frame.coordinates(np.array([(lower + upper - 1) / 2, lower, upper]))
        go_to(self.viewer, self.layer, np.floor(places[0]), places[1], places[2], is_near=True)

    def point_at(self, position: Sequence[float]) -> tuple[int, tuple[float, ...]]:
        """Frame and pixel (z, y, x) of a place of the world."""
        assert self.layer is not None
        at = to_pixel(self.viewer, self.layer, position)
        own = {letter: float(value) for letter, value in zip(self._frame.axes, at, strict=True)}
        return round(own.get("T", 0)), tuple(own[letter] for letter in "ZYX" if letter in own)

    @property
    def _ndim(self) -> int:
        return len(spatial_axes(self._axes))

    def _box(self, step: Place) -> tuple[np.ndarray, np.ndarray]:
        """First pixel of a box and the one behind its last, T(Z)YX."""
        has_time = "T" in self._axes
        lower = np.array([*(step.frame,) * has_time, *step.lower], float)
        return lower, np.array([*(step.frame + 1,) * has_time, *step.upper], float)

    def _outline(self, step: SampledObject) -> None:
        """Show the pixels of one object, which alone are read."""
        assert self.layer is not None
        letters = ordered(result_axes(self._axes))
        key = {
            letter: slice(*side) for letter, *side in zip(letters[-self._ndim :], step.lower, step.upper, strict=True)
        }
        # Results for an image with channels between other axes keep a place for them.
        part = read_part(array_of(self.layer), self._axes, {"T": step.frame, "C": 0, **key})
        # Planes beyond its own would lengthen the slider.
        rooms = np.array([*(0,) * (self._ndim - 2), ROOM, ROOM])
        mask = np.pad((part == step.label).astype(np.int32), rooms[:, None])
        corner = np.subtract(step.lower, rooms)
        if "T" in letters:
            mask, corner = mask[None], np.array([step.frame, *corner])
        from napari.utils.colormaps import DirectLabelColormap

        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: COLOR})
        self._put(OBJECT, show_labels, mask, frame=self._frame.at(corner.tolist()), colormap=colors, opacity=1.0)
        self.shown[OBJECT].contour = OUTLINE
        self.shown[OBJECT].editable = False

    def _put(self, name: str, show: Any, data: Any, **options: Any) -> None:
        self.shown[name] = show(
            self.viewer,
            name,
            data,
            into=self.shown.get(name),
            **{"frame": self._frame, "metadata": {RESULT: MARK}, **options},
        )

        if not self.shown[name].visible:
            self.shown[name].visible = True

    def _hide(self, name: str) -> None:
        """Layers come and go slowly; between steps they are only hidden."""
        layer = self.shown.get(name)
        if layer is not None and layer.visible:
            layer.visible = False

    def _remove(self, name: str) -> None:
        layer = self.shown.pop(name, None)
        if layer is not None and is_shown(self.viewer, layer):
            self.viewer.layers.remove(layer)
