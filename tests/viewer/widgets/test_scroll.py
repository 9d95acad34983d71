"""A panel that scrolls brings parts of it into sight."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

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
