"""Takes what a training says to its panel; where that was closed meanwhile, the model is kept all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.jobs.saved_training import SavedTraining
    from embedseg_napari.viewer.train.panel import TrainingPanel


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

    def take_event(self, event: Any) -> None:
        """Pass on an event."""
        if self.panel is not None:
            self.panel.take_event(event)

    def take_result(self, result: SavedTraining) -> None:
        """List the model for all panels, and say so."""
        if result.path is not None:
            models.remember(result.path)
            show_info(f"Model {result.path.stem} is saved; it can be chosen in EmbedSeg: Segment.")
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
