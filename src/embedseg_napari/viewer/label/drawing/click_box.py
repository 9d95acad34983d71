"""Annotating by clicks: a click shows an object at once, strokes add to it or cut, Enter accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.annotation.click import object_under
from embedseg_napari.core.annotation.edits import paint_object
from embedseg_napari.core.annotation.states import next_free_label
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.label.drawing.stroke_tool import Stroke, StrokeTool
from embedseg_napari.viewer.layers import PREVIEW, RESULT, cut_from
from embedseg_napari.viewer.result_layers import THROUGH, is_shown, show_labels
from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from napari.layers import Labels

    from embedseg_napari.core.annotation.click import ClickedObject
    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.label.drawing.click_maps import ClickMaps

KEY, OBJECT = "c", "clicked object"
TIP = (
    "Click on an object, and it is found at once: by what the model has learned, or by brightness and shape where that "
    "knows nothing. Click or drag inside it to add what was missed, with Shift outside of it to cut; Enter accepts it, "
    "Esc drops it. Ctrl+Z on the annotation layer undoes what was accepted."
)
HINT, BESIDE = "Click on an object.", "The image is not there; click on an object in it."
NO_OBJECT = "Click on an object first; with Shift you cut from it."
SHOWN = "Enter accepts · click or drag adds · with Shift cuts · Esc drops"


class ClickBox(QWidget):
    """A button, and a line that says what was found and what to do next.

    Parameters
    ----------
    layers : AnnotationLayers
        What is annotated.
    maps : ClickMaps
        What objects are found by.
    """

    edited = Signal()
    """An object was accepted."""

    def __init__(self, layers: AnnotationLayers, maps: ClickMaps) -> None:
        super().__init__()
        self.layers, self.maps = layers, maps
        self.tool = StrokeTool(layers, stays=True)
        self.found: ClickedObject | None = None
        """The object that is shown."""
        self._inside: list[Indices] = []
        self._outside: list[Indices] = []
        self.shown: Labels | None = None
        self.button, self.line = QPushButton("Click on objects (C)"), Sentence()
        self.button.setCheckable(True)
        self.button.setToolTip(TIP)
        self.button.clicked.connect(lambda is_on: self.begin() if is_on else self.tool.cancel())
        layers.add_key(KEY, lambda layer: self.tool.cancel() if self.tool.is_waiting else self.begin())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.line)
        self.tool.drawn.connect(self._take)
        self.tool.ended.connect(self._end)
        layers.changed.connect(self.refresh)
        maps.changed.connect(self._on_maps)
        self._end()

    def begin(self) -> None:
        """Wait for clicks."""
        try:
            self.tool.begin()
            self.maps.begin()
        except EmbedSegError as error:
            self.tool.cancel()
            self._end()
            report_error(error)
            return
        labels = self.layers.labels
        assert labels is not None
        # Napari takes much longer to make a layer than to change it: not at the first click.
        self._show(tuple(np.zeros(1, np.int64) for _ in self.layers.shape), 0)
        labels.bind_key("Enter", lambda layer: self.accept(), overwrite=True)
        labels.bind_key("Escape", lambda layer: self.drop() if self.found else self.tool.cancel(), overwrite=True)
        self.button.setChecked(True)
        self._say()
        self.line.show()

    def refresh(self) -> None:
        """Offer clicks where there is an annotation."""
        self.button.setEnabled(self.layers.labels is not None)

    def accept(self) -> None:
        """Make the shown object one of the annotation."""
        found = self.found
        if found is None or self.shown is None or not is_shown(self.layers.viewer, self.shown):
            # Nothing is accepted that is not seen.
            self.drop()
            return
        labels = self.layers.array()
        edit, new_id = paint_object(labels, found.pixels, next_free_label(labels)), next_free_label(labels)
        self.drop()
        self.maps.learn(found.pixels)
        self.layers.apply(edit, [new_id])
        self.edited.emit()

    def drop(self) -> None:
        """Forget the shown object."""
        if self.found is not None:
            self.layers.clicked.emit(None)
        self.found = None
        self._inside, self._outside = [], []
        if self.shown is not None and is_shown(self.layers.viewer, self.shown):
            self.shown.data = np.zeros_like(self.shown.data)
        self._say()

    def _end(self) -> None:
        self.drop()
        layer, self.shown = self.shown, None
        if layer is not None and is_shown(self.layers.viewer, layer):
            self.layers.viewer.layers.remove(layer)
        labels = self.layers.labels
        if labels is not None:
            labels.bind_key("Enter", None)
        self.button.setChecked(False)
        self.line.hide()
        self.refresh()

    def _take(self, stroke: Stroke) -> None:
        if not len(stroke.pixels[0]) or (stroke.is_outside and self.found is None):
            self._say(NO_OBJECT if len(stroke.pixels[0]) else BESIDE)
            return
        strokes = self._outside if stroke.is_outside else self._inside
        strokes.append(stroke.pixels)
        try:
            self._find()
        except EmbedSegError as error:
            strokes.pop()
            report_error(error)

    def _find(self) -> None:
        first = tuple(int(axis[len(axis) // 2]) for axis in self._inside[0])
        around = self.maps.surroundings(first)
        self.found = object_under(around, self._inside, self._outside, self.layers.array())
        self._show(self.found.pixels)
        self.layers.clicked.emit(self.found.pixels)
        self._say()

    def _on_maps(self) -> None:
        """Maps have come while an object is shown that was found without."""
        if self.found is not None and not self.found.is_known:
            self._find()
        elif self.tool.is_waiting:
            self._say()

    def _show(self, pixels: Indices, value: int = 1) -> None:
        frame, viewer, image = self.layers.frame, self.layers.viewer, self.layers.image
        assert frame is not None
        assert image is not None
        first = [int(axis.min()) for axis in pixels]
        mask = np.zeros([int(axis.max()) - low + 1 for axis, low in zip(pixels, first, strict=True)], np.int32)
        mask[tuple(axis - low for axis, low in zip(pixels, first, strict=True))] = value
        self.shown = show_labels(
            viewer, OBJECT, mask, frame=frame.at(first), into=self.shown,
            metadata={RESULT: PREVIEW} | cut_from(image, first),
            colormap={None: "transparent", 1: "#ffe14d"}, opacity=0.6, blending=THROUGH,
        )  # fmt: skip

    def _say(self, problem: str = "") -> None:
        if self.found is None:
            waiting = " The model is looking at the image; until then, brightness and shape decide."
            self.line.setText((problem or HINT) + (waiting if self.maps.is_computing else ""))
            return
        by = "by the model" if self.found.is_known else "by brightness and shape"
        self.line.setText(f"{count(len(self.found.pixels[0]), 'pixel')}, {by}. {SHOWN}")
