"""What a panel did, as a command and as a script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.viewer.widgets.boxes import button
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
        tip = "that does the same without a viewer."
        self.copy = button("Copy as command", f"Copy the command {tip}", self.copy_command)
        self.save = button("Save script…", f"Save a Python script {tip}", self._ask)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.copy)
        layout.addWidget(self.save)

    def copy_command(self) -> None:
        """Put the command into the clipboard."""
        try:
            recipe = self._recipe()
            if not recipe.command:
                raise EmbedSegError(recipe.no_command)
        except EmbedSegError as error:
            report_error(error)
            return
        QApplication.clipboard().setText(recipe.command)
        show_info("Copied; paste it into a terminal.")

    def save_script(self, path: Path) -> None:
        """Write the script; the dialog has asked whether a file may be replaced."""
        try:
            write_text(path, self._recipe().script)
        except EmbedSegError as error:
            report_error(error)
        else:
            show_info(f"Saved {path}.")

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save script", "embedseg_recipe.py", "Python (*.py)")
        if path:
            self.save_script(Path(path))
