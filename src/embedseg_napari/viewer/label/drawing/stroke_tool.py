"""Drags of the mouse over the annotation as strokes, with a line to see them by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from embedseg_napari.core.annotation.edits import stroke_pixels
from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import AnnotationError
from embedseg_napari.viewer.camera import leave_3d, to_pixel
from embedseg_napari.viewer.layers import RESULT
from embedseg_napari.viewer.result_layers import is_shown

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Labels, Shapes

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

LINE = "stroke"
"""Name of the layer with the line, which is there while a stroke is waited for."""
LEAST_STEP = 0.5
"""Pixels between two points of the line."""
LEFT_BUTTON = 1


@dataclass(frozen=True)
class Stroke:
    """Where the mouse was dragged."""

    pixels: Indices
    """(z, y, x)."""
    through: int | None
    """In 3D the axis that is not displayed."""
    is_outside: bool = False
    """Whether Shift was held when it began."""


class StrokeTool:
    """Waits for drags of the left button on the Labels layer; meanwhile nothing is painted and the view stays.

    It begins on slices, also where the volume was seen in 3D. Escape, another tool or layer, and the 3D view end the
    waiting, and unless it stays the first drag, too.

    Parameters
    ----------
    layers : AnnotationLayers
        What is drawn on.
    stays : bool
        Whether more than one drag is waited for; a click counts as one of a single pixel.
    """

    drawn = Signal(Stroke)
    """The button was released; comes after `ended` where the tool does not stay."""
    ended = Signal()
    """No stroke is waited for any more."""

    def __init__(self, layers: AnnotationLayers, stays: bool = False) -> None:
        self.layers, self.stays = layers, stays
        self.labels: Labels | None = None
        """Layer that a stroke is waited for on."""
        self.line: Shapes | None = None
        self._before: tuple[str, bool, str] = ("pan_zoom", True, "standard")
        self._on_double_click: list[Any] = []
        """What napari does on a double click, which is zooming in; two quick clicks are none here."""
        layers.leaving.connect(self.cancel)
        layers.mouse_wanted.connect(self.cancel)

    @property
    def is_waiting(self) -> bool:
        """Whether the next drag is a stroke."""
        return self.labels is not None

    def begin(self) -> None:
        """Take the next drag as a stroke.

        Raises
        ------
        AnnotationError
            If there is no layer to draw on.
        """
        self.layers.mouse_wanted.emit()
        labels, viewer = self.layers.labels, self.layers.viewer
        if labels is None:
            raise AnnotationError("Press Annotate first: there is nothing to draw on.")
        leave_3d(viewer)
        # A layer that is told to be visible while it is loses its tool.
        if not labels.visible:
            labels.visible = True
        self._before = (labels.mode, labels.mouse_pan, str(labels.cursor))
        self._add_line()
        viewer.layers.selection.active = labels
        labels.mode = "pan_zoom"
        labels.mouse_pan, labels.cursor = False, "cross"
        labels.mouse_drag_callbacks.append(self._drag)
        self._on_double_click = list(viewer.mouse_double_click_callbacks)
        viewer.mouse_double_click_callbacks.clear()
        labels.bind_key("Escape", self._on_escape, overwrite=True)
        for event in self._ends(labels):
            event.connect(self.cancel)
        self.labels = labels

    def cancel(self, event: object = None) -> None:
        """Wait no longer; the tool that was chosen before is chosen again."""
        labels, line = self.labels, self.line
        if labels is None:
            return
        self.labels = self.line = None
        for end in self._ends(labels):
            end.disconnect(self.cancel)
        labels.bind_key("Escape", None)
        labels.mouse_drag_callbacks.remove(self._drag)
        self.layers.viewer.mouse_double_click_callbacks[:0] = self._on_double_click
        if labels.mode == "pan_zoom":
            mode, labels.mouse_pan, labels.cursor = self._before
            labels.mode = mode
        if line is not None and is_shown(self.layers.viewer, line):
            self.layers.viewer.layers.remove(line)
        self.ended.emit()

    def _on_escape(self, layer: object) -> None:
        self.cancel()

    def _ends(self, labels: Labels) -> tuple[Any, ...]:
        """Events that end the waiting."""
        viewer = self.layers.viewer
        return labels.events.mode, viewer.layers.selection.events.active, viewer.dims.events.ndisplay

    def _add_line(self) -> None:
        frame = self.layers.frame
        assert frame is not None
        self.line = self.layers.viewer.add_shapes(
            ndim=frame.ndim,
            name=LINE,
            metadata={RESULT: LINE},
            edge_color="yellow",
            face_color="transparent",
            edge_width=max(0.7, min(self.layers.shape[-2:]) / 300),
            **frame.options(),
        )

    def _drag(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        """What napari runs from the press of a button to its release."""
        if event.button != LEFT_BUTTON:
            return
        points = [to_pixel(self.layers.viewer, layer, event.position)]
        line, is_outside = self.line, "Shift" in event.modifiers
        yield
        # None where the waiting was ended meanwhile.
        while self.line is not None and self.line is line:
            # Moves in quick succession are left out by the canvas, the release never is.
            point = to_pixel(self.layers.viewer, layer, event.position)
            if event.type != "mouse_move":
                stroke = replace(self._stroke([*points, point]), is_outside=is_outside)
                if self.stays:
                    line.data = []
                else:
                    self.cancel()
                self.drawn.emit(stroke)
                return
            if np.abs(point - points[-1]).max() >= LEAST_STEP:
                points.append(point)
                line.data = [(np.array(points), "path")]
            yield

    def _stroke(self, points: list[np.ndarray]) -> Stroke:
        layers = self.layers
        frame, viewer = layers.frame, layers.viewer
        assert frame is not None
        keep = [frame.axes.index(letter) for letter in spatial_axes(frame.axes)]
        first = viewer.dims.ndim - frame.ndim
        hidden = [i for i, axis in enumerate(keep) if axis + first not in viewer.dims.displayed]
        at = np.array(points)[:, keep]
        at[:, hidden] = np.rint(at[:, hidden])
        return Stroke(stroke_pixels(layers.shape, at), hidden[0] if layers.ndim == 3 and len(hidden) == 1 else None)
