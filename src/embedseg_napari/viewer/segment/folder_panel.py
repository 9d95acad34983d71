"""Segmenting a folder: where from, where to, progress, and a list of what failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import Message, PredictionStarted, TileFinished
from embedseg_napari.core.files.names import from_home
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.folder.plan import FolderJob, images_of, words_of
from embedseg_napari.jobs.folder.segment_folder import (
    FolderResult,
    ImageFailed,
    ImageSaved,
    ImageSkipped,
    segment_folder,
)
from embedseg_napari.jobs.recipe import of_words
from embedseg_napari.jobs.segment import ImageStarted
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, button, channel_box
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons
from embedseg_napari.viewer.widgets.run_controls import RunControls
from embedseg_napari.viewer.widgets.time_left import TimeLeft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embedseg_napari.viewer.worker import BackgroundRun

LAST_USED = LastUsed("folder")
TABLES = (("one of all images, objects.csv", "together"), ("one per image, NAME.csv", "each"), ("none", ""))
PAUSE = 300
"""Milliseconds after the last letter of a folder's name until its images are counted."""


class BatchPanel(QWidget):
    """Uses the model, device and thresholds of the panel it is part of.

    Parameters
    ----------
    settings : callable
        Returns a dictionary with ``model`` (a path or None), ``device`` and ``changes``.
    """

    def __init__(self, settings: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._settings = settings
        self._name, self._n_frames, self._n_failed = "", 1, 0
        self._report: Path | None = None
        self.images, images_row = self._folder_row("Folder of images: TIFF, PNG, JPEG and others.")
        self.found = Sentence()
        self.results, results_row = self._folder_row("Receives one label TIFF per image, tables and maps.")
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("read from each file, or guessed")
        self.axes.setToolTip(
            "Axes of all images, in order, such as YX, ZYX, TYX or YXC (T time, C channel). Empty: as each file says."
        )
        self.channel = channel_box("Channels of the images to use: all, their mean, or one; 0 is the first.")
        self.table = ChoiceBox(tooltip="Score, size and place of each object; the same columns as on the command line.")
        for text, kind in TABLES:
            self.table.addItem(text, kind)
        self.maps = QCheckBox("Save maps")
        self.maps.setToolTip("Also write seed map, offsets and margins of each image, as maps/NAME.tif.")
        self.planes = QCheckBox("Objects as planes")
        self.planes.setToolTip(
            "Write NAME.tif as a stack of planes, one object each, in place of labels: objects that cross keep all "
            "their pixels."
        )
        self.report = QCheckBox("Write a report")
        self.report.setToolTip(
            "Also write report.html: thumbnails with outlines, counts, sizes, failures, and which images stand out."
        )
        self.report.setChecked(True)
        self.resume = QCheckBox("Continue an earlier run")
        self.resume.setToolTip("Skip images that this model, with these settings, has segmented there already.")
        self.overwrite = QCheckBox("Replace existing files")
        self.overwrite.setToolTip("If unticked, nothing starts where results of these images are there already.")
        self.controls = RunControls("Segment folder", "Stop; the images done so far are kept.", parent=self)
        self.run_button, self.cancel_button = self.controls.run_button, self.controls.cancel_button
        self.progress, self.status = self.controls.progress, self.controls.status
        self.failures = QListWidget()
        self.failures.setToolTip("Images that could not be segmented, and why.")
        self.failures.setWordWrap(True)
        self.failures.setMaximumHeight(110)
        self.form = QWidget()
        form = QFormLayout(self.form)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("From", images_row)
        form.addRow("", self.found)
        form.addRow("To", results_row)
        form.addRow("Axes", self.axes)
        form.addRow("Channel", self.channel)
        form.addRow("Table", self.table)
        form.addRow(self.maps)
        form.addRow(self.planes)
        form.addRow(self.report)
        form.addRow(self.resume)
        form.addRow(self.overwrite)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addLayout(self.controls.buttons())
        # Below the button that was pressed, in sight: the page is longer than most screens.
        for widget in (self.progress, self.status, self.failures):
            layout.addWidget(widget)
        self.open_report = button("Open report", "Show the report of this run in the browser.", self._open_report)
        self.open_report.hide()
        layout.addWidget(self.open_report)
        layout.addWidget(RecipeButtons(lambda: of_words(words_of(self._job()))))
        self.failures.hide()
        self.found.hide()
        kept = LAST_USED.read()
        self.images.setText(str(kept.get("images", "")))
        self.results.setText(str(kept.get("results", "")))
        self._time_left = TimeLeft()
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.controls.cancel)
        self.controls.changed.connect(self._show_state)
        self.images.textChanged.connect(self._show_state)
        self.images.textChanged.connect(self._count_images)
        self.results.textChanged.connect(self._show_state)
        self._show_state()

    def _folder_row(self, tip: str) -> tuple[QLineEdit, QWidget]:
        line, button, row = QLineEdit(), QPushButton("Browse…"), QWidget()
        # Without it nothing runs, and a grey button does not say why before the mouse rests on it.
        line.setPlaceholderText("choose a folder")
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

    @qdebounced(timeout=PAUSE)
    def _count_images(self) -> None:
        """Say how many images of which kinds the folder holds, before anything is started."""
        text = self.images.text().strip()
        try:
            found = images_of(from_home(text)) if text else []
        except (EmbedSegError, OSError) as error:
            self.found.complain(str(error))
            return
        kinds = Counter(path.suffix[1:].upper().replace("TIFF", "TIF") for path in found)
        self.found.say(f"{count(len(found), 'image')}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
        self.found.setVisible(bool(found))

    @property
    def current(self) -> BackgroundRun | None:
        """The run that goes on."""
        return self.controls.current

    def start(self) -> None:
        """Segment the folder."""
        if self.current is not None:
            return
        # They are of the last folder.
        self.failures.clear()
        self._n_failed = 0
        self.failures.hide()
        self.open_report.hide()
        try:
            job = self._job()
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        # Whether it can begin is found in the background, too: the table of a large folder takes seconds to read.
        self._time_left.begin()
        self.controls.start(lambda should_stop: segment_folder(job, should_stop), self._take_event, self._take_result)

    def _job(self) -> FolderJob:
        """What is set.

        Raises
        ------
        EmbedSegError
            If something is missing.
        """
        settings = self._settings()
        if settings["model"] is None:
            raise EmbedSegError("Choose a model above first.")
        if not self.images.text().strip() or not self.results.text().strip():
            raise EmbedSegError("Choose the folder of images, and one for the results.")
        return FolderJob(
            (from_home(self.images.text().strip()),),
            from_home(self.results.text().strip()),
            overwrite=self.overwrite.isChecked(),
            resume=self.resume.isChecked(),
            tables=self.table.currentData(),
            save_maps=self.maps.isChecked(),
            planes=self.planes.isChecked(),
            report=self.report.isChecked(),
            axes=self.axes.text().strip() or None,
            channel=self.channel.currentData(),
            **settings,
        )

    def _take_event(self, event: Any) -> None:
        about = f"{self._name}: " if self._name else ""
        if isinstance(event, ImageSaved | ImageFailed | ImageSkipped):
            self.progress.setValue(event.index + 1)
            # What is said from now on is not of it.
            self._name = ""
        match event:
            case ImageStarted():
                if event.index == 0:
                    LAST_USED.keep(images=self.images.text().strip(), results=self.results.text().strip())
                self.progress.setRange(0, event.n_images)
                self.progress.setValue(event.index)
                self.progress.setFormat(f"%v of %m{self._time_left.text(event.index / event.n_images)}")
                self.controls.say(event.name)
                self._name = event.name
            case PredictionStarted():
                self._n_frames = event.n_frames
            case TileFinished():
                frame = f"frame {event.frame + 1} of {self._n_frames}, " if self._n_frames > 1 else ""
                self.controls.say(f"{about}{frame}tile {event.tile} of {event.n_tiles}")
            case ImageFailed():
                # Failures first, however many warnings came before.
                self._list(event.reason, self._n_failed)
                self._n_failed += 1
            case Message(level="warning"):
                self._list(f"{about}(warning) {event.text}", self.failures.count())
            case Message():
                self.controls.say(f"{about}{event.text}")

    def _list(self, text: str, place: int) -> None:
        self.failures.insertItem(place, text)
        self.failures.item(place).setToolTip(text)
        self.failures.show()

    def _take_result(self, result: FolderResult) -> None:
        text = f"{result.n_saved} of {count(result.n_images, 'image')} segmented, {count(result.n_objects, 'object')}."
        if result.n_skipped:
            text += f" {result.n_skipped} segmented by an earlier run."
        if result.n_kept:
            text += f" The table also lists {count(result.n_kept, 'image')} not segmented now."
        if result.failures:
            text += f" {len(result.failures)} failed:"
        self._report = result.report
        self.open_report.setVisible(result.report is not None)
        self.controls.say(("Stopped. " if result.stopped else "") + text, is_wrong=bool(result.failures))

    def _open_report(self) -> None:
        if self._report is None or not QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._report.absolute()))):
            self.controls.say(f"No browser opened; the report is {self._report}.", is_wrong=True)

    def _show_state(self, *_: object) -> None:
        is_running = self.current is not None
        reason = ""
        if not self.images.text().strip():
            reason = "Choose the folder of images."
        elif not self.results.text().strip():
            reason = "Choose the folder for the results."
        self.run_button.setEnabled(not is_running and not reason)
        self.run_button.setToolTip(reason or "Segment every image of the folder with the model above.")
        self.form.setEnabled(not is_running)
