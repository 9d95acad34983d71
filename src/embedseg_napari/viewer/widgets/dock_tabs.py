"""Docks of the panels: tabs of one place instead of one below the other, and room for the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QTabBar, QTabWidget

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_CANVAS = 708
"""Width in pixels that is left to the canvas, with its margins, where the panel can be narrower."""


def join_tabs(dock: QDockWidget, others: Iterable[QDockWidget | None]) -> None:
    """Put a dock into the tabs of others of its side and window, as long as the user has not moved those elsewhere.

    Parameters
    ----------
    dock : QDockWidget
        The new one.
    others : iterable of QDockWidget or None
        Docks of the other panels.
    """
    window = dock.parent()
    if not isinstance(window, QMainWindow) or dock.isFloating():
        return
    area = window.dockWidgetArea(dock)
    beside = [
        other
        for other in others
        if other is not None
        and other.parent() is window
        and not (other.isFloating() or other.isHidden())
        and window.dockWidgetArea(other) == area
    ]
    for one in (dock, *beside):
        _shorten_title(one)
    if beside:
        window.setTabPosition(area, QTabWidget.TabPosition.North)
        window.tabifyDockWidget(beside[-1], dock)
        for bar in window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            # Six names have room on a narrow screen; of more, none is cut to a letter that two begin with.
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setStyleSheet("QTabBar::tab { padding-left: 2px; padding-right: 2px; }")


def leave_room(dock: QDockWidget) -> None:
    """Make a dock that is laid out narrower where the canvas has little room beside it."""
    window = dock.parent()
    if not isinstance(window, QMainWindow) or dock.isFloating():
        return
    lacking = LEAST_CANVAS - window.centralWidget().width()
    if lacking > 0:
        window.resizeDocks([dock], [max(dock.width() - lacking, 1)], Qt.Orientation.Horizontal)


def raise_dock(dock: QDockWidget) -> None:
    """Show a dock, before others in the same tabs."""
    dock.show()
    dock.raise_()


def _shorten_title(dock: QDockWidget) -> None:
    """Let the tab say *Segment*: of "EmbedSeg: Segment (embedseg-napari)" a narrow one shows what all begin with.

    Of "Label & Train", whose ampersand Qt would take for the mark of a key, it says *Label*.
    """
    action = dock.toggleViewAction()
    text = action.text()
    dock.setWindowTitle(dock.windowTitle().removeprefix("EmbedSeg: ").partition(" ")[0])
    # The window's menu keeps the whole name.
    action.setText(text)
