"""What panels that train a model have in common: settings, buttons, a run in the background and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.events import EpochFinished, Message, PreviewReady, StepFinished, TrainingStarted
from embedseg_napari.viewer.camera import show_whole
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.old_objects import OldObjects
from embedseg_napari.viewer.train.settings import OutputPlace, TrainingSettings
from embedseg_napari.viewer.widgets.boxes import Sentence, short
from embedseg_napari.viewer.widgets.dock_panel import DockPanel
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons
from embedseg_napari.viewer.worker import BackgroundRun, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.jobs.saved_training import SavedTraining
    from embedseg_napari.viewer.preview.preview import TrainingView
    from embedseg_napari.viewer.train.progress import ProgressBox
    from embedseg_napari.viewer.worker import Run


class TrainingPanel(DockPanel):
    """Base of the panels; they call `set_up` when their parts are made.

    Parameters
    ----------
    viewer : napari viewer
        Where previews are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.background: BackgroundRun | None = None
        self.events: TrainingEvents | None = None
        self.saved: SavedTraining | None = None
        self.trained_on: Layer | None = None
        """The image layer that the last training learned from, or the first of them."""
        self.trained_channel: Channel = "all"
        """The channel of that image that it saw."""
        self.settings = TrainingSettings()
        self.output = OutputPlace()
        self.recipe = RecipeButtons(self.make_recipe)
        self.progress: ProgressBox
        self.view: TrainingView
        self.reason = Sentence()
        self.train = QPushButton("Train")
        self.stop = QPushButton("Stop")

    def set_up(self, contents: QWidget, *buttons: QPushButton) -> None:
        """Lay everything out, and follow buttons and viewer.

        Parameters
        ----------
        contents : QWidget
            All but the buttons, and the line that says why Train is disabled.
        *buttons : QPushButton
            The buttons in their order.
        """
        row = QHBoxLayout()
        for button in buttons:
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(contents, 1)
        layout.addWidget(self.reason)
        layout.addLayout(row)
        self.output.changed.connect(self.update_buttons)
        self.progress.segment_wanted.connect(self._segment)
        self.train.clicked.connect(lambda _: self.start())
        self.stop.clicked.connect(lambda _: self.stop_training())
        self.plot = self.progress.plot
        self.follow_theme()

    # What each panel does its own way

    def start(self) -> None:
        """Begin to train."""
        raise NotImplementedError

    def make_recipe(self) -> Recipe:
        """What trains as the panel is set to do, without a viewer."""
        raise NotImplementedError

    def update_buttons(self) -> None:
        """Enable what can be used now."""
        raise NotImplementedError

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of an image."""
        raise NotImplementedError

    def take_end(self) -> None:
        """Get ready for the next training."""
        raise NotImplementedError

    def learns_from(self, layer: Layer) -> bool:
        """Whether the panel trains on what is drawn in a layer."""
        raise NotImplementedError

    # The training

    @property
    def is_training(self) -> bool:
        """Whether a training goes on."""
        return self.background is not None and self.background.is_active

    def run(self, run: Run, at_end: Callable[[], None] | None = None) -> None:
        """Train in a thread.

        Parameters
        ----------
        run : callable
            As for `run_in_background`; its value is a `SavedTraining`.
        at_end : callable, optional
            Called when it is over, also where the panel was closed meanwhile.
        """
        self.saved = None
        self.settings.keep()
        self.events = TrainingEvents(self, at_end)
        self.background = run_in_background(
            run,
            on_event=self.events.take_event,
            on_result=self.events.take_result,
            on_error=self.events.take_error,
            on_finished=self.events.take_end,
        )
        self.stop.setEnabled(True)
        self.update_buttons()
        self.show_scene()

    def show_reason(self, reason: str, tip: str) -> None:
        """Offer Train or Stop, and say why training cannot begin; the tip is shown where it can."""
        is_active = self.is_training
        self.train.setVisible(not is_active)
        self.train.setEnabled(not reason)
        self.train.setToolTip(reason or tip)
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.stop.setVisible(is_active)

    def take_event(self, event: Any) -> None:
        """Show what a training says."""
        match event:
            case StepFinished():
                self.progress.show_step(event)
            case PreviewReady():
                self.show_preview(event)
            case EpochFinished():
                self.progress.show_epoch(event)
            case TrainingStarted():
                self.progress.show_start(event)
            case Message():
                self.progress.show_message(event)

    def take_result(self, result: SavedTraining) -> None:
        """Show what a training left behind."""
        self.saved = result
        self.progress.show_end(result)

    def forget_outcome(self, sentence: str) -> None:
        """Tell of the last training no longer, nor offer its model; a sentence says why."""
        self.saved = self.trained_on = None
        self.progress.forget(sentence)

    def take_error(self, error: Exception) -> None:
        """Say why there is no model."""
        self.progress.show_failure(str(error))

    def stop_training(self) -> None:
        """End now and keep the model so far."""
        if self.background is not None:
            self.stop.setEnabled(False)
            self.progress.show_stopping()
            self.background.stop()

    def _segment(self) -> None:
        """Segment the image that the new model learned from in the Segment panel; else choose the model there."""
        if self.saved is None or self.saved.path is None:
            return
        panel: Any = self.open_beside("EmbedSeg: Segment")
        panel.take_over(self.saved.path, self.trained_on, self.trained_channel)
        if self.trained_on is not None and self.trained_on in self.viewer.layers:
            # Whoever painted or reviewed was led into a corner of it.
            show_whole(self.viewer, self.trained_on)
            panel.start()

    def is_own(self, layer: Layer) -> bool:
        """Whether a layer is a preview of this panel, or what it trains on."""
        return self.view.is_its(layer) or self.learns_from(layer)

    def release(self) -> None:
        """Keep everything, and stop."""
        self.settings.close_down()
        self.output.close_down()
        if self.is_training and self.background is not None and self.events is not None:
            # What it ends with is kept all the same.
            self.events.panel = None
            self.background.stop()


class TrainingEvents:
    """Callbacks of one run.

    Parameters
    ----------
    panel : TrainingPanel
        Set to None when it is closed.
    at_end : callable, optional
        Called when the run is over, also where the panel was closed.
    """

    def __init__(self, panel: TrainingPanel, at_end: Callable[[], None] | None = None) -> None:
        self.panel: TrainingPanel | None = panel
        self.at_end = at_end
        self._old = OldObjects()

    def take_event(self, event: Any) -> None:
        """Pass on an event."""
        if isinstance(event, TrainingStarted):
            # By now the thread has imported what it needs.
            self._old.set_aside()
        if self.panel is not None:
            self.panel.take_event(event)

    def take_result(self, result: SavedTraining) -> None:
        """List the model for all panels, and say so: the panel does, unless it is closed or behind others."""
        if result.path is not None:
            models.remember(result.path, is_wanted=False)
            if self.panel is None or not self.panel.isVisible():
                show_info(f"Model {short(result.path.stem)} is saved.")
        if self.panel is not None:
            self.panel.take_result(result)

    def take_error(self, error: Exception) -> None:
        """Tell the user."""
        if self.panel is not None:
            self.panel.take_error(error)
        report_error(error)

    def take_end(self) -> None:
        """Pass on that the run is over."""
        if self.at_end is not None:
            self.at_end()
        if self.panel is not None:
            self.panel.take_end()
        self._old.take_back()
