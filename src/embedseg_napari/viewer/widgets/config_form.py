"""Forms made from settings: range, default and tooltip of every editor come from the field itself."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from embedseg_napari.core.config import Settings
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.editors import (
    AUTOMATIC,
    BoolEditor,
    ChoiceEditor,
    Editor,
    NumberEditor,
    TupleEditor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo


def label_of(name: str) -> str:
    """Words for a setting's name: ``"batch_size"`` becomes ``"Batch size"``."""
    return name.replace("_", " ").capitalize()


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
            tip = ", ".join(label_of(name) for name in names)
            fold = Folded(title, self._rows(names, indent=12), f"Settings: {tip}.")
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


class NestedEditor(Editor):
    """Settings within settings, under a heading of their own."""

    def __init__(self, field: FieldInfo, settings: type[Settings]) -> None:
        self.form = ConfigForm(settings)
        title = (field.description or settings.__name__).rstrip(".")
        tip = ", ".join(label_of(name) for name in settings.model_fields)
        box = Folded(title, self.form, f"Settings: {tip}.")
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


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return parts[0], len(parts) < len(typing.get_args(annotation))
    return annotation, False
