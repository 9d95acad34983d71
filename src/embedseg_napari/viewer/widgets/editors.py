"""Editors for the value of one setting: a tick box, a choice, a number, or one number for each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QVBoxLayout, QWidget

from embedseg_napari.viewer.widgets.boxes import ChoiceBox, FloatBox, IntBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

LARGEST = 10**6
AUTOMATIC = "automatic"
"""Shown where a setting is left to be derived from the data."""


class Editor(QWidget):
    """Edits one value; the base of the kinds below."""

    changed = Signal()

    def __init__(self, inner: QWidget, field: FieldInfo) -> None:
        super().__init__()
        self.inner = inner
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(inner)
        self.setFocusProxy(inner)
        self.setToolTip(field.description or "")
        inner.setToolTip(field.description or "")

    def mark(self, style: str) -> None:
        """Frame the editor in a style, or take the frame away."""
        self.inner.setStyleSheet(f"{type(self.inner).__name__} {{ {style} }}" if style else "")

    def value(self) -> Any:
        """The value shown."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError


class BoolEditor(Editor):
    """A tick box."""

    def __init__(self, field: FieldInfo) -> None:
        self.box = QCheckBox()
        super().__init__(self.box, field)
        self.box.toggled.connect(lambda _: self.changed.emit())

    def value(self) -> bool:
        """The value shown."""
        return bool(self.box.isChecked())

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.box.setChecked(bool(value))


class ChoiceEditor(Editor):
    """A list of words to choose from."""

    def __init__(self, field: FieldInfo, choices: Sequence[str]) -> None:
        self.box = ChoiceBox()
        self.box.addItems(list(choices))
        super().__init__(self.box, field)
        self.box.currentIndexChanged.connect(lambda _: self.changed.emit())

    def value(self) -> str:
        """The value shown."""
        return str(self.box.currentText())

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.box.setCurrentText(str(value))


class NumberEditor(Editor):
    """A number within the field's range; where the field may be empty, its lowest step reads so in words."""

    def __init__(self, field: FieldInfo, kind: type, empty: str) -> None:
        self.kind, self.optional = kind, bool(empty)
        low, high = limits(field, kind)
        self.box = IntBox() if kind is int else FloatBox()
        self.empty = low - 1
        if empty:
            self.box.setSpecialValueText(empty)
            low = self.empty
        self.box.setRange(low, high)
        super().__init__(self.box, field)
        self.box.valueChanged.connect(lambda _: self.changed.emit())

    def value(self) -> float | None:
        """The value shown."""
        value = self.kind(self.box.value())
        return None if self.optional and value <= self.empty else value

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.box.setValue(self.empty if value is None else self.kind(value))


class TupleEditor(Editor):
    """Whole numbers, one for each axis, separated by commas or x; empty means automatic."""

    def __init__(self, field: FieldInfo) -> None:
        self.line = QLineEdit()
        self.line.setPlaceholderText(f"{AUTOMATIC}, or z, y, x")
        super().__init__(self.line, field)
        self.line.editingFinished.connect(self.changed.emit)

    def value(self) -> tuple[Any, ...] | None:
        """The value shown."""
        text = self.line.text().replace("x", " ").replace("\u00d7", " ").replace(",", " ").strip(" ()")
        # What is no number is handed on as it is: validation says so at the field.
        return tuple(int(part) if part.isdecimal() else part for part in text.split()) if text else None

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.line.setText("" if value is None else ", ".join(map(str, value)))


def limits(field: FieldInfo, kind: type) -> tuple[Any, Any]:
    """Lowest and highest value that a field takes; beyond the field's word, 0 (or 1 for None) to a million."""
    low: Any = 0
    high: Any = LARGEST
    for rule in field.metadata:
        # An open bound of a floating-point number is approached as closely as an editor shows.
        step = 1 if kind is int else 1e-6
        low = getattr(rule, "ge", None) if getattr(rule, "ge", None) is not None else low
        high = getattr(rule, "le", None) if getattr(rule, "le", None) is not None else high
        low = rule.gt + step if getattr(rule, "gt", None) is not None else low
        high = rule.lt - step if getattr(rule, "lt", None) is not None else high
    return low, high
