"""What a panel did, as a command and as a script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.viewer.widgets.boxes import Sentence, button, short
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.jobs.recipe import Recipe


class RecipeButtons(QWidget):
    """*Copy as command* and *Save script…*.

    Parameters
    ----------
    recipe : callable
        Returns the recipe of what the panel did last or is set to do; raises an error of this program that says why
        there is none.
    """

    def __init__(self, recipe: Callable[[], Recipe]) -> None:
        super().__init__()
        self._recipe = recipe
        self.row = QHBoxLayout()
        """The buttons; a panel may put its own before them."""
        tip = "that does the same without a viewer."
        self.copy = button("Copy as command", f"Copy the command {tip}", self.copy_command)
        self.save = button("Save script…", f"Save a Python script {tip}", self._ask)
        self.line = Sentence()
        self.line.hide()
        self.row.setSpacing(2)
        self.row.addWidget(self.copy)
        self.row.addWidget(self.save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.row)
        layout.addWidget(self.line)

    def copy_command(self) -> None:
        """Put the command into the clipboard."""
        try:
            recipe = self._recipe()
            if not recipe.command:
                raise EmbedSegError(recipe.no_command)
        except EmbedSegError as error:
            self._fail(error)
            return
        QApplication.clipboard().setText(recipe.command)
        self._say("Copied; paste it into a terminal.")

    def save_script(self, path: Path) -> None:
        """Write the script; the dialog has asked whether a file may be replaced."""
        try:
            write_text(path, self._recipe().script)
        except EmbedSegError as error:
            self._fail(error)
        else:
            self._say(f"Saved {short(path.name)}.")

    def forget(self, *_: object) -> None:
        """Say no longer why there was no command: things have changed since."""
        self.line.hide()

    def _say(self, sentence: str) -> None:
        self.line.hide()
        show_info(sentence)

    def _fail(self, error: EmbedSegError) -> None:
        """Say it here, too: a notification shows some forty letters."""
        self.line.say(str(error), is_wrong=True)
        self.line.show()
        report_error(error)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save script", "embedseg_recipe.py", "Python (*.py)")
        if path:
            self.save_script(Path(path))
