"""Splitting and merging objects by a stroke: two buttons with keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.annotation.strokes import StrokeEdit, merge_shown, split_shown
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.viewer.label.drawing.stroke_tool import Stroke, StrokeTool
from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

HINTS = {
    "split": "Drag across the object to be cut, from edge to edge; Esc cancels.",
    "merge": "Drag from one object into the other; Esc cancels.",
}


class StrokeBox(QWidget):
    """Two buttons, and a line that says what to do while a stroke is waited for.

    Parameters
    ----------
    layers : AnnotationLayers
        What is edited.
    predicted : callable
        Returns the predicted objects ((Z,) Y, X) that are seen under the annotation, or None.
    """

    begun = Signal()
    """A stroke is waited for."""
    edited = Signal()
    """A stroke has changed the annotation."""

    def __init__(self, layers: AnnotationLayers, predicted: Callable[[], np.ndarray | None]) -> None:
        super().__init__()
        self.layers, self.predicted = layers, predicted
        self.tool = StrokeTool(layers)
        self.waits_for = ""
        """What the next stroke does: split, merge, or nothing."""
        self.line = Sentence()
        self.split = self._button(
            "Split (S)",
            "s",
            "split",
            "Cut a painted or predicted object along a line that you drag across it; the parts of a predicted "
            "object are accepted. In a volume the cut goes straight through all planes of the object.",
        )
        self.merge = self._button(
            "Merge (G)",
            "g",
            "merge",
            "Drag a line through painted or predicted objects to join them into one; it is accepted if any of them "
            "was not painted by hand. In a volume they are joined on all planes.",
        )
        row = QHBoxLayout()
        row.addWidget(self.split)
        row.addWidget(self.merge)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.line)
        self.tool.drawn.connect(self._take)
        self.tool.ended.connect(self._end)
        layers.changed.connect(self.refresh)
        self._end()

    def refresh(self) -> None:
        """Offer strokes where there is an annotation."""
        for button in (self.split, self.merge):
            button.setEnabled(self.layers.labels is not None)

    def _button(self, text: str, key: str, action: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        button.setToolTip(f"{tip} Ctrl+Z on the annotation layer undoes it.")
        button.clicked.connect(lambda is_on: self._begin(action) if is_on else self.tool.cancel())
        self.layers.add_key(key, lambda layer: self._begin(action))
        return button

    def _begin(self, action: str) -> None:
        try:
            self.tool.begin()
        except EmbedSegError as error:
            self._end()
            report_error(error)
            return
        self.waits_for = action
        self.split.setChecked(action == "split")
        self.merge.setChecked(action == "merge")
        self.line.setText(HINTS[action])
        self.line.show()
        self.begun.emit()

    def _end(self) -> None:
        self.split.setChecked(False)
        self.merge.setChecked(False)
        self.line.hide()
        self.refresh()

    def _take(self, stroke: Stroke) -> None:
        labels, accepted, predicted = self.layers.array(), self.layers.accepted, self.predicted()
        try:
            found: StrokeEdit
            if self.waits_for == "split":
                found = split_shown(labels, predicted, stroke.pixels, accepted, stroke.through)
            else:
                found = merge_shown(labels, predicted, stroke.pixels, accepted)
        except EmbedSegError as error:
            report_error(error)
            return
        self.layers.apply(found.edit, found.accepted_ids)
        self.edited.emit()
