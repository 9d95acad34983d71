"""The settings of a training: few in sight, the rest folded away, all made from the core's own fields."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from embedseg_napari.core.config import PRESETS, TrainingConfig
from embedseg_napari.core.errors import EmbedSegError, SettingsError
from embedseg_napari.core.files.atomic import locked_place
from embedseg_napari.core.model.known_models import models_folder
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.model.model_file import SUFFIX
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.model_list import MODEL_FILTER, models, names_of
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, add_row, button, device_box, frame_wrong
from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.config_form import ConfigForm
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

SCRATCH, BROWSE = "a new network", "Browse…"
LONGEST_NAME = 32
"""Letters of a name that is suggested for a model."""


class TrainingSettings(QWidget):
    """Preset, duration, start model, device and all other settings."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.preset = ChoiceBox(PRESETS)
        # The number of devices is left out: a viewer is one process.
        self.form = ConfigForm(TrainingConfig, leave_out=("devices",), apart=("minutes",))
        self.start = ChoiceBox()
        self.start.setAccessibleName("Start from")
        self._asked: Path | None = None
        self._last_used: LastUsed | None = None
        self.is_start_chosen = False
        """Whether a person, or the training before, says what to start from."""
        self._is_new_wanted = False
        """Whether a person chose a new network."""
        self.fits: Callable[[Path], bool] = lambda path: True
        """Whether images like those that are chosen can be learned from a model; others are not offered."""
        self.device = device_box()
        self.paths: list[Path | None] = []
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        minutes, epochs = self.form.editors["minutes"], self.form.editors["epochs"]
        for text, box, tip in (
            ("Minutes", minutes.native, minutes.tooltip),
            ("Preset", self.preset, "Settings to begin with: fast is made for short trainings, few for a few labels "
             "and minutes, paper trains as the original program did (200 epochs)."),
            ("Start from", self.start, "Go on with the weights of a saved model, or begin with a new network."),
            ("Device", self.device, self.device.toolTip()),
        ):  # fmt: skip
            box.setToolTip(tip)
            add_row(layout, text, box)
        reset = button(
            "Back to the preset", "Give every setting below the value of the chosen preset.", self._take_preset
        )
        inner = QWidget()
        box_layout = QVBoxLayout(inner)
        box_layout.setContentsMargins(8, 0, 0, 0)
        box_layout.addWidget(self.form)
        box_layout.addWidget(reset, alignment=Qt.AlignmentFlag.AlignLeft)
        self.fold = Folded("More settings", inner, "All settings of a training; their defaults suit most images.")
        layout.addRow(self.fold)
        self.complaint, self.why = Sentence(), Sentence()
        self.complaint.hide()
        self.why.hide()
        layout.insertRow(layout.getWidgetPosition(self.start)[0] + 1, self.why)
        layout.addRow(self.complaint)
        # A duration given by hand replaces the other kind.
        minutes.changed.connect(lambda n: self._replace("epochs", n))
        epochs.changed.connect(lambda n: self._replace("minutes", n))
        self.form.changed.connect(self.changed.emit)
        self.preset.currentIndexChanged.connect(lambda _: self._take_preset())
        self.device.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.start.currentIndexChanged.connect(self._on_start)
        models.changed.connect(self.list_models)
        self.list_models()

    def close_down(self) -> None:
        """Follow the list of models no longer."""
        models.changed.disconnect(self.list_models, missing_ok=True)

    def begin_with(self, preset: str, panel: str) -> None:
        """Begin with a preset, and with the minutes that were given last in a panel."""
        self.preset.setCurrentText(preset)
        self._last_used = LastUsed(panel)
        try:
            minutes = TrainingConfig.parse({"minutes": self._last_used.read().get("minutes")}).minutes
        except SettingsError as error:
            logger.warning("The minutes used last are left out: %s", error)
            return
        if minutes is not None:
            self.form.set_values({"minutes": minutes, "epochs": None})

    def keep(self) -> None:
        """Remember the minutes that are used, if they are to be those of next time, too."""
        if self._last_used is not None:
            self._last_used.keep(minutes=self.form.editors["minutes"].value)

    def _take_preset(self) -> None:
        self.form.set_values(TrainingConfig.preset(self.preset.currentText()).model_dump())

    def _replace(self, name: str, other: float | None) -> None:
        if other is not None and self.form.editors[name].value is not None:
            self.form.set_values({name: None})

    def list_models(self, new: object = None) -> None:
        """List the models that fit, and the one that is chosen."""
        chosen = self.start_from()
        kept = (chosen, self._asked)
        known = [one for one in (*models.starts(), *models.all()) if one.path in kept or self.fits(one.path)]
        self.paths = [None, *(model.path for model in known)]
        with signals_blocked(self.start):
            self.start.clear()
            self.start.addItems([SCRATCH, *names_of(known), BROWSE])
            for index, path in enumerate(self.paths):
                self.start.setItemData(index, "" if path is None else str(path), Qt.ItemDataRole.ToolTipRole)
            self.start.setCurrentIndex(self.paths.index(chosen) if chosen in self.paths else 0)

    def _on_start(self, index: int) -> None:
        self.is_start_chosen = True
        self._is_new_wanted = index == 0
        self.why.hide()
        if index < len(self.paths):
            self.changed.emit()
            return
        text, _ = QFileDialog.getOpenFileName(self, "Start from a model", "", MODEL_FILTER)
        self.choose_start(Path(text) if text else None)

    def choose_start(self, path: Path | None, why: str = "") -> None:
        """Start from a model file, or with None from a new network; the reason is shown until another is chosen."""
        self.is_start_chosen = True
        if path is not None and path not in self.paths:
            try:
                path = self._asked = models.remember(path, is_wanted=False).path
            except EmbedSegError as error:
                report_error(error)
                path = None
            # Also one that does not fit: the panel says why.
            self.list_models()
        self._show_start(path, why)
        self._is_new_wanted = False
        self.changed.emit()

    def suggest_start(self, path: Path | None, why: str) -> None:
        """Start from a model of the list, or from a new network, unless something else was chosen."""
        if not self.is_start_chosen:
            with signals_blocked(self.start):
                self._show_start(path, why)

    def _show_start(self, path: Path | None, why: str) -> None:
        self.start.setCurrentIndex(self.paths.index(path) if path in self.paths else 0)
        self.why.setText(f"Chosen because {why}." if why else "")
        self.why.setVisible(bool(why))

    @property
    def is_start_open(self) -> bool:
        """Whether a new network stands there only because nothing else was known."""
        return self.start_from() is None and not self._is_new_wanted

    def start_from(self) -> Path | None:
        """File of the chosen start model."""
        index = self.start.currentIndex()
        return self.paths[index] if 0 <= index < len(self.paths) else None

    def config(self) -> TrainingConfig:
        """The settings.

        Raises
        ------
        SettingsError
            If one does not fit; it is marked in the form.
        """
        self.complaint.hide()
        try:
            config = self.form.config()
        except SettingsError as error:
            self.complaint.complain(str(error))
            raise
        assert isinstance(config, TrainingConfig)
        return config


