"""The page of the panel: one box below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGroupBox, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable


def page_of(**groups: Iterable[QWidget]) -> tuple[QWidget, list[QGroupBox]]:
    """Lay out groups of controls under their titles.

    Returns
    -------
    page : QWidget
        All of it, as narrow as its controls allow.
    boxes : list of QGroupBox
        The groups.
    """
    page = QWidget()
    inner = QVBoxLayout(page)
    # Beside a panel no wider than this the canvas has 700 pixels of a screen of 1366.
    inner.setContentsMargins(4, 8, 4, 8)
    boxes = []
    for title, contents in groups.items():
        box = QGroupBox(title)
        column = QVBoxLayout(box)
        column.setContentsMargins(4, 6, 4, 6)
        for content in contents:
            column.addWidget(content)
        inner.addWidget(box)
        boxes.append(box)
    inner.addStretch(1)
    for label in page.findChildren(QLabel):
        if label.wordWrap():
            # Names may be long words; they must not make the panel wide.
            label.setMinimumWidth(1)
    return page, boxes
