"""Boxes for one choice or number, for panels that scroll and may be narrow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QSpinBox, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QWheelEvent


ERROR_COLOR = "#d9534f"
"""Of sentences and borders that say what is wrong."""


class _Quiet:
    """Leaves the wheel to the panel that scrolls, unless the editor has the focus: no value changes by accident."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():  # type: ignore[attr-defined]
            super().wheelEvent(event)  # type: ignore[misc]
        else:
            event.ignore()


class ChoiceBox(_Quiet, QComboBox):
    """A list to choose from that may be narrower than its longest entry."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)


class IntBox(_Quiet, QSpinBox):
    """A whole number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


class FloatBox(_Quiet, QDoubleSpinBox):
    """A number written as short as it is exact: 0.001 and 1e-05, not 0.001000."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setDecimals(9)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Text shown for a value."""
        return f"{round(value, 9):.6g}"

    def valueFromText(self, text: str) -> float:
        """Value of a text."""
        if self.specialValueText() and text.strip() in ("", self.specialValueText()):
            return float(self.minimum())
        try:
            return float(text.strip().removesuffix(self.suffix().strip()).replace(",", "."))
        except ValueError:
            return float(self.value())

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Whether a text is a value, or may become one."""
        text = text or ""
        bare = text.strip().removesuffix(self.suffix().strip()).replace(",", ".").strip()
        if self.specialValueText() and text == self.specialValueText():
            return QValidator.State.Acceptable, text, position
        try:
            value = float(bare)
        except ValueError:
            is_beginning = bare.lower() in ("", "-", ".", "-.") or bare.lower().rstrip("+-").endswith("e")
            state = QValidator.State.Intermediate if is_beginning else QValidator.State.Invalid
            return state, text, position
        inside = math.isfinite(value) and self.minimum() <= value <= self.maximum()
        return QValidator.State.Acceptable if inside else QValidator.State.Intermediate, text, position
