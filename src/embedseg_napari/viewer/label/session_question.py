"""Asks whether an image belongs to the session that is open, where that is not clear."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.viewer.widgets.boxes import Sentence, button


class SessionQuestion(QWidget):
    """A sentence and two buttons; hidden where nothing is asked."""

    answered = Signal(bool)
    """True for a new session, False for the one that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = Sentence()
        self.new = button(
            "New session",
            "Save and close the session that is open, and begin another one with this image.",
            lambda: self._answer(True),
        )
        self.join = button(
            "Add to session",
            "Annotate this image in the session that is open; training learns from all of its images.",
            lambda: self._answer(False),
        )
        row = QHBoxLayout()
        row.addWidget(self.new)
        row.addWidget(self.join)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addLayout(row)
        self.hide()

    def ask(self, reason: str, can_join: bool) -> None:
        """Show why it is not clear, and offer what is possible."""
        self.sentence.setText(reason)
        self.join.setVisible(can_join)
        self.show()

    def _answer(self, is_new: bool) -> None:
        self.hide()
        self.answered.emit(is_new)
