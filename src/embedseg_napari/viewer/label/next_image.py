"""A button that goes to the image where the model is least sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from embedseg_napari.core.events import Message
from embedseg_napari.core.review.next_image import ImageRanking, Looking, Rated, rate_images
from embedseg_napari.viewer.widgets.boxes import Sentence, button, short
from embedseg_napari.viewer.worker import BackgroundRun, report_message, run_in_background

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from embedseg_napari.core.review.next_image import Candidate

KEY = "Shift-J"
GO, CANCEL = "Next image (Shift+J)", "Cancel"


class NextImage(QWidget):
    """The button, and a line that says how far the search is."""

    wanted = Signal()
    """The button was pressed to go on, not to cancel."""
    chosen = Signal(object)
    """The `Rated` image to go to."""

    def __init__(self) -> None:
        super().__init__()
        self.ranking = ImageRanking()
        self.search: BackgroundRun | None = None
        self._is_closed = False
        self.button = button(
            GO,
            "Go to the image the model is least sure about: the other images of this session, and open images of "
            "the same kind that are not annotated yet (of a time-lapse a few frames), are segmented in the background "
            "and ranked by the mean doubt about their objects. The first search with a model takes a while; press "
            "again to cancel.",
            self.press,
        )
        self.line = Sentence()
        self.line.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.line)

    @property
    def is_searching(self) -> bool:
        """Whether images are being segmented."""
        return self.search is not None and self.search.is_active

    def press(self) -> None:
        """Go on, or cancel what goes on."""
        if not self.is_searching:
            self.wanted.emit()
        elif self.search is not None:
            self.search.stop()
            self._say("Stopping…")

    def on_key(self, layer: object) -> None:
        """As :meth:`press`, for a key of a layer, which may outlive the panel."""
        if not self._is_closed:
            self.press()

    def start(self, model: Path, candidates: Sequence[Candidate], front: str, device: str) -> None:
        """Rate the candidates, then choose.

        Parameters
        ----------
        model : Path
            File of the model.
        candidates : sequence of Candidate
            Images to choose from.
        front : str
            Key of the image to leave.
        device : str
            Where to compute.
        """
        ranking = self.ranking
        ranking.use(model)
        ranking.seen.add(front)
        candidates = [one for one in candidates if one.key not in ranking.seen]
        missing = ranking.missing(candidates)
        if not missing:
            self._choose(candidates)
            return
        self.button.setText(CANCEL)
        self.search = run_in_background(
            lambda should_stop: rate_images(model, missing, device, should_stop),
            on_event=self._take,
            on_result=lambda _: self._choose(candidates),
            on_finished=self._end,
        )

    def _take(self, event: Any) -> None:
        match event:
            case Looking():
                self._say(f"Segmenting image {event.number} of {event.n}: {short(event.name)}…")
            case Rated():
                self.ranking.add(event)
            case Message():
                report_message(event)

    def _choose(self, candidates: Sequence[Candidate]) -> None:
        best = self.ranking.best(candidates)
        if best is None:
            self._say("No other image of this kind is left to visit with this model.")
            return
        self.ranking.seen.add(best.candidate.key)
        self._say(f"{short(best.candidate.name)}: doubt {best.doubt:.2f}")
        self.chosen.emit(best)

    def _end(self) -> None:
        self.button.setText(GO)
        if self.line.text().endswith("…"):
            self._say("")

    def _say(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def forget(self) -> None:
        """Stop what goes on, and keep nothing: another session, or the panel is being closed."""
        if self.search is not None:
            self.search.detach()
            # It may take a while to stop; the next one does not wait for it.
            self.search = None
        self.ranking = ImageRanking()
        self.button.setText(GO)
        self._say("")

    def close_down(self) -> None:
        """Forget everything, and listen to no key any more."""
        self._is_closed = True
        self.forget()
