"""Editors for the value of one setting: magicgui's, and our own where its numbers are not enough."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValuedContainerWidget
from qtpy.QtWidgets import QLineEdit, QWidget

from embedseg_napari.viewer.widgets.boxes import FloatBox, WholeBox, fit_into_panel

if TYPE_CHECKING:
    from magicgui.widgets.bases import BaseValueWidget
    from pydantic.fields import FieldInfo

LARGEST = 10**6
SMALLEST = 1e-6
"""An open bound of a floating-point number is approached as closely as this."""
AUTOMATIC = "automatic"
"""Shown where a setting is left to be derived from the data."""


class ControlEdit(ValuedContainerWidget[Any]):
    """A value of magicgui's that a control of Qt edits.

    Parameters
    ----------
    control : QWidget
        Edits the value.
    **options
        For the widget: `value`, `tooltip`, ...
    """

    def __init__(self, control: QWidget, **options: Any) -> None:
        self.control = control
        super().__init__(**options)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(control)
        control.setToolTip(self.tooltip or "")

    def tell(self, *_: object) -> None:
        """Announce the value."""
        self.changed.emit(self.value)


class NumberEdit(ControlEdit):
    """A number within bounds, written short; where it may be empty, a cleared box and its lowest step read so in words.

    Magicgui's own spin boxes know no empty value, and write 0.002 as 0.002000 where a millionth must be possible.

    Parameters
    ----------
    kind : {int, float}
        Kind of the number.
    low, high : number
        Bounds.
    empty : str
        Shown for None; without it there is none.
    **options
        For the widget.
    """

    def __init__(self, kind: type, low: float, high: float, empty: str = "", **options: Any) -> None:
        self.kind = kind
        self.empty = low - 1 if empty else None
        box = WholeBox() if kind is int else FloatBox()
        fit_into_panel(box)
        box.setSpecialValueText(empty)
        box.setRange(low if self.empty is None else self.empty, high)
        super().__init__(box, **options)
        box.valueChanged.connect(self.tell)

    def get_value(self) -> float | None:
        """Read the value shown."""
        value = self.kind(self.control.value())
        return None if value == self.empty else value

    def set_value(self, value: float | None) -> None:
        """Show a value."""
        self.control.setValue(self.empty if value is None else value)


class SizesEdit(ControlEdit):
    """Whole numbers, one for each axis, separated by commas or x; empty means automatic."""

    def __init__(self, **options: Any) -> None:
        line = QLineEdit()
        line.setPlaceholderText(f"{AUTOMATIC}, or z, y, x")
        super().__init__(line, **options)
        line.editingFinished.connect(self.tell)

    def get_value(self) -> tuple[Any, ...] | None:
        """Read the value shown."""
        text = self.control.text().replace("x", " ").replace("\u00d7", " ").replace(",", " ").strip(" ()")
        # What is no number is handed on as it is: validation says so at the field.
        return tuple(int(part) if part.isdecimal() else part for part in text.split()) if text else None

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.control.setText("" if value is None else ", ".join(map(str, value)))


def control_of(editor: BaseValueWidget[Any]) -> QWidget:
    """The control of Qt that a person works with."""
    return editor.control if isinstance(editor, ControlEdit) else editor.native


def kind_of(field: FieldInfo) -> tuple[Any, bool]:
    """Type of a field's values apart from None, and whether None is one."""
    annotation = field.annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return parts[0], len(parts) < len(typing.get_args(annotation))
    return annotation, False


def editor_for(field: FieldInfo) -> BaseValueWidget[Any]:
    """Make the editor that suits a field, showing its default.

    What the editor shows for None stands under "empty" in the field's metadata.

    Raises
    ------
    ValueError
        If no editor knows the field's type.
    """
    kind, is_optional = kind_of(field)
    options: dict[str, Any] = {"tooltip": field.description}
    if typing.get_origin(kind) is tuple:
        return SizesEdit(value=field.default, **options)
    if kind is float or (kind is int and is_optional):
        extra = field.json_schema_extra
        words = extra.get("empty", AUTOMATIC) if isinstance(extra, dict) else AUTOMATIC
        return NumberEdit(kind, *limits(field, kind), str(words) if is_optional else "", value=field.default, **options)
    if kind is int:
        options["min"], options["max"] = limits(field, kind)
        options["step"] = 1
    elif kind is bool:
        options["text"] = ""
    editor = create_widget(field.default, kind, options=options)
    fit_into_panel(editor.native)
    return editor


def limits(field: FieldInfo, kind: type) -> tuple[Any, Any]:
    """Lowest and highest value that a field takes; where it names none, 0 and a million."""
    low: Any = 0
    high: Any = LARGEST
    step = 1 if kind is int else SMALLEST
    for rule in field.metadata:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
        low = rule.gt + step if hasattr(rule, "gt") else low
        high = rule.lt - step if hasattr(rule, "lt") else high
    return low, high
