"""A row to choose a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QWidget,
)

from embedseg_napari.core.files.names import from_home
from embedseg_napari.viewer.widgets.boxes import frame_wrong

if TYPE_CHECKING:
    from pathlib import Path


class FolderField(QWidget):
    """A folder, typed or browsed."""

    changed = Signal()

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        self.title = title
        self.edit = QLineEdit()
        self.edit.setPlaceholderText("folder of label TIFFs")
        self.edit.setToolTip(tip)
        self.edit.setAccessibleName(title)
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip(f"Choose the folder. {tip}")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit)
        layout.addWidget(self.browse)
        self.edit.textChanged.connect(self._check)
        self.browse.clicked.connect(self._choose)
        self._check()

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.title, self.edit.text())
        if folder:
            self.edit.setText(folder)

    def _check(self) -> None:
        frame_wrong(self.edit, bool(self.edit.text().strip() and self.fault()))
        self.changed.emit()

    def path(self) -> Path:
        """The folder."""
        return from_home(self.edit.text().strip())

    def fault(self) -> str:
        """Why it cannot be used; empty if it can."""
        if not self.edit.text().strip():
            return f"Choose the {self.title.lower()}."
        # Unlike a `Path`, this takes a place that cannot be reached for one where nothing is.
        return "" if os.path.isdir(self.path()) else f"{self.path()}: there is no such folder."
