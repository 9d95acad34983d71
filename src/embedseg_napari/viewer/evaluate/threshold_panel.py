"""Where thresholds are tuned: the maps to try them on, a table of the scores, and what to do with the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QGridLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from embedseg_napari.viewer.model_list import models, names_of
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, add_row, short
from embedseg_napari.viewer.widgets.image_channel import ImageChannelBox
from embedseg_napari.viewer.widgets.layer_box import LayerBox

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from embedseg_napari.jobs.tune import Tuning
    from embedseg_napari.viewer.provenance import Origin

LOW, HIGH = QColor("#440154"), QColor("#21918c")
"""Ends of the table's colours, dark enough for white numbers."""


class ThresholdPanel(QWidget):
    """Choices and results of a search for thresholds; the search itself is the owner's.

    Parameters
    ----------
    viewer : napari viewer
        Whose image layers may be segmented.
    """

    find_clicked = Signal()
    show_clicked = Signal()
    save_clicked = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.tuning: Tuning | None = None
        intro = QLabel(
            "Tries seed and foreground thresholds on the maps a model computed from the image, against the truth "
            "chosen above."
        )
        intro.setWordWrap(True)
        self.origin: Origin | None = None
        self._listed: tuple[Image | None, int, int] | None = None
        """The image whose channels are listed, how many it has, and how many the model wants."""
        self.model = ChoiceBox(tooltip="Maps in memory from the Segment panel, or a model that computes them again.")
        self.image = LayerBox(viewer, Image, "Image from which the model computes the maps.")
        self.channel = ImageChannelBox("The channel that shows what the model was trained on.")
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, box in (("Maps", self.model), ("Image", self.image.native), ("Channel", self.channel)):
            add_row(self.form, text, box)
        self.find = QPushButton("Find the best thresholds")
        self.find.setToolTip("Try a grid of seed and foreground thresholds, and score each pair against the truth.")
        self.reason = Sentence()
        self.table = QTableWidget(0, 0)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setMinimumSectionSize(20)
        self.table.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.table.setToolTip("Mean AP over IoU 0.5 to 0.9; rows: seed threshold, columns: foreground threshold.")
        self.verdict = Sentence()
        self.show_labels = QPushButton("Show labels")
        self.show_labels.setToolTip("Add the labels at the best thresholds as a layer, and evaluate them.")
        self.save = QPushButton("Save in model…")
        self.save.setToolTip("Store the best thresholds with the model: they become its defaults everywhere.")
        buttons = QGridLayout()
        buttons.addWidget(self.show_labels, 0, 0)
        buttons.addWidget(self.save, 0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        for item in (intro, self.form, self.find, self.reason, self.table, self.verdict, buttons):
            layout.addLayout(item) if isinstance(item, QFormLayout | QGridLayout) else layout.addWidget(item)
        layout.addStretch(1)
        self.find.clicked.connect(self.find_clicked)
        self.show_labels.clicked.connect(self.show_clicked)
        self.save.clicked.connect(self.save_clicked)
        self.model.currentIndexChanged.connect(self._follow_source)
        models.changed.connect(self.refresh_models)
        self.show_tuning(None)
        self.refresh_models()

    def close_down(self) -> None:
        """Follow the list of models no longer."""
        models.changed.disconnect(self.refresh_models)

    def set_origin(self, origin: Origin | None) -> None:
        """Say whether the maps of the prediction are at hand."""
        before, self.origin = self.origin, origin
        if _name(before) != _name(origin):
            self.refresh_models(prefer_origin=True)

    def refresh_models(self, known: object = None, *, prefer_origin: bool = False) -> None:
        """List the sources of maps anew."""
        chosen = self.model.currentData()
        with signals_blocked(self.model):
            self.model.clear()
            if self.origin is not None:
                self.model.addItem(f"in memory, by {self.origin.model_path.stem}", None)
            known = models.all()
            for model, name in zip(known, names_of(known), strict=True):
                self.model.addItem(f"run {name}", model.path)
                self.model.setItemData(self.model.count() - 1, str(model.path), Qt.ItemDataRole.ToolTipRole)
            if chosen is not None and not prefer_origin:
                self.model.setCurrentIndex(max(self.model.findData(chosen), 0))
        self._follow_source()

    def _follow_source(self) -> None:
        is_run = self.model_path() is not None
        self.form.setRowVisible(self.model, self.has_source())
        self.form.setRowVisible(self.image.native, is_run)
        self.form.setRowVisible(self.channel, is_run and self.channel.count() > 1)

    def list_channels(self, n: int, wanted: int) -> None:
        """List the `n` channels of the image, of which the model wants so many."""
        image = self.image.layer()
        about = image, n, wanted
        if about != self._listed:
            self._listed = about
            self.channel.list_of(image, n, wanted)
        self._follow_source()

    def model_path(self) -> Path | None:
        """The model to run, or None if the maps are at hand (or there is no model)."""
        return self.model.currentData()

    def has_source(self) -> bool:
        """Whether there are maps, or a model to make them."""
        return self.model.count() > 0

    def set_reason(self, reason: str) -> None:
        """Disable the search with a reason; enable it with none."""
        self.find.setEnabled(not reason)
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))

    def set_running(self, is_running: bool) -> None:
        """While something runs, nothing else begins."""
        for one in (self.show_labels, self.save):
            one.setEnabled(not is_running)

    def show_tuning(self, tuning: Tuning | None, truth: str = "") -> None:
        """Show what was found with a truth of this name; None clears it."""
        self.tuning = tuning
        for widget in (self.table, self.verdict, self.show_labels, self.save):
            widget.setVisible(tuning is not None)
        if tuning is None:
            return
        found = tuning.thresholds
        seeds = sorted({row[0] for row in found.table})
        foregrounds = sorted({row[1] for row in found.table})
        self.table.setRowCount(len(seeds))
        self.table.setColumnCount(len(foregrounds))
        self.table.setVerticalHeaderLabels([f"seed {v:.2g}" for v in seeds])
        self.table.setHorizontalHeaderLabels([f"fg {v:.2g}" for v in foregrounds])
        low, high = min(row[2] for row in found.table), max(row[2] for row in found.table)
        for seed, foreground, score in found.table:
            is_best = (seed, foreground) == found.best
            item = QTableWidgetItem(f"{score:.2f}")
            item.setToolTip(f"mean AP {score:.3f} with seed {seed:.2g}, foreground {foreground:.2g}")
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            item.setBackground(_blend((score - low) / max(high - low, 1e-9)))
            item.setForeground(QColor("#ffffff"))
            font = item.font()
            font.setBold(is_best)
            font.setUnderline(is_best)
            item.setFont(font)
            self.table.setItem(seeds.index(seed), foregrounds.index(foreground), item)
        self.table.resizeRowsToContents()
        height = sum(self.table.rowHeight(i) for i in range(len(seeds)))
        self.table.setFixedHeight(height + self.table.horizontalHeader().sizeHint().height() + 4)
        best = f"seed {found.seed_threshold:.2g}, foreground {found.foreground_threshold:.2g}"
        if found.best == found.start:
            text = f"The thresholds in use are as good as any: {best}, mean AP {found.score:.3f}."
        else:
            before = f"{found.start_score:.3f} with seed {found.start[0]:.2g}, foreground {found.start[1]:.2g}"
            text = f"Best: {best}; mean AP {found.score:.3f} (before: {before})."
        self.verdict.setText(f"{text} Scored against {short(truth)}.")


def _name(origin: Origin | None) -> str | None:
    return None if origin is None else origin.model_path.stem


def _blend(part: float) -> QColor:
    mixed = [round(a + part * (b - a)) for a, b in zip(LOW.getRgb()[:3], HIGH.getRgb()[:3], strict=True)]
    return QColor(*mixed)
