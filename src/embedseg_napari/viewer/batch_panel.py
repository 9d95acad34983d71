"""Segmenting a folder: where from, where to, progress, and a list of what failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import Message, PredictionStarted, TileFinished
from embedseg_napari.viewer.batch_job import (
    TABLE,
    BatchJob,
    BatchResult,
    ImageFailed,
    ImageSaved,
    ImageStarted,
    check,
    segment_folder,
)
from embedseg_napari.viewer.worker import RunState, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.viewer.worker import BackgroundRun


class BatchPanel(QWidget):
    """Uses the model, device and thresholds of the panel it is part of.

    Parameters
    ----------
    settings : callable
        Returns a dictionary with ``model`` (a path or None), ``device`` and ``changes``.
    """

    def __init__(self, settings: Callable[[], dict[str, Any]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.current: BackgroundRun | None = None
        self._name, self._n_frames = "", 1
        self.images, images_row = self._folder_row("Folder of TIFF images.")
        self.results, results_row = self._folder_row(f"Gets one label TIFF per image, and {TABLE}.")
        self.overwrite = QCheckBox("Replace existing files")
        self.overwrite.setToolTip("Without it, a folder that holds results already is left alone.")
        self.run_button = QPushButton("Segment folder")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; the images done so far are kept.")
        self.progress = QProgressBar()
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.failures = QListWidget()
        self.failures.setToolTip("Images that could not be segmented, and why.")
        self.failures.setWordWrap(True)
        self.failures.setMaximumHeight(110)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("From", images_row)
        form.addRow("To", results_row)
        form.addRow(self.overwrite)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 1)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        layout.addLayout(form)
        layout.addLayout(buttons)
        for widget in (self.progress, self.status, self.failures):
            layout.addWidget(widget)
        self.progress.hide()
        self.failures.hide()
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.images.textChanged.connect(self._show_state)
        self.results.textChanged.connect(self._show_state)
        self._show_state()

    def _folder_row(self, tip: str) -> tuple[QLineEdit, QWidget]:
        line, button, row = QLineEdit(), QPushButton("Browse..."), QWidget()
        line.setToolTip(tip)
        button.setToolTip(tip)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line, 1)
        layout.addWidget(button)
        button.clicked.connect(lambda: self._browse(line, tip))
        return line, row

    def _browse(self, line: QLineEdit, tip: str) -> None:
        folder = QFileDialog.getExistingDirectory(self, tip, line.text())
        if folder:
            line.setText(folder)

    def start(self) -> None:
        """Segment the folder."""
        if self.current is not None:
            return
        settings = self._settings()
        try:
            if settings["model"] is None:
                raise EmbedSegError("Choose a model above first.")
            job = BatchJob(
                Path(self.images.text()).expanduser(),
                Path(self.results.text()).expanduser(),
                overwrite=self.overwrite.isChecked(),
                **settings,
            )
            check(job)
        except EmbedSegError as error:
            self._say(str(error), is_wrong=True)
            report_error(error)
            return
        self.failures.clear()
        self.failures.hide()
        self.progress.setRange(0, 0)
        self.progress.setFormat("Loading the model")
        self._say("Loading the model...")
        self.current = run_in_background(
            lambda should_stop: segment_folder(job, should_stop),
            on_event=self._take_event,
            on_result=self._take_result,
            on_error=self._take_error,
            on_finished=self._take_end,
        )
        self._show_state()

    def cancel(self) -> None:
        """Stop; what was written stays, and the table of it is written."""
        if self.current is not None:
            self._say("Stopping...")
            self.current.stop()
            self._show_state()

    def _take_event(self, event: Any) -> None:
        match event:
            case ImageStarted():
                self.progress.setRange(0, event.n_images)
                self.progress.setValue(event.index)
                self.progress.setFormat("%v of %m")
                self._say(event.name)
                self._name = event.name
            case PredictionStarted():
                self._n_frames = event.n_frames
            case TileFinished():
                frame = f"frame {event.frame + 1} of {self._n_frames}, " if self._n_frames > 1 else ""
                self._say(f"{self._name}: {frame}tile {event.tile} of {event.n_tiles}")
            case ImageSaved():
                self.progress.setValue(event.index + 1)
            case ImageFailed():
                self.progress.setValue(event.index + 1)
                self._add_failure(event.name, event.reason)
            case Message(level="warning"):
                self._add_failure(self._name, f"(warning) {event.text}")

    def _add_failure(self, name: str, reason: str) -> None:
        text = reason if name in reason else f"{name}: {reason}"
        self.failures.addItem(text)
        self.failures.item(self.failures.count() - 1).setToolTip(text)
        self.failures.show()

    def _take_result(self, result: BatchResult) -> None:
        text = f"{result.n_saved} of {result.n_images} images segmented, {result.n_objects} objects."
        if result.failures:
            text += f" {len(result.failures)} failed:"
        self._say(("Stopped. " if result.stopped else "") + text, is_wrong=bool(result.failures))

    def _take_error(self, error: Exception) -> None:
        self._say(str(error), is_wrong=True)
        report_error(error)

    def _take_end(self) -> None:
        self.current = None
        if self.status.text() == "Stopping...":
            self._say("Stopped.")
        self._show_state()

    def _show_state(self, *_: object) -> None:
        is_running = self.current is not None
        reason = ""
        if not self.images.text():
            reason = "Choose the folder of images."
        elif not self.results.text():
            reason = "Choose the folder for the results."
        self.run_button.setEnabled(not is_running and not reason)
        self.run_button.setToolTip(reason or "Segment every TIFF file of the folder with the model above.")
        self.cancel_button.setEnabled(self.current is not None and self.current.state is RunState.RUNNING)
        self.progress.setVisible(is_running)
        for widget in (self.images, self.results, self.overwrite):
            widget.setEnabled(not is_running)

    def _say(self, text: str, is_wrong: bool = False) -> None:
        self.status.setStyleSheet("color: #e57373;" if is_wrong else "")
        self.status.setText(text)
