"""The window *Models*: what there is, what each model says of itself, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QListWidget,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.model.card import model_card
from embedseg_napari.core.model.model_file import SUFFIX
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.models.calibrate_dialog import CalibrateDialog
from embedseg_napari.viewer.models.describe_dialog import describe_dialog
from embedseg_napari.viewer.models.window import Window
from embedseg_napari.viewer.widgets.boxes import Sentence, button
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.model.known_models import LibraryModel
    from embedseg_napari.viewer.worker import BackgroundRun

IMPORT_FILTER = "Models (*.embedseg *.pth *.pt *.zip);;All files (*)"
EXPORT_FILTER = "Model file (*.embedseg);;bioimage.io package (*.zip)"
KINDS = (SUFFIX, ".zip")


class ModelManager(Window):
    """Lists the models with a name; renames, copies, describes, calibrates, deletes, imports and exports them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("EmbedSeg models")
        self.resize(820, 460)
        self.list = QListWidget()
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setAccessibleName("Models")
        self.card = QWidget()
        self.rows = QFormLayout(self.card)
        self.status = Sentence()
        self.rename = self._button("Rename…", "Give this model another name.", self._rename)
        self.duplicate = self._button("Duplicate…", "Copy this model under another name.", self._duplicate)
        self.describe = self._button("Describe…", "Write what this model is for, and its licence.", self._describe)
        self.calibrate = self._button(
            "Calibrate…", "Make this model ready for 8-bit integers, which OpenVINO computes faster.", self._calibrate
        )
        self.delete = self._button("Delete…", "Move this model to the system's trash.", self._delete)
        self.take_in = self._button(
            "Import…",
            "Copy a model file here: .embedseg, .pth of the original EmbedSeg (with its JSON files beside it), or a "
            ".zip of bioimage.io exported by this program.",
            self._import,
        )
        self.hand_out = self._button(
            "Export…", "Save this model as a file to share, or as a bioimage.io package.", self._export
        )
        self._models: list[LibraryModel] = []
        self._current: BackgroundRun | None = None
        self.calibration: CalibrateDialog | None = None
        """The one opened last."""
        self._lay_out()
        self.list.currentRowChanged.connect(lambda _: self._show_model())
        models.changed.connect(self._follow)
        self.refresh()

    def _button(self, text: str, tip: str, action: Callable[[], None]) -> QPushButton:
        made = button(text, tip, action)
        made.setAutoDefault(False)
        return made

    def _lay_out(self) -> None:
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.card)
        middle = QHBoxLayout()
        middle.addWidget(self.list, 2)
        middle.addWidget(scroll, 3)
        buttons = QGridLayout()
        close = self._button("Close", "Close this window.", self.close)
        own = (self.rename, self.duplicate, self.describe, self.calibrate, self.delete)
        for column, one in enumerate((*own, self.take_in, self.hand_out, close)):
            buttons.addWidget(one, 0, column)
        layout = QVBoxLayout(self)
        layout.addLayout(middle, 1)
        layout.addWidget(self.status)
        layout.addLayout(buttons)

    @property
    def chosen(self) -> LibraryModel | None:
        """The model that the buttons act on."""
        row = self.list.currentRow()
        return self._models[row] if 0 <= row < len(self._models) else None

    def refresh(self, name: str | None = None) -> None:
        """List the models anew, and choose one by name."""
        if name is None and self.chosen is not None:
            name = self.chosen.name
        self._models = models.library.models()
        names = [model.name for model in self._models]
        with signals_blocked(self.list):
            self.list.clear()
            self.list.addItems([model.name + (" (bundled)" if model.is_bundled else "") for model in self._models])
            self.list.setCurrentRow(names.index(name) if name in names else 0)
        self._show_model()

    def close_down(self) -> None:
        """Follow the list of models no longer; a job that goes on does not call back."""
        models.changed.disconnect(self._follow, missing_ok=True)
        if self.calibration is not None:
            self.calibration.close_down()
        if self._current is not None:
            self._current.detach()
            self._current = None

    def _follow(self, _: object) -> None:
        self.refresh()

    def _show_model(self) -> None:
        while self.rows.rowCount():
            self.rows.removeRow(0)
        self._show_buttons()
        model = self.chosen
        if model is None:
            return
        try:
            rows = [*model_card(model.config()), ("File", str(model.path))]
        except EmbedSegError as error:
            rows = [("Fault", str(error))]
        for name, value in rows:
            self.rows.addRow(name, Sentence(value))

    def say(self, text: str, is_wrong: bool = False) -> None:
        """Show a sentence."""
        self.status.say(text, is_wrong)

    # What the buttons do

    def _rename(self) -> None:
        old, new = self._asked_name("Rename", "")
        if old is None or new == old.name:
            return

        def rename() -> LibraryModel:
            renamed = models.library.rename(old.name, new)
            models.follow_rename(old.path, renamed.path)
            return renamed

        self._do(rename, lambda made: f"{old.name} is now {made.name}.")

    def _duplicate(self) -> None:
        old, new = self._asked_name("Duplicate", "_copy")
        if old is not None:
            self._do(
                lambda: models.library.duplicate(old.name, new), lambda made: f"{made.name} is a copy of {old.name}."
            )

    def _asked_name(self, title: str, ending: str) -> tuple[LibraryModel | None, str]:
        model = self.chosen
        assert model is not None
        new, is_given = QInputDialog.getText(self, f"{title} {model.name}", "New name", text=model.name + ending)
        return (model if is_given else None), new.strip()

    def _describe(self) -> None:
        model = self.chosen
        assert model is not None
        try:
            dialog = describe_dialog(model.name, model.config(), self)
        except EmbedSegError as error:
            self.say(str(error), is_wrong=True)
            return
        if dialog.exec():
            words = {name: text.strip() for name, text in dialog.asdict().items()}
            self._do(
                lambda: models.library.describe(model.name, None, **words),
                lambda made: f"The description of {made.name} is saved.",
            )

    def _calibrate(self) -> None:
        model = self.chosen
        assert model is not None
        self.calibration = CalibrateDialog(model, napari.current_viewer(), self)
        self.calibration.calibrated.connect(self._take_calibrated)
        self.calibration.show()

    def _take_calibrated(self, path: Path) -> None:
        models.remember(path)
        self.refresh(path.stem)

    def _delete(self) -> None:
        model = self.chosen
        assert model is not None
        question = f"Move {model.name} to the trash? A running job that uses it is not affected."
        if QMessageBox.question(self, "Delete a model", question) == QMessageBox.StandardButton.Yes:
            self._do(lambda: models.library.delete(model.name), lambda _: f"{model.name} was moved to the trash.")

    def _do(self, action: Callable[[], LibraryModel | None], said: Callable[[Any], str]) -> None:
        try:
            made = action()
        except EmbedSegError as error:
            self.refresh()
            self.say(str(error), is_wrong=True)
            return
        models.refresh()
        self.refresh(None if made is None else made.name)
        self.say(said(made))

    def _import(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Import models", str(Path.home()), IMPORT_FILTER)
        if not names:
            return
        made: list[LibraryModel] = []
        faults: list[str] = []

        def take_in(_: object) -> Generator[Any, None, None]:
            yield from ()
            for name in names:
                try:
                    made.append(models.library.import_model(name))
                except EmbedSegError as error:
                    faults.append(str(error))

        def tell(_: object) -> None:
            for model in made:
                models.remember(model.path)
            self.refresh(made[-1].name if made else None)
            imported = [f"Imported: {', '.join(model.name for model in made)}."] if made else []
            self.say(" ".join([*faults, *imported]), is_wrong=bool(faults))

        self._start(take_in, tell, "Importing…")

    def _export(self) -> None:
        model = self.chosen
        assert model is not None
        suggestion = str(Path.home() / f"{model.name}{SUFFIX}")
        text, kind = QFileDialog.getSaveFileName(self, f"Export {model.name}", suggestion, EXPORT_FILTER)
        if not text:
            return
        target = export_target(text, ".zip" if "*.zip" in kind else SUFFIX)
        # The dialog asked about the file of the name that was typed, not of the one that is meant.
        if target != Path(text) and target.exists():
            question = f"{target} exists already. Replace it?"
            if QMessageBox.question(self, "Export a model", question) != QMessageBox.StandardButton.Yes:
                return

        def export(_: object) -> Generator[Any, None, Path]:
            yield from ()
            return models.library.export_model(model.name, target, overwrite=True)

        self._start(export, lambda path: self.say(f"Exported to {path}."), f"Writing {target}…")

    def _start(
        self, run: Callable[[Callable[[], bool]], Generator[Any, None, Any]], take: Callable[[Any], None], text: str
    ) -> None:
        """One job at a time, in a thread."""
        self.say(text)
        self._current = run_in_background(
            run, on_result=take, on_error=lambda error: self.say(str(error), is_wrong=True), on_finished=self._end
        )
        self._show_buttons()

    def _end(self) -> None:
        self._current = None
        self._show_buttons()

    def _show_buttons(self) -> None:
        model, is_free = self.chosen, self._current is None
        is_own = model is not None and not model.is_bundled
        for one in (self.rename, self.describe, self.delete):
            one.setEnabled(is_own and is_free)
        for one in (self.duplicate, self.hand_out, self.calibrate):
            one.setEnabled(model is not None and is_free)
        self.take_in.setEnabled(is_free)


def export_target(text: str, suffix: str) -> Path:
    """The file that is meant by a name and a kind; a suffix of the other kind gives way."""
    path = Path(text)
    if path.suffix.lower() == suffix:
        return path
    if path.suffix.lower() in KINDS:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)
