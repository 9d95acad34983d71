"""A model made ready for 8-bit integers on images with truth: a data set, or what is open in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QRadioButton, QVBoxLayout

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.events import Message
from embedseg_napari.jobs.segment import ImageStarted
from embedseg_napari.viewer.labelled_images import pair_from_layers
from embedseg_napari.viewer.layers import is_users, is_users_or_found
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.models.window import Window
from embedseg_napari.viewer.widgets.boxes import Sentence, add_row, button, channel_box
from embedseg_napari.viewer.widgets.folder_field import FolderField
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.run_controls import RunControls

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    import napari
    from qtpy.QtWidgets import QWidget

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.known_models import LibraryModel
    from embedseg_napari.jobs.calibrate import Calibrated

ABOUT = (
    "OpenVINO computes a calibrated model in 8-bit integers, in less than half the time. One half of the images tells "
    "how large its numbers get; on the other half AP is compared, and nothing is stored where it falls by more than "
    "0.01. Take images that the model was not trained on."
)


class CalibrateDialog(Window):
    """Asks for images with truth, calibrates, and says what that costs and brings.

    Parameters
    ----------
    model : LibraryModel
        Which model.
    viewer : napari viewer, optional
        Whose layers may be taken.
    """

    calibrated = Signal(object)
    """File of the calibrated model."""

    def __init__(
        self, model: LibraryModel, viewer: napari.viewer.Viewer | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.model, self.viewer = model, viewer
        self.setWindowTitle(f"Calibrate {model.name}")
        self.resize(520, 320)
        self.from_folder, self.from_layers = QRadioButton("Data set"), QRadioButton("Layers")
        self.from_folder.setToolTip("Measure on the images of a folder: all of them, or those in its val.")
        self.from_layers.setToolTip("Measure on an open image, or each frame of a time-lapse.")
        self.from_folder.setChecked(True)
        self.from_layers.setEnabled(viewer is not None)
        self.folder = FolderField("Data set folder", "Holds images and masks, perhaps in its val.")
        self.folder.edit.setPlaceholderText("holds images and masks")
        self.channel = channel_box("The channel that the model learned from, or all; 0 is the first.")
        self.name = QLineEdit(f"{model.name}-int8")
        self.name.setToolTip("Name of the calibrated model; that of a model of yours itself changes it.")
        self.controls = RunControls("Calibrate", "Stop; nothing is stored.", parent=self)
        self.controls.run_button.setToolTip("Measure, compare, and store the model.")
        self.controls.run_button.clicked.connect(lambda _: self._start())
        self.controls.cancel_button.clicked.connect(self.controls.cancel)
        self.complaint = Sentence()
        self.boxes: tuple[LayerBox, ...] = ()
        self.form = QFormLayout()
        self._lay_out()
        self.why = _why_not_here()
        """Why nothing can be calibrated on this machine."""
        self._checked: list[str] = []
        """Names of the images that were begun, to know which time it is."""
        self._stored = ""
        """Name of the model that was just made, which is no complaint."""
        for field in (self.folder, self.controls):
            field.changed.connect(self._follow)
        self.name.textChanged.connect(self._follow)
        self.from_folder.toggled.connect(self._follow)
        self._follow()

    def _lay_out(self) -> None:
        which = QHBoxLayout()
        which.addWidget(self.from_folder)
        which.addWidget(self.from_layers)
        which.addStretch(1)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        add_row(self.form, "Data set", self.folder.edit, self.folder)
        if self.viewer is not None:
            image = LayerBox(self.viewer, Image, "Image to measure on.")
            truth = LayerBox(
                self.viewer, Labels, "All its objects, one number each.", None, is_users_or_found, is_users
            )
            self.boxes = image, truth
            for text, box in (("Image", image), ("Truth", truth)):
                add_row(self.form, text, box.native)
                box.changed.connect(self._follow)
            for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
                event.connect(self._list_layers)
        add_row(self.form, "Channel", self.channel)
        add_row(self.form, "Store as", self.name)
        layout = QVBoxLayout(self)
        layout.addWidget(Sentence(ABOUT))
        layout.addLayout(which)
        layout.addLayout(self.form)
        layout.addStretch(1)
        for widget in (self.complaint, self.controls.progress, self.controls.status):
            layout.addWidget(widget)
        buttons = self.controls.buttons()
        close = button("Close", "Close this window; a run that goes on is stopped.", self.close)
        close.setAutoDefault(False)
        buttons.addWidget(close)
        layout.addLayout(buttons)

    def close_down(self) -> None:
        """Stop the run, and follow the layers no longer."""
        self.controls.close_down()
        for box in self.boxes:
            box.close_down()
        if self.boxes and self.viewer is not None:
            for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
                event.disconnect(self._list_layers)
        self.boxes = ()

    def _list_layers(self, event: object = None) -> None:
        for box in self.boxes:
            box.reset_choices()

    def _follow(self, *_: object) -> None:
        is_folder, is_running = self.from_folder.isChecked(), self.controls.current is not None
        self.form.setRowVisible(self.folder, is_folder)
        for box in self.boxes:
            self.form.setRowVisible(box.native, not is_folder)
        fault = self.fault()
        self.controls.run_button.setEnabled(not fault and not is_running)
        self.complaint.say(fault, is_wrong=bool(self.why))
        is_news = not is_running and self.name.text().strip() != self._stored
        self.complaint.setVisible(bool(fault) and is_news)

    def fault(self) -> str:
        """Why nothing can be calibrated; empty if it can."""
        if self.why:
            return self.why
        try:
            self._target()
            if self.from_folder.isChecked():
                return self.folder.fault()
            self._reader()
        except EmbedSegError as error:
            return str(error)
        return ""

    def _target(self) -> Path:
        own = None if self.model.is_bundled else self.model
        return models.library.free(self.name.text().strip(), besides=own)

    def _reader(self) -> Callable[[], Sequence[Example]]:
        """What reads the images, in the thread.

        Raises
        ------
        DataError
            If the layers do not fit together.
        """
        channel = None if self.channel.currentData() == "all" else self.channel.currentData()
        if self.from_folder.isChecked():
            folder = self.folder.path()

            def read() -> Sequence[Example]:
                from embedseg_napari.jobs.calibrate import held_out

                return held_out(folder, channel=channel)

            return read
        image, truth = (box.layer() for box in self.boxes)
        if image is None or truth is None:
            raise DataError("Open an image, and a Labels layer with all its objects.")
        return pair_from_layers(image, truth, channel=channel).examples

    def _start(self) -> None:
        try:
            source, target, reader = self.model.path, self._target(), self._reader()
        except EmbedSegError as error:
            self.controls.say(str(error), is_wrong=True)
            return

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, Calibrated]:
            from embedseg_napari.jobs.calibrate import calibrate_file

            return (yield from calibrate_file(source, target, reader, should_stop))

        self._checked, self._stored = [], ""
        self.controls.start(run, self._on_event, self._take)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Message):
            self.controls.say(event.text)
        elif isinstance(event, ImageStarted):
            turn = self._checked.count(event.name)
            self._checked.append(event.name)
            how = "in 8-bit integers" if turn else "as before"
            self.controls.progress.setRange(0, 2 * event.n_images)
            self.controls.progress.setValue(min(turn, 1) * event.n_images + event.index)
            self.controls.progress.setFormat("%p%")
            self.controls.say(f"Segmenting {event.name} {how} ({event.index + 1} of {event.n_images})…")

    def _take(self, found: Calibrated) -> None:
        self._stored = found.path.stem
        self.controls.say(f"{found}. Stored as {self._stored}, which is now chosen.")
        self.calibrated.emit(found.path)


def _why_not_here() -> str:
    from embedseg_napari.core.inference.openvino_engine import why_not_calibrated

    return why_not_calibrated()
