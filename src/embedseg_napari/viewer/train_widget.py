"""The panel that trains a model on layers of the viewer or on a folder, and shows it learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.events import EpochFinished, Message, PreviewReady, StepFinished, TrainingStarted
from embedseg_napari.viewer.models import models
from embedseg_napari.viewer.pair_list import PairList
from embedseg_napari.viewer.preflight_box import PreflightBox
from embedseg_napari.viewer.preview_box import PreviewBox
from embedseg_napari.viewer.preview_layers import is_preview
from embedseg_napari.viewer.training_job import SavedTraining, TrainingJob, TrainingPaused, TrainingRequest
from embedseg_napari.viewer.training_progress import TrainingProgress
from embedseg_napari.viewer.training_settings import OutputPlace, TrainingSettings
from embedseg_napari.viewer.worker import BackgroundRun, report_error, run_in_background

if TYPE_CHECKING:
    import napari


class TrainWidget(QWidget):
    """Train a model.

    Parameters
    ----------
    napari_viewer : napari viewer
        Whose layers can be trained on, and which shows the previews.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.job: TrainingJob | None = None
        self.background: BackgroundRun | None = None
        self.session = _Session(self)
        self.saved: SavedTraining | None = None
        self.is_paused = False
        self.pairs = PairList(napari_viewer, is_preview)
        self.settings = TrainingSettings()
        self.output = OutputPlace()
        self.check = PreflightBox()
        self.preview = PreviewBox(napari_viewer, self.pairs)
        self.progress = TrainingProgress(self.preview)
        self.tabs = QTabWidget()
        self.tabs.addTab(self._setup_page(), "Set up")
        self.tabs.addTab(_scrolled(self.progress), "Progress")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.train = QPushButton("Train")
        self.pause = QPushButton("Pause")
        self.stop = QPushButton("Stop")
        self.pause.setToolTip("Let go of the processor; the time stands still and nothing is lost.")
        self.stop.setToolTip("End now and keep the model so far.")
        buttons = QHBoxLayout()
        for button in (self.train, self.pause, self.stop):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.reason)
        layout.addLayout(buttons)
        self.setMinimumWidth(330)

        self.pairs.changed.connect(self._on_data)
        self.settings.changed.connect(self._on_settings)
        self.output.changed.connect(self._update_buttons)
        self.check.changed.connect(self._update_buttons)
        self.progress.segment_wanted.connect(self._segment)
        self.progress.continue_wanted.connect(self._set_up_next)
        self.train.clicked.connect(lambda _: self.start())
        self.pause.clicked.connect(lambda _: self._pause_or_resume())
        self.stop.clicked.connect(lambda _: self._stop())
        napari_viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self.is_closed = False
        self.destroyed.connect(lambda *_: self._let_go())
        self._on_data()

    def _setup_page(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(8, 8, 8, 8)
        data = QGroupBox("Learn from")
        inner = QVBoxLayout(data)
        self.from_layers = QRadioButton("Layers of this viewer")
        self.from_layers.setToolTip("Learn from images that are open here, and the labels painted on them.")
        self.from_folder = QRadioButton("A folder")
        self.from_folder.setToolTip(
            "Learn from a folder with images/ and masks/ (same file names), or with train/ and val/ of that kind."
        )
        self.from_layers.setChecked(True)
        self.source = QButtonGroup(self)
        choice = QHBoxLayout()
        for button in (self.from_layers, self.from_folder):
            self.source.addButton(button)
            choice.addWidget(button)
        choice.addStretch(1)
        inner.addLayout(choice)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder with images/ and masks/")
        self.folder.setToolTip(self.from_folder.toolTip())
        self.browse = QPushButton("Browse…")
        self.browse.setToolTip("Choose the data-set folder.")
        self.folder_row = QWidget()
        row = QHBoxLayout(self.folder_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.folder, 1)
        row.addWidget(self.browse)
        inner.addWidget(self.pairs)
        inner.addWidget(self.folder_row)
        self.folder_row.hide()
        self.source.buttonToggled.connect(self._on_source)
        self.folder.editingFinished.connect(self._on_data)
        self.browse.clicked.connect(lambda _: self._browse())
        self.boxes = [data]
        layout.addWidget(data)
        for title, content in (("Check", self.check), ("Settings", self.settings), ("Save the model as", self.output)):
            box = QGroupBox(title)
            QVBoxLayout(box).addWidget(content)
            layout.addWidget(box)
            self.boxes.append(box)
        layout.addStretch(1)
        return _scrolled(page)

    # Data and settings

    def _browse(self) -> None:
        text = QFileDialog.getExistingDirectory(self, "Data-set folder", self.folder.text())
        if text:
            self.folder.setText(text)
            self._on_data()

    def _on_source(self, *_: object) -> None:
        self.pairs.setVisible(self.from_layers.isChecked())
        self.folder_row.setVisible(self.from_folder.isChecked())
        self._on_data()

    def _on_settings(self) -> None:
        self.check.allow_device()
        self._on_data()

    def _on_data(self) -> None:
        """Look at the data anew; while a model trains the processor is left to it."""
        if self.background is not None and self.background.is_active:
            return
        try:
            request = self.request()
        except EmbedSegError as error:
            self.check.refuse(str(error))
        else:
            name = request.folder.name if request.folder is not None else request.pairs[0].name
            self.output.suggest(name)
            self.check.look_at(request)
        self._update_buttons()

    def request(self) -> TrainingRequest:
        """What the panel asks for.

        Raises
        ------
        EmbedSegError
            If data or settings are not complete.
        """
        folder = None
        if self.from_folder.isChecked():
            if not self.folder.text().strip():
                raise DataError("Choose a folder with images/ and masks/ in it.")
            folder = Path(self.folder.text().strip()).expanduser()
        pairs = () if folder is not None else tuple(self.pairs.pairs())
        start = self.settings.start_from()
        return TrainingRequest(
            config=self.settings.config(),
            pairs=pairs,
            folder=folder,
            start_from=None if start is None else str(start),
            device=self.settings.device.currentText(),
            output=self.output.path(),
        )

    def _update_buttons(self) -> None:
        is_active = self.background is not None and self.background.is_active
        reason = "" if is_active else self.check.reason() or self.output.problem()
        for box in self.boxes:
            box.setEnabled(not is_active)
        self.train.setVisible(not is_active)
        self.train.setEnabled(not reason)
        self.train.setToolTip(reason or "Train a model on the data above with these settings.")
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.pause.setVisible(is_active)
        self.stop.setVisible(is_active)
        self.pause.setText("Resume" if self.is_paused else "Pause")

    # The training

    def start(self) -> None:
        """Begin to train."""
        try:
            request = self.request()
        except EmbedSegError as error:
            report_error(error)
            return
        self.saved, self.is_paused = None, False
        self.preview.begin(request.config, learns_from_layers=request.folder is None)
        self.job = TrainingJob(request, preview=self.preview.view.example)
        self.progress.begin(request.output.stem)
        self.tabs.setCurrentIndex(1)
        self.session = _Session(self)
        self.background = run_in_background(
            self.job.run,
            on_event=self.session.take_event,
            on_result=self.session.take_result,
            on_error=self.session.take_error,
            on_finished=self.session.take_end,
        )
        for button in (self.pause, self.stop):
            button.setEnabled(True)
        self._update_buttons()

    def _on_event(self, event: Any) -> None:
        match event:
            case StepFinished():
                self.progress.show_step(event)
            case PreviewReady():
                self.preview.show_preview(event)
            case EpochFinished():
                self.progress.show_epoch(event)
            case TrainingStarted():
                self.progress.show_start(event)
            case Message():
                self.progress.show_message(event)
            case TrainingPaused():
                self.is_paused = True
                self.pause.setEnabled(True)
                self.progress.show_pause()
                self._update_buttons()

    def _on_result(self, result: SavedTraining) -> None:
        self.saved = result
        self.progress.show_end(result)

    def _on_error(self, error: Exception) -> None:
        self.progress.show_failure(str(error))

    def _on_finished(self) -> None:
        self.preview.end()
        self.is_paused = False
        self.output.suggest(self.output.name.text(), anew=True)
        self._on_data()

    def _pause_or_resume(self) -> None:
        if self.job is None:
            return
        if self.is_paused:
            self.is_paused = False
            self.job.resume()
            self._update_buttons()
        else:
            self.pause.setEnabled(False)
            self.pause.setText("Pausing…")
            self.job.pause()

    def _stop(self) -> None:
        if self.background is not None:
            self.stop.setEnabled(False)
            self.pause.setEnabled(False)
            self.progress.bar.setFormat("stopping and saving…")
            self.background.stop()

    # Afterwards

    def _segment(self) -> None:
        """Open the Segment panel with the new model chosen."""
        if self.saved is None or self.saved.path is None:
            return
        self.viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Segment")
        # Panels choose the model that became known last.
        models.remember(self.saved.path)

    def _set_up_next(self) -> None:
        if self.saved is not None and self.saved.path is not None:
            self.settings.choose_start(self.saved.path)
        self.tabs.setCurrentIndex(0)

    def _on_theme(self, event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.progress.plot.set_colors(theme.background.as_hex(), theme.text.as_hex())

    def event(self, event: QEvent) -> bool:
        """Notice that napari has closed the panel: it takes it out of its dock and leaves the rest to memory."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.preview.end()
            self.check.timer.stop()
            self._let_go()
        return bool(super().event(event))

    def _let_go(self) -> None:
        """The panel is being closed: stop, keep the model, follow nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self.viewer.events.theme.disconnect(self._on_theme)
        self.pairs.disconnect_viewer()
        self.preview.disconnect_viewer()
        self.settings.disconnect_models()
        self.check.close_check()
        if self.background is not None and self.background.is_active:
            self.session.panel = None
            self.background.stop()


class _Session:
    """Takes what a training says to its panel; where that was closed meanwhile, the model is kept all the same."""

    def __init__(self, panel: TrainWidget) -> None:
        self.panel: TrainWidget | None = panel

    def take_event(self, event: Any) -> None:
        if self.panel is not None:
            self.panel._on_event(event)

    def take_result(self, result: SavedTraining) -> None:
        if self.panel is not None:
            self.panel._on_result(result)
        _announce(result)

    def take_error(self, error: Exception) -> None:
        if self.panel is not None:
            self.panel._on_error(error)
        report_error(error)

    def take_end(self) -> None:
        if self.panel is not None:
            self.panel._on_finished()


def _announce(result: SavedTraining) -> None:
    """List the model for all panels, and say so; outlives the panel."""
    if result.path is not None:
        models.remember(result.path)
        show_info(f"Model {result.path.stem} is saved; it can be chosen in EmbedSeg: Segment.")


def _scrolled(page: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(page)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    return area
