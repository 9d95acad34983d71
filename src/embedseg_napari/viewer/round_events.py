"""Takes what a round of training says to its panel; where that was closed meanwhile, the model is kept all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from embedseg_napari.viewer.models import models
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from embedseg_napari.viewer.label_widget import LabelWidget
    from embedseg_napari.viewer.session_place import SessionPlace
    from embedseg_napari.viewer.training_job import SavedTraining


class RoundEvents:
    """Callbacks of one run.

    Parameters
    ----------
    panel : LabelWidget
        Set to None when it is closed.
    place : SessionPlace
        The session of the round, which stays open until its end.
    """

    def __init__(self, panel: LabelWidget, place: SessionPlace) -> None:
        self.panel: LabelWidget | None = panel
        self.place = place
        place.hold()

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
        self.place.release()
        if self.panel is not None:
            self.panel.take_end()
