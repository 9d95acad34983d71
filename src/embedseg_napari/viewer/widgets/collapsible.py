"""A heading with something folded away below it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from embedseg_napari.viewer.widgets.scroll import FittingScroll


class Folded(QWidget):
    """A heading that opens and closes what lies below it.

    Parameters
    ----------
    title : str
        Text of the heading.
    content : QWidget
        Shown while the heading is open.
    tooltip : str
        Shown over the heading.
    """

    def __init__(self, title: str, content: QWidget, tooltip: str = "") -> None:
        super().__init__()
        self.content = content
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tooltip)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet("QToolButton { text-align: left; border: none; padding: 2px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.toggled.connect(self._show)
        self.button.clicked.connect(self._bring_in)
        self._show(False)

    def _show(self, is_open: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.content.setVisible(is_open)

    def _bring_in(self, is_open: bool) -> None:
        """Scroll to what was opened by hand; at the lower edge of a panel nothing of it would be seen."""
        around = self.parentWidget()
        while around is not None and not isinstance(around, FittingScroll):
            around = around.parentWidget()
        if is_open and around is not None:
            around.bring_in(self)

    def unfold(self) -> None:
        """Open it."""
        self.button.setChecked(True)
