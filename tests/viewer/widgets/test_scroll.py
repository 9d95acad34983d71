"""A panel that scrolls brings parts of it into sight."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.scroll import FittingScroll


def test_a_part_that_is_wanted_is_scrolled_to(qtbot):
    content = QWidget()
    column = QVBoxLayout(content)
    buttons = [QPushButton(str(number)) for number in range(30)]
    for one in buttons:
        column.addWidget(one)
    scroll = FittingScroll(content)
    qtbot.addWidget(scroll)
    scroll.resize(200, 150)
    scroll.show()
    assert buttons[-1].visibleRegion().isEmpty()
    scroll.bring_in(buttons[-1])
    qtbot.waitUntil(lambda: buttons[-1].visibleRegion().boundingRect() == buttons[-1].rect())
    assert buttons[0].visibleRegion().isEmpty()


@pytest.mark.parametrize("height", [60, 400])
def test_what_is_opened_by_hand_is_scrolled_to(qtbot, height):
    """All of it, or as much as there is room for below its heading."""
    content, inner = QWidget(), QLabel("inside")
    inner.setFixedHeight(height)
    folded = Folded("More", inner)
    column = QVBoxLayout(content)
    above = QLabel()
    above.setFixedHeight(300)
    column.addWidget(above)
    column.addWidget(folded)
    scroll = FittingScroll(content)
    qtbot.addWidget(scroll)
    scroll.resize(200, 150)
    scroll.show()
    folded.button.click()
    qtbot.waitUntil(lambda: inner.visibleRegion().boundingRect().height() >= min(height, 100))
    assert folded.button.visibleRegion().boundingRect() == folded.button.rect()
