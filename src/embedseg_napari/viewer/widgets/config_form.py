"""Forms made from settings: range, default, tooltip and heading of every editor come from the field itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.settings import Settings
from embedseg_napari.viewer.widgets.boxes import Sentence, add_row, frame_wrong
from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.editors import ControlEdit, control_of, editor_for, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from magicgui.widgets.bases import BaseValueWidget
    from pydantic.fields import FieldInfo


def label_of(name: str) -> str:
    """Words for a setting's name: ``"batch_size"`` becomes ``"Batch size"``."""
    return name.replace("_", " ").capitalize()


class ConfigForm(QWidget):
    """Editors for the fields of a settings class.

    Fields with a "group" in their metadata are folded away under its heading; the others stand above.

    Parameters
    ----------
    settings : type of Settings
        Class whose fields are edited.
    leave_out : collection of str
        Fields that keep their default.
    apart : collection of str
        Fields whose editors the owner puts elsewhere.
    """

    changed = Signal()
    """The user, or `set_values`, changed a value."""

    def __init__(self, settings: type[Settings], leave_out: Collection[str] = (), apart: Collection[str] = ()) -> None:
        super().__init__()
        self.settings = settings
        self.editors: dict[str, BaseValueWidget[Any]] = {}
        self.complaints: dict[str, Sentence] = {}
        self.folds: dict[str, Folded] = {}
        groups: dict[str, list[str]] = {}
        for name, field in settings.model_fields.items():
            if name in leave_out:
                continue
            extra = field.json_schema_extra
            group = str(extra.get("group", "")) if isinstance(extra, dict) else ""
            editor = NestedEdit(field) if _is_nested(field) else editor_for(field)
            editor.changed.connect(self._on_change)
            self.editors[name] = editor
            if name not in apart:
                groups.setdefault(group, []).append(name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for title, names in sorted(groups.items(), key=lambda group: bool(group[0])):
            rows = self._rows(names, indent=12 if title else 0)
            if title:
                rows = fold = folded_settings(title, rows, names)
                self.folds |= dict.fromkeys(names, fold)
            layout.addWidget(rows)

    def _rows(self, names: Sequence[str], indent: int) -> QWidget:
        box = QWidget()
        form = QFormLayout(box)
        form.setContentsMargins(indent, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        # Headings below single rows: what follows them would look like theirs.
        for name in sorted(names, key=lambda name: isinstance(self.editors[name], NestedEdit)):
            editor = self.editors[name]
            if isinstance(editor, NestedEdit):
                form.addRow(editor.native)
                continue
            add_row(form, label_of(name), control_of(editor), editor.native)
            self.complaints[name] = Sentence()
            self.complaints[name].hide()
            form.addRow(self.complaints[name])
        return box

    def _on_change(self) -> None:
        self.clear_marks()
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """Values as shown, by field name; nested settings as dictionaries."""
        return {name: editor.value for name, editor in self.editors.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show the given values; fields that are not named keep theirs."""
        for name in values.keys() & self.editors.keys():
            editor = self.editors[name]
            with editor.changed.blocked():
                editor.value = values[name]
        self._on_change()

    def config(self) -> Settings:
        """Settings of the values shown; a value that does not fit is marked.

        Raises
        ------
        SettingsError
            Naming the first setting that does not fit, and why.
        """
        self.clear_marks()
        try:
            return self.settings.model_validate(self.values())
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
            if isinstance(editor, NestedEdit) and len(path) > 1:
                sentence = f"{label_of(path[1])}: {reason}."
                editor.form.mark(path[1], sentence)
            self.mark(name, sentence)
            raise SettingsError(sentence) from error

    def mark(self, name: str, sentence: str) -> None:
        """Show a complaint below a field, or take it away with an empty sentence."""
        complaint = self.complaints.get(name)
        if complaint is None:
            return
        complaint.complain(sentence)
        control = control_of(self.editors[name])
        frame_wrong(control, bool(sentence))
        if sentence and name in self.folds:
            self.folds[name].unfold()

    def clear_marks(self) -> None:
        """Take all complaints away."""
        for name, complaint in self.complaints.items():
            if complaint.text():
                self.mark(name, "")


class NestedEdit(ControlEdit):
    """Settings within settings, under a heading of their own."""

    def __init__(self, field: FieldInfo) -> None:
        settings = field.annotation
        assert isinstance(settings, type)
        self.form = ConfigForm(settings)
        title = (field.description or settings.__name__).rstrip(".")
        super().__init__(folded_settings(title, self.form, settings.model_fields), value=field.default)
        self.form.changed.connect(self.tell)

    def get_value(self) -> dict[str, Any]:
        """Read the values shown."""
        return self.form.values()

    def set_value(self, value: Settings | Mapping[str, Any]) -> None:
        """Show values."""
        self.form.set_values(value.model_dump() if isinstance(value, Settings) else value)


def folded_settings(title: str, rows: QWidget, names: Collection[str]) -> Folded:
    """Rows of settings under a heading that names them in its tooltip."""
    return Folded(title, rows, f"Settings: {', '.join(label_of(name) for name in names)}.")


def _is_nested(field: FieldInfo) -> bool:
    kind, _ = kind_of(field)
    return isinstance(kind, type) and issubclass(kind, Settings)