class OutputPlace(QWidget):
    """Name and folder of the model to be."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.folder = models_folder()
        self.is_edited = False
        self._suggested = ("", "")
        """The name that was suggested last, without and with its number."""
        self.name = QLineEdit()
        self.name.setToolTip("Name of the model, shown in the lists of models.")
        self.name.setAccessibleName("Name of the model")
        self.button = button("Folder…", "Choose where the model file is saved.", self._browse)
        self.place = Sentence()
        row = QHBoxLayout()
        row.addWidget(self.name, 1)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.place)
        self.name.textEdited.connect(self._on_edit)
        self.name.textChanged.connect(lambda _: self._show_place())
        models.changed.connect(self._take_models)
        self.suggest("model")

    def close_down(self) -> None:
        """Follow the list of models no longer."""
        models.changed.disconnect(self._take_models, missing_ok=True)

    def _take_models(self, _: object) -> None:
        """Propose another name where a model has taken the one that was suggested."""
        if not self.is_edited and self.problem():
            self.suggest(self._suggested[0])
            self.changed.emit()

    def _on_edit(self) -> None:
        self.is_edited = True
        self.changed.emit()

    def _browse(self) -> None:
        text = QFileDialog.getExistingDirectory(self, "Folder for the model", str(self.folder))
        if text:
            self.folder = Path(text)
            self._show_place()
            self.changed.emit()

    def _show_place(self) -> None:
        home = str(Path.home())
        text = str(self.folder)
        short = "~" + text[len(home) :] if text.startswith(home + "/") else text
        problem = self.problem()
        # A space of no width lets a long path break at its separators.
        text = problem or "in " + short.replace("/", "/\u200b").replace("\\", "\\\u200b")
        self.place.say(text, is_wrong=bool(problem))
        frame_wrong(self.name, bool(problem))

    def suggest(self, name: str, anew: bool = False) -> None:
        """Propose a free name, unless the user has typed one.

        Parameters
        ----------
        name : str
            Such as the image's.
        anew : bool
            Also where the user has typed one: it was used up.
        """
        if self.is_edited and not anew:
            return
        # The next after one that was suggested is counted on from the same name.
        base = name if name != self._suggested[1] else self._suggested[0]
        # Names of image files that are long are hardly more than a number; their beginning tells them apart.
        name = ModelLibrary(self.folder).numbered(base[:LONGEST_NAME].rstrip(" ._-")).stem
        self.is_edited = self.is_edited and anew
        self._suggested = base, name
        self.name.setText(name)
        self._show_place()

    def path(self) -> Path:
        """Where the model will be saved."""
        return self.folder / f"{self.name.text().strip().removesuffix(SUFFIX)}{SUFFIX}"

    def problem(self) -> str:
        """Why the model cannot be saved there; empty if it can."""
        wrong = ModelLibrary(self.folder).problem(self.name.text().strip().removesuffix(SUFFIX))
        if wrong:
            return wrong
        locked = locked_place(self.folder)
        if locked is not None:
            return f"Nothing can be written in {locked}; choose another folder."
        return ""
