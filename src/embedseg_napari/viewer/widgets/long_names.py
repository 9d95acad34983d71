"""Long names are cut in the middle: their ends tell them apart as often as their beginnings."""

from __future__ import annotations

import re

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

MOST_LETTERS = 24
"""Of a name in a sentence: a label is as wide as its longest word, and so is the panel."""
UNIT = re.compile(r"(?<=\d) (?=(?:%|px|µm|s|min|GB|MB)(?!\w)|x \d)|(?<=\d x) (?=\d)")
"""The space between a number and what belongs to it."""
SHORT = Qt.ItemDataRole.UserRole + 1
"""Role of what is shown of an entry of a list where the whole has no room."""
MARGIN = 4
"""Pixels that styles leave between the field of a list and its text."""


def cut(name: str, most: int = MOST_LETTERS) -> str:
    """A name of at most so many letters, with an ellipsis in its middle where it is longer."""
    if len(name) <= most:
        return name
    head = most // 2
    tail = most - head - 1
    return f"{name[:head]}…{name[len(name) - tail :]}"


def with_short_words(text: str) -> str:
    """A plain text whose words fit into a panel: paths may break at their separators, other long words are cut.

    Numbers stay on the line of their unit.
    """
    return UNIT.sub("\N{NO-BREAK SPACE}", re.sub(r"[^\s/\\\u200b-]+|[/\\](?=\S)", _short_word, text))


def _short_word(found: re.Match[str]) -> str:
    word = found.group()
    # A space of no width.
    return f"{word}\u200b" if word in "/\\" else cut(word)


def draw_cut(box: QComboBox) -> None:
    """Draw a list's chosen entry with its middle left out where it is too long, where Qt leaves out the end."""
    painter, option = QStylePainter(box), QStyleOptionComboBox()
    box.initStyleOption(option)
    painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
    # Qt's own drawing puts the hint there only after this.
    text = option.currentText if box.currentIndex() >= 0 else box.placeholderText()
    room = _room(box, option)
    if option.fontMetrics.horizontalAdvance(text) > room:
        text = box.currentData(SHORT) or text
    option.currentText = option.fontMetrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room)
    painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def show_whole(box: QComboBox, event: QEvent) -> bool:
    """Show a list's chosen entry above its tooltip where it is too long to be read; False where it is not."""
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    if option.fontMetrics.horizontalAdvance(option.currentText) <= _room(box, option):
        return False
    QToolTip.showText(event.globalPos(), "\n".join(filter(None, (option.currentText, box.toolTip()))), box)
    return True


def _room(box: QComboBox, option: QStyleOptionComboBox) -> int:
    """Width in pixels of the text of a list."""
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    return int(field.width()) - MARGIN
