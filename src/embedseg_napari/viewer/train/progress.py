"""How a training is going: bar, remaining time, curves, what to preview, and the model it ends with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.evaluation.before_after import ENOUGH_OBJECTS
from embedseg_napari.core.wording import count, duration, no_score_words, score_words
from embedseg_napari.viewer.train.loss_plot import LossPlot
from embedseg_napari.viewer.widgets.boxes import ERROR_COLOR, Sentence, button, short

if TYPE_CHECKING:
    from embedseg_napari.core.events import EpochFinished, LabelsUpdated, Message, StepFinished, TrainingStarted
    from embedseg_napari.jobs.saved_training import SavedTraining


class ProgressBox(QWidget):
    """The page that is shown while a model trains, and afterwards.

    Parameters
    ----------
    preview_box : QWidget
        What is previewed.
    """

    segment_wanted = Signal()
    continue_wanted = Signal()

    def __init__(self, preview_box: QWidget) -> None:
        super().__init__()
        self.status = Sentence("No training yet.")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.bar.setFormat("")
        self.numbers = Sentence()
        self.plot = LossPlot()
        self.messages = Sentence()
        self.messages.setTextFormat(Qt.TextFormat.PlainText)
        self.messages.hide()
        self.outcome = Sentence()
        self.segment = button(
            "Segment with this model",
            "In EmbedSeg: Segment, segment the image that it learned from; where that is not open, choose the model.",
            self.segment_wanted.emit,
        )
        self.go_on = button(
            "Train it further", "Set up another training that starts from the new model.", self.continue_wanted.emit
        )
        after = QHBoxLayout()
        after.addWidget(self.segment)
        after.addWidget(self.go_on)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 6)
        for widget in (self.status, self.bar, self.numbers, self.outcome):
            layout.addWidget(widget)
        layout.addLayout(after)
        layout.addWidget(self.plot, 1)
        for widget in (preview_box, self.messages):
            layout.addWidget(widget)
        self._show_after(False)
        self.begin_clock()

    def _show_after(self, is_shown: bool) -> None:
        for widget in (self.outcome, self.segment, self.go_on):
            widget.setVisible(is_shown)

    def begin_clock(self) -> None:
        """Start counting the time of a training."""
        self.began = time.monotonic()
        self.n_epochs: int | None = None
        self.minutes: float | None = None
        self.is_stopping = False
        """Whether a stop was asked for: the time that was left is none any more."""
        self.n_held_out_objects = 0

    def begin(self, name: str) -> None:
        """Get ready for a training."""
        self._clear()
        self.bar.setRange(0, 0)
        self.status.setText(f"Preparing {short(name)}: reading the images and loading PyTorch…")

    def forget(self, sentence: str) -> None:
        """Show no longer how a training went; a sentence says why."""
        self._clear()
        self.bar.hide()
        self.status.setText(sentence)

    def _clear(self) -> None:
        self.begin_clock()
        self.plot.clear()
        self.bar.setFormat("")
        self.numbers.clear()
        self.messages.clear()
        self.messages.hide()
        self._show_after(False)

    def show_start(self, event: TrainingStarted) -> None:
        """Say what is trained on."""
        self.n_epochs, self.minutes = event.n_epochs, event.minutes
        self.n_held_out_objects = 0 if event.n_validation_images else event.n_held_out_objects
        self.plot.set_scored(event.n_validation_images > 0)
        held_out = f", {event.n_validation_images} held out" if event.n_validation_images else ""
        crop = " x ".join(map(str, event.crop_size))
        self.status.setText(
            f"Learning from {event.n_objects:,} objects in {count(event.n_images, 'image')}{held_out}; crops of {crop} "
            f"pixels on {event.device} in {event.precision}."
        )
        self.bar.setRange(0, 1000)

    def show_joined(self, event: LabelsUpdated) -> None:
        """Say that what was painted meanwhile is learned from; it stays until more joins."""
        self.status.setText(
            f"What you painted has joined: learning from {event.n_objects:,} objects in "
            f"{count(event.n_images, 'image')}."
        )

    def show_step(self, event: StepFinished) -> None:
        """Show a step."""
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * event.progress))
        if not self.is_stopping:
            self.bar.setFormat(f"{self._percent()}  ·  {self._remaining(event.progress)}")
        total = "" if self.n_epochs is None else f" of {self.n_epochs}"
        self.numbers.setText(f"Epoch {event.epoch + 1}{total}  ·  step {event.step}  ·  loss {event.loss:.3f}")
        self.plot.add_step(event)

    def _percent(self) -> str:
        """How much is done, rounded down: only what is whole is told as 100 %."""
        return f"{max(0, self.bar.value()) // 10} %"

    def _remaining(self, progress: float) -> str:
        if progress >= 1:
            return "last validation and saving"
        if self.minutes is not None:
            return f"{duration(60 * self.minutes * (1 - progress))} left"
        if progress <= 0:
            return ""
        return f"{duration((time.monotonic() - self.began) * (1 - progress) / progress)} left"

    def show_epoch(self, event: EpochFinished) -> None:
        """Show the row of an epoch."""
        self.plot.add_epoch(event)

    def show_message(self, event: Message) -> None:
        """Keep a sentence in sight."""
        lines = [line for line in self.messages.text().split("\n") if line]
        text = f"{'⚠ ' if event.level == 'warning' else ''}{event.text}"
        if text not in lines:
            self.messages.setText("\n".join([*lines, text][-8:]))
        self.messages.show()

    def show_stopping(self) -> None:
        """A stop was asked for."""
        self.is_stopping = True
        self.bar.setFormat("stopping and saving…")

    def show_pause(self) -> None:
        """Training waits."""
        self.bar.setFormat(f"paused at {self._percent()}")

    def show_resume(self) -> None:
        """Training goes on; how long it still takes is said with the next step."""
        self.bar.setFormat(f"{self._percent()}  ·  going on…")

    def show_end(self, result: SavedTraining) -> None:
        """Say what the training left behind."""
        self.bar.setRange(0, 1000)
        if result.path is None:
            self.bar.setValue(0)
            self.bar.setFormat("stopped")
            reason = "Stopped" if result.stopped else "The minutes were over"
            remedy = "" if result.stopped else "; give it more time"
            self.status.setText(f"{reason} before the first step, there is no model to save{remedy}.")
            return
        if not result.stopped:
            self.bar.setValue(1000)
        missing = "" if not result.stopped else " but for the last validation"
        is_whole = self.bar.value() == self.bar.maximum()
        self.bar.setFormat(f"finished{missing}" if is_whole else f"stopped at {self._percent()}")
        score = ""
        if result.best_score is not None:
            score = f" {score_words(result.best_score, self.n_held_out_objects, ENOUGH_OBJECTS)}"
        if result.stopped and result.best_score is None:
            score = f" {no_score_words(result.steps, result.held_out.now, result.held_out.n_objects)}"
        self.outcome.setText(f"Model <b>{short(result.path.stem)}</b> is saved and can be chosen in Segment.{score}")
        self.outcome.setToolTip(str(result.path))
        self._show_after(True)

    def show_failure(self, sentence: str) -> None:
        """Say why there is no model."""
        self.bar.setRange(0, 1000)
        self.bar.setFormat("failed")
        self.status.setText(f"<span style='color:{ERROR_COLOR}'>{sentence}</span>")
