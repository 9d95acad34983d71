"""Choosing a model: the bundled and recent ones in a list, any other from a file dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from embedseg_napari.core.errors import EmbedSegError, ModelError
from embedseg_napari.core.model.card import describe
from embedseg_napari.core.model.known_models import find_model_file
from embedseg_napari.viewer.model_list import MODEL_FILTER, KnownModel, models, names_of, read_config
from embedseg_napari.viewer.models.manager import ModelManager
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, button
from embedseg_napari.viewer.widgets.long_names import SHORT
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.config import ModelConfig


class ModelPicker(QWidget):
    """A list of models, a Browse button and a line that says what the chosen one works on."""

    model_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = ChoiceBox(tooltip="Models that come with the plugin, and those trained or used recently.")
        self.browse = button(
            "Browse…", "Choose a model file: .embedseg, or a .pth of the original EmbedSeg.", self._browse
        )
        self.manage = button(
            "Models…", "View, rename, copy, calibrate, delete, import and export models.", self.open_manager
        )
        self.about = Sentence()
        row = QHBoxLayout()
        row.addWidget(self.browse)
        row.addWidget(self.manage)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.box)
        layout.addWidget(self.about)
        layout.addLayout(row)
        self._known: list[KnownModel] = []
        self.config: ModelConfig | None = None
        """What the chosen model says about itself; None without a model and for original checkpoints."""
        self.fault = ""
        """Why the chosen model cannot be used."""
        self.is_asked_for = False
        """Whether a person chose the model, or it was trained or opened just now."""
        self._aside: tuple[Path | None, int] = (None, 0)
        """A model that was asked for, and its axes, while images are shown that it cannot segment."""
        self.box.currentIndexChanged.connect(self._take_choice)
        self.box.activated.connect(lambda _: setattr(self, "is_asked_for", True))
        models.changed.connect(self._take)
        models.renamed.connect(self._follow_rename)
        self._managers: list[ModelManager] = []
        self._shown: tuple[Path, int] | None = None
        """File of the chosen model, and when it was written."""
        self._list()

    @property
    def path(self) -> Path | None:
        """File of the chosen model."""
        index = self.box.currentIndex()
        return self._known[index].path if 0 <= index < len(self._known) else None

    @property
    def is_bundled(self) -> bool:
        """Whether the chosen model comes with the plugin."""
        index = self.box.currentIndex()
        return 0 <= index < len(self._known) and self._known[index].is_bundled

    def choose(self, path: str | Path) -> None:
        """Add a file to the list and choose it; of a checkpoint of the original, a copy that is imported.

        Raises
        ------
        EmbedSegError
            If it is no model file, or cannot be imported.
        """
        models.remember(path)

    def propose(self, path: Path) -> None:
        """Choose a model of the list, if it is still there, without being asked to."""
        if path in (known.path for known in self._known):
            self._show([known.path for known in self._known].index(path))

    def choose_named(self, name: str) -> None:
        """Choose a model of the library by the name it has there, here only, as one that was asked for.

        Raises
        ------
        ModelError
            If there is none any more, or none that is offered here.
        """
        path = find_model_file(name).resolve()
        if path not in self._files():
            # It may have been made outside this viewer.
            models.refresh()
        if path not in self._files():
            raise ModelError(f"{name}: is none of the models that can be chosen here.")
        self.box.setCurrentIndex(self._files().index(path))
        # Also where it was the chosen one already.
        self.is_asked_for = True

    def _files(self) -> list[Path]:
        return [known.path.resolve() for known in self._known]

    def fitting(self, ndim: int, n_channels: int | None = None) -> KnownModel | None:
        """The chosen model if it is for such images, else the first bundled one that is.

        Parameters
        ----------
        ndim : int
            Spatial axes of the images.
        n_channels : int, optional
            Channels that the model takes; any number by default.
        """

        def fits(config: ModelConfig | None) -> bool:
            return config is not None and config.ndim == ndim and n_channels in (None, config.n_channels)

        if self.path is not None and fits(self.config):
            return self._known[self.box.currentIndex()]
        return next((known for known in self._known if known.is_bundled and fits(read_config(known.path))), None)

    def suggest(self, ndim: int, n_channels: int | None = None, *, is_other: bool = False) -> None:
        """Choose a model for such images, as `fitting` does, unless one was asked for.

        Where another image is shown (`is_other`), one of volumes gives way to planes, which it cannot segment at all,
        and comes back with a volume.
        """
        if is_other and self.is_asked_for and self.config is not None and self.config.ndim > ndim:
            self._aside, self.is_asked_for = (self.path, self.config.ndim), False
        back = [index for index, known in enumerate(self._known) if (known.path, ndim) == self._aside]
        if back and not self.is_asked_for:
            self._show(back[0])
            self._aside, self.is_asked_for = (None, 0), True
        known = None if self.is_asked_for else self.fitting(ndim, n_channels)
        if known is not None:
            self._show(self._known.index(known))

    def take_fitting(self, ndim: int) -> None:
        """Choose the model that `fitting` names for `ndim` spatial axes; for other images another may come."""
        known = self.fitting(ndim)
        if known is not None:
            self.is_asked_for = self.is_asked_for and known.path == self.path
            self._show(self._known.index(known))

    def open_manager(self) -> ModelManager:
        """Open the window that manages models; the panel can be used meanwhile."""
        manager = ModelManager(self.window())
        manager.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._managers.append(manager)
        manager.finished.connect(lambda _: self._managers.remove(manager))
        manager.show()
        return manager

    def close_down(self) -> None:
        """Follow the list of models no longer."""
        models.changed.disconnect(self._take, missing_ok=True)
        models.renamed.disconnect(self._follow_rename, missing_ok=True)
        for manager in self._managers:
            manager.close_down()

    def _take(self, known: KnownModel | None) -> None:
        self.is_asked_for = self.is_asked_for or known is not None
        self._list(None if known is None else known.path)

    def _follow_rename(self, old: Path, new: Path) -> None:
        self._list(new if self.path == old else None)

    def _list(self, chosen: Path | None = None) -> None:
        chosen = chosen or self.path
        self._known = models.all()
        paths = [known.path for known in self._known]
        with signals_blocked(self.box):
            self.box.clear()
            for known, name in zip(self._known, names_of(self._known), strict=True):
                self.box.addItem(name + (" (bundled)" if known.is_bundled else ""))
                self.box.setItemData(self.box.count() - 1, str(known.path), Qt.ItemDataRole.ToolTipRole)
                self.box.setItemData(self.box.count() - 1, name, SHORT)
            if not self._known:
                self.box.addItem("no model yet")
            self.box.setCurrentIndex(paths.index(chosen) if chosen in paths else 0)
        self._choose()

    def _show(self, index: int) -> None:
        """Choose a model that nobody asked for."""
        with signals_blocked(self.box):
            self.box.setCurrentIndex(index)
        self._choose()

    def _take_choice(self, *_: object) -> None:
        # First of all: what follows the choice would take back a model that nobody asked for.
        self.is_asked_for = True
        self._choose()

    def _choose(self) -> None:
        shown = None if self.path is None else (self.path, _written(self.path))
        if shown is not None and shown == self._shown:
            # The list changed, but not what is chosen: settings made by hand stay.
            return
        self._shown = shown
        self.config, self.fault = None, ""
        if self.path is None:
            self.about.setText("Train one in EmbedSeg: Train, or press Browse.")
        else:
            try:
                self.config = read_config(self.path)
                self.about.setText(describe(self.config))
            except ModelError as error:
                self.fault = str(error)
                self.about.setText("This file cannot be used.")
        self.model_changed.emit()

    def _browse(self) -> None:
        folder = str(self.path.parent) if self.path is not None else ""
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", folder, MODEL_FILTER)
        if name:
            try:
                self.choose(name)
            except EmbedSegError as error:
                report_error(error)


def _written(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
