"""Mistakes of a segmentation as colours: the overlay's pixels, its colours, and its legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from embedseg_napari.core.evaluation.diagnosis import Kind
from embedseg_napari.core.evaluation.error_map import MARK_OF, Mark

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.utils.colormaps import DirectLabelColormap


LAYER_NAME = "Mistakes"


COLORS = {
    Mark.FOUND: "#009e73",
    Mark.EXTRA: "#d55e00",
    Mark.MISSED: "#56b4e9",
    Mark.MERGE: "#f0e442",
    Mark.SPLIT: "#cc79a7",
    Mark.TOO_FAR: "#f2f2f2",
}
"""Told apart by colour-blind eyes too (Okabe and Ito)."""
TITLES = {
    Kind.FOUND: ("True positives", "Pairs of a true and a predicted object whose IoU reaches the threshold."),
    Kind.EXTRA: ("False positives", "Unmatched predicted objects that are not part of a merge or split."),
    Kind.MISSED: ("False negatives", "Unmatched true objects that are not part of a merge or split."),
    Kind.MERGE: ("Merges", "Predicted objects that cover most of two or more true objects."),
    Kind.SPLIT: ("Splits", "True objects that hold most of two or more predicted objects."),
}
TOO_FAR_TITLE = ("Overlap below the IoU", "A false positive and a false negative overlap here, but too little.")


def colormap(shown: Collection[Kind] = tuple(Kind)) -> DirectLabelColormap:
    """Colours of the overlay; kinds that are not shown are clear."""
    from napari.utils.colormaps import DirectLabelColormap

    visible = {MARK_OF[kind] for kind in shown}
    if visible & {Mark.EXTRA, Mark.MISSED}:
        visible.add(Mark.TOO_FAR)
    table: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    for mark, color in COLORS.items():
        table[mark] = color if mark in visible else "transparent"
    return DirectLabelColormap(color_dict=table)


def mark_names() -> list[str]:
    """What each value of the overlay means, 0 first."""
    return ["", *(str(kind) for kind in sorted(Kind, key=MARK_OF.__getitem__)), TOO_FAR_TITLE[0].lower()]


def swatch(color: str) -> QPixmap:
    """Square of a colour with a thin edge, visible on dark and light ground."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(color))
    painter = QPainter(pixmap)
    painter.setPen(QColor("#808080"))
    painter.drawRect(0, 0, 11, 11)
    painter.end()
    return pixmap


class Legend(QWidget):
    """The overlay's colours with the number of each kind; the boxes show and hide kinds."""

    shown_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        self.boxes: dict[Kind, QCheckBox] = {}
        for index, kind in enumerate(Kind):
            title, tip = TITLES[kind]
            box = QCheckBox(title)
            box.setChecked(True)
            box.setIcon(QIcon(swatch(COLORS[MARK_OF[kind]])))
            box.setToolTip(f"{tip} Untick to hide them in the overlay and in the table.")
            box.toggled.connect(self._emit)
            self.boxes[kind] = box
            layout.addWidget(box, index, 0)
        # A box that follows the two kinds it is made of, so that all swatches stand in line.
        self.too_far = QCheckBox(TOO_FAR_TITLE[0])
        self.too_far.setIcon(QIcon(swatch(COLORS[Mark.TOO_FAR])))
        self.too_far.setToolTip(TOO_FAR_TITLE[1])
        self.too_far.setChecked(True)
        self.too_far.setEnabled(False)
        self.too_far.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout.addWidget(self.too_far, len(Kind), 0)

    def _emit(self) -> None:
        self.too_far.setChecked(bool({Kind.EXTRA, Kind.MISSED} & self.shown()))
        self.shown_changed.emit()

    def shown(self) -> set[Kind]:
        """Kinds whose box is ticked."""
        return {kind for kind, box in self.boxes.items() if box.isChecked()}

    def set_counts(self, counts: dict[Kind, int] | None) -> None:
        """Write the number of findings behind each title; None for none."""
        for kind, box in self.boxes.items():
            title = TITLES[kind][0]
            box.setText(title if counts is None else f"{title}: {counts.get(kind, 0)}")
