"""What there is to say after a run, and a button for what would help: in the panel, where it can be read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.events import Advice, Message
from embedseg_napari.jobs.segment import advise
from embedseg_napari.viewer.widgets.boxes import Sentence, short
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.jobs.segment import SegmentJob
    from embedseg_napari.viewer.worker import BackgroundRun


class AdviceBox(QWidget):
    """Messages of a run as sentences, and the one thing that would help as a button."""

    accepted = Signal(object)
    """The `Advice` whose button was pressed."""
    changed = Signal()
    """Something else is said, or looked for."""
    settled = Signal()
    """What was looked for in the background was found, is not there, or is of no interest any longer."""

    def __init__(self) -> None:
        super().__init__()
        self.notes, self.sentence, self.button = Sentence(), Sentence(), QPushButton()
        self.button.setToolTip("Do what the sentence above says.")
        self.advice: Advice | None = None
        """What is shown."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.notes, self.sentence, self.button):
            layout.addWidget(widget)
        self.button.clicked.connect(lambda _: self.accepted.emit(self.advice))
        self._run: BackgroundRun | None = None
        self._name = ""
        """Of the image that it is about."""
        self._is_there = True
        self.clear()

    @property
    def is_looking(self) -> bool:
        """Whether something is being looked for."""
        return self._run is not None

    def clear(self) -> None:
        """Show nothing, and look for nothing any longer."""
        if self.is_looking:
            self.cancel()
            self.settled.emit()
        self.advice, self._name = None, ""
        for widget in (self.notes, self.sentence, self.button):
            widget.setText("")
        self._show()

    def begin(self, name: str) -> None:
        """Be about the image of a name from now on."""
        self.clear()
        self._name, self._is_there = name, True

    def look_at(self, is_it: bool) -> None:
        """Show the messages of a run, which do not name its image, only while that is looked at."""
        self._is_there = is_it
        self._show()

    def cancel(self) -> None:
        """Look for nothing any longer."""
        if self._run is not None:
            self._run.detach()
            self._run = None

    def take(self, event: Any) -> None:
        """Show a message; an advice takes the place of the one before."""
        match event:
            case Advice():
                self.advice = event
                about = f"{short(self._name)}: " if self._name else ""
                self.sentence.setText(f"{about}{event.observed or event.text}")
                self.button.setText(event.action.replace("&", "&&"))
                self.button.setToolTip(event.text)
            case Message():
                self.notes.setText("\n".join(filter(None, (self.notes.text(), event.text))))
        self._show()

    def look(self, job: SegmentJob, found: Segmentation) -> None:
        """Look in the background for something better than what a job found."""
        self._run = run_in_background(
            lambda should_stop: advise(job, found, should_stop), on_event=self.take, on_finished=self._end
        )
        self.changed.emit()

    def _end(self) -> None:
        self._run = None
        self.changed.emit()
        self.settled.emit()

    def _show(self) -> None:
        self.notes.setVisible(bool(self.notes.text()) and self._is_there)
        for widget in (self.sentence, self.button):
            widget.setVisible(bool(widget.text()))
        self.setVisible(bool(self.notes.text() and self._is_there) or bool(self.sentence.text()))
        self.changed.emit()
