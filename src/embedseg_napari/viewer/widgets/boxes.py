"""Boxes for one choice or number, for panels that scroll and may be narrow."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSpinBox,
    QToolTip,
    QWidget,
)

from embedseg_napari.core.config import MAX_CHANNELS
from embedseg_napari.viewer.widgets.long_names import cut, draw_cut, show_whole, with_short_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


ERROR_COLOR = "#d9534f"
"""Of sentences and borders that say what is wrong."""
MOST_WRITTEN_OUT = 1e10
"""Whole numbers from here on are written with an exponent."""


class _Fitted(QObject):
    """Leaves the wheel to the panel that scrolls, unless the control has the focus: no value changes by accident.

    The chosen entry of a list is cut in the middle where it is too long.
    """

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or not isinstance(watched, QWidget):
            return False
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        if isinstance(watched, QComboBox) and not watched.isEditable():
            if event.type() == QEvent.Type.Paint:
                draw_cut(watched)
                return True
            if event.type() == QEvent.Type.ToolTip:
                return show_whole(watched, event)
        return False


def fit_into_panel(control: QWidget) -> None:
    """Let a panel scroll past a control, and a list be narrower than its longest entry."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.installEventFilter(_Fitted(control))
    if isinstance(control, QComboBox):
        control.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        control.setMinimumContentsLength(5)
        control.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)


def short(name: str) -> str:
    """A name that does not fill the panel."""
    return cut(name)


class Sentence(QLabel):
    """Text that wraps and can be copied; a word wider than the panel is cut in the middle, and shown whole below."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._whole = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setText(text)

    def text(self) -> str:
        """The whole text."""
        return self._whole

    def setText(self, text: str) -> None:
        """Show a text."""
        self._whole = text
        is_plain = self.textFormat() == Qt.TextFormat.PlainText or not Qt.mightBeRichText(text)
        super().setText(with_short_words(text) if is_plain else text)

    def clear(self) -> None:
        """Show nothing."""
        self.setText("")

    def event(self, event: QEvent) -> bool:
        """Show the whole text above the mouse, where it is cut and nothing else is to be said."""
        is_cut = "…" in super().text() and super().text() != self._whole
        if event.type() == QEvent.Type.ToolTip and is_cut and not self.toolTip():
            QToolTip.showText(event.globalPos(), self._whole, self)
            return True
        return bool(super().event(event))

    def say(self, text: str, is_wrong: bool = False) -> None:
        """Show a sentence."""
        set_style(self, f"color: {ERROR_COLOR};" if is_wrong else "")
        self.setText(text)

    def complain(self, text: str) -> None:
        """Show what is wrong, or with an empty sentence nothing at all."""
        self.say(text, is_wrong=True)
        self.setVisible(bool(text))


def set_style(widget: QWidget, sheet: str) -> None:
    """Give a widget a style sheet, if it has another: Qt takes about a millisecond for each it is given."""
    if widget.styleSheet() != sheet:
        widget.setStyleSheet(sheet)


def frame_wrong(field: QWidget, is_wrong: bool) -> None:
    """Draw a red frame around a field that is wrong, and none around its parts; or take it away."""
    set_style(field, f"{type(field).__name__} {{ border: 1px solid {ERROR_COLOR}; }}" if is_wrong else "")


def add_row(form: QFormLayout, text: str, control: QWidget, whole: QWidget | QLayout | None = None) -> None:
    """Add a control to a form, beside a label with its tooltip.

    Parameters
    ----------
    form : QFormLayout
        Where it is added.
    text : str
        Of the label.
    control : QWidget
        What a click on the label works.
    whole : QWidget or QLayout, optional
        What stands beside the label, if the control is only part of it.
    """
    label = QLabel(text)
    label.setToolTip(control.toolTip())
    label.setBuddy(control)
    form.addRow(label, whole or control)


def button(text: str, tooltip: str, action: Callable[[], object]) -> QPushButton:
    """A button that does something."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.clicked.connect(lambda _: action())
    return made


class ChoiceBox(QComboBox):
    """A list to choose from that may be narrower than its longest entry.

    Parameters
    ----------
    choices : iterable of str
        What can be chosen.
    tooltip : str
        Says what is chosen here.
    """

    def __init__(self, choices: Iterable[str] = (), tooltip: str = "") -> None:
        super().__init__()
        fit_into_panel(self)
        self.addItems(list(choices))
        self.setToolTip(tooltip)


def device_box() -> ChoiceBox:
    """A list of the devices that a computer like this one may have."""
    gpu = "mps" if sys.platform == "darwin" else "cuda"
    return ChoiceBox(("auto", "cpu", gpu), "Where to compute; auto takes a GPU if there is one.")


def channel_box(tooltip: str) -> ChoiceBox:
    """A list of the channels that images of a folder may have: ``"all"``, ``"mean"`` or a number."""
    box = ChoiceBox(("all", "mean of all", *map(str, range(MAX_CHANNELS + 1))), tooltip)
    for index, channel in enumerate(("all", "mean", *range(MAX_CHANNELS + 1))):
        box.setItemData(index, channel)
    return box


class WholeNumberBox(QSpinBox):
    """A whole number; where the lowest stands for a word, such as *automatic*, an emptied box means that word."""

    def __init__(self) -> None:
        super().__init__()
        fit_into_panel(self)

    def valueFromText(self, text: str | None) -> int:
        """Value of a text."""
        return self.minimum() if _means_special(self, text) else super().valueFromText(text)

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Whether a text is a value, or may become one."""
        if _means_special(self, text):
            return QValidator.State.Acceptable, text or "", position
        return super().validate(text, position)


def _means_special(box: QAbstractSpinBox, text: str | None) -> bool:
    """Whether a text stands for the word that the lowest value is shown as."""
    return bool(box.specialValueText()) and (text or "").strip() in ("", box.specialValueText())


class FloatBox(QDoubleSpinBox):
    """A number written as short as it is exact: 0.001, 1e-05 and 4294967295, not 0.001000."""

    def __init__(self) -> None:
        super().__init__()
        fit_into_panel(self)
        self.setDecimals(9)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Text shown for a value."""
        return f"{value:.0f}" if value.is_integer() and abs(value) < MOST_WRITTEN_OUT else f"{round(value, 9):.6g}"

    def valueFromText(self, text: str) -> float:
        """Value of a text."""
        if _means_special(self, text):
            return float(self.minimum())
        try:
            return float(text.strip().removesuffix(self.suffix().strip()).replace(",", "."))
        except ValueError:
            return float(self.value())

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Whether a text is a value, or may become one."""
        text = text or ""
        bare = text.strip().removesuffix(self.suffix().strip()).replace(",", ".").strip()
        if _means_special(self, text):
            return QValidator.State.Acceptable, text, position
        try:
            value = float(bare)
        except ValueError:
            is_beginning = bare.lower() in ("", "-", ".", "-.") or bare.lower().rstrip("+-").endswith("e")
            state = QValidator.State.Intermediate if is_beginning else QValidator.State.Invalid
            return state, text, position
        inside = math.isfinite(value) and self.minimum() <= value <= self.maximum()
        return QValidator.State.Acceptable if inside else QValidator.State.Intermediate, text, position
