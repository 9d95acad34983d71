"""Forms made from settings: range, default and tooltip of every editor come from the field itself."""

from __future__ import annotations

import math
import types
import typing
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.config import Settings
from embedseg_napari.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo
    from qtpy.QtGui import QWheelEvent

LARGEST = 10**6
AUTOMATIC = "automatic"
"""Shown where a setting is left to be derived from the data."""


def label_of(name: str) -> str:
    """Words for a setting's name: ``"batch_size"`` becomes ``"Batch size"``."""
    return name.replace("_", " ").capitalize()


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

    def __init__(self, title: str, content: QWidget, tooltip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        self._show(False)

    def _show(self, is_open: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.content.setVisible(is_open)

    def unfold(self) -> None:
        """Open it."""
        self.button.setChecked(True)


class ConfigForm(QWidget):
    """Editors for the fields of a settings class.

    Parameters
    ----------
    settings : type of Settings
        Class whose fields are edited.
    fields : sequence of str, optional
        Fields shown, in this order; default all.
    groups : mapping of str to sequence of str, optional
        Headings with the fields folded away below each; fields of no group stand above them.
    empty : mapping of str to str, optional
        What fields that may be empty show then; default "automatic".
    """

    changed = Signal()
    """The user, or `set_values`, changed a value."""

    def __init__(
        self,
        settings: type[Settings],
        fields: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        empty: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.settings = settings
        self.empty = dict(empty or {})
        grouped = {name for names in (groups or {}).values() for name in names}
        shown = list(settings.model_fields) if fields is None else list(fields)
        self.editors: dict[str, Editor] = {}
        self.complaints: dict[str, QLabel] = {}
        self.folds: dict[str, Folded] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        plain = [name for name in shown if name not in grouped]
        if plain:
            layout.addWidget(self._rows(plain))
        for title, names in (groups or {}).items():
            fold = Folded(title, self._rows(names, indent=12))
            for name in names:
                self.folds[name] = fold
            layout.addWidget(fold)

    def _rows(self, names: Sequence[str], indent: int = 0) -> QWidget:
        box = QWidget()
        form = QFormLayout(box)
        form.setContentsMargins(indent, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        for name in names:
            editor = editor_for(self.settings.model_fields[name], self.empty.get(name, AUTOMATIC))
            editor.setObjectName(name)
            editor.changed.connect(self._on_change)
            self.editors[name] = editor
            if isinstance(editor, NestedEditor):
                form.addRow(editor)
                continue
            label = QLabel(label_of(name))
            label.setToolTip(editor.toolTip())
            label.setBuddy(editor.focusProxy() or editor)
            form.addRow(label, editor)
            complaint = QLabel()
            complaint.setWordWrap(True)
            complaint.setObjectName("complaint")
            complaint.hide()
            form.addRow(complaint)
            self.complaints[name] = complaint
        return box

    def _on_change(self) -> None:
        for name in self.complaints:
            self.mark(name, "")
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """Values as shown, by field name; nested settings as dictionaries."""
        return {name: editor.value() for name, editor in self.editors.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show the given values; fields that are not named keep theirs."""
        for name, value in values.items():
            if name in self.editors:
                editor = self.editors[name]
                blocked = editor.blockSignals(True)
                editor.set_value(value)
                editor.blockSignals(blocked)
        self._on_change()

    def config(self, **others: Any) -> Settings:
        """Settings of the values shown and of those given; a value that does not fit is marked.

        Raises
        ------
        SettingsError
            Naming the first setting that does not fit, and why.
        """
        for name in self.complaints:
            self.mark(name, "")
        try:
            return self.settings.model_validate({**self.values(), **others})
        except ValidationError as error:
            first = error.errors()[0]
            reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            path = [str(part) for part in first["loc"]]
            name = path[0] if path else ""
            if not name:
                # A check of several fields at once says in words which one it means.
                name = next((one for one in self.complaints if reason.startswith(one)), "")
            sentence = f"{label_of(name)}: {reason.removeprefix(name).strip()}." if name else f"{reason}."
            editor = self.editors.get(name)
            if isinstance(editor, NestedEditor) and len(path) > 1:
                sentence = f"{label_of(path[1])}: {reason}."
                editor.form.mark(path[1], sentence)
            self.mark(name, sentence)
            raise SettingsError(sentence) from error

    def mark(self, name: str, sentence: str) -> None:
        """Show a complaint below a field, or take it away with an empty sentence."""
        complaint = self.complaints.get(name)
        if complaint is None:
            return
        complaint.setText(sentence)
        complaint.setVisible(bool(sentence))
        style = "border: 1px solid #d9534f;" if sentence else ""
        self.editors[name].mark(style)
        complaint.setStyleSheet("color: #d9534f;")
        if sentence and name in self.folds:
            self.folds[name].unfold()


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


class NestedEditor(Editor):
    """Settings within settings, under a heading of their own."""

    def __init__(self, field: FieldInfo, settings: type[Settings]) -> None:
        self.form = ConfigForm(settings)
        box = Folded((field.description or settings.__name__).rstrip("."), self.form)
        super().__init__(box, field)
        self.form.changed.connect(self.changed.emit)

    def value(self) -> dict[str, Any]:
        """The value shown."""
        return self.form.values()

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self.form.set_values(value.model_dump() if isinstance(value, Settings) else value)


def editor_for(field: FieldInfo, empty: str = AUTOMATIC) -> Editor:
    """Make the editor that suits a field, showing its default.

    Raises
    ------
    TypeError
        If no editor knows the field's type.
    """
    kind, optional = _without_none(field.annotation)
    editor: Editor
    if typing.get_origin(kind) is Literal:
        editor = ChoiceEditor(field, [str(choice) for choice in typing.get_args(kind)])
    elif kind is bool:
        editor = BoolEditor(field)
    elif kind in (int, float):
        editor = NumberEditor(field, kind, empty if optional else "")
    elif typing.get_origin(kind) is tuple:
        editor = TupleEditor(field)
    elif isinstance(kind, type) and issubclass(kind, Settings):
        editor = NestedEditor(field, kind)
    else:
        raise TypeError(f"There is no editor for {field.annotation}.")
    editor.set_value(field.default)
    return editor


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


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return parts[0], len(parts) < len(typing.get_args(annotation))
    return annotation, False


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
