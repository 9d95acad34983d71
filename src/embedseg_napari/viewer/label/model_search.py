"""Looking with the model that the next round would start from: for doubtful places, and for the image to go on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.errors import ModelError
from embedseg_napari.viewer.label.candidates import candidates
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embedseg_napari.core.review.next_image import Rated
    from embedseg_napari.viewer.label.navigator import SessionNavigator
    from embedseg_napari.viewer.label.next_image import NextImage
    from embedseg_napari.viewer.label.review_box import ReviewBox
    from embedseg_napari.viewer.train.settings import TrainingSettings


class ModelSearch:
    """Answers *Find doubtful objects* and *Next image*.

    Parameters
    ----------
    settings : TrainingSettings
        Where model and device are chosen.
    review : ReviewBox
        Shows what is doubtful.
    next_image : NextImage
        Ranks other images.
    navigator : SessionNavigator
        Knows which there are.
    problem : callable
        Returns why the chosen model cannot be used here; empty if it can.
    do : callable
        Does something with the session, and returns whether that went well.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        review: ReviewBox,
        next_image: NextImage,
        navigator: SessionNavigator,
        problem: Callable[[], str],
        do: Callable[[Callable[[], Path | None]], bool],
    ) -> None:
        self.settings, self.review, self.next_image, self.navigator = settings, review, next_image, navigator
        self._problem, self._do = problem, do
        review.search_wanted.connect(self.find_doubts)
        next_image.wanted.connect(self.find_next_image)
        next_image.chosen.connect(self._go_on_with)

    def find_doubts(self) -> None:
        """Look for doubtful objects in the image in front."""
        model = self._model()
        if model is not None:
            self.review_with(model)

    def review_with(self, model: Path) -> None:
        """Look for what is doubtful to this model."""
        self.review.start(model, self.settings.device.currentText())

    def go_back_to(self, model: Path) -> None:
        """Go on from the model of before a round that made it worse; what is annotated stays."""
        self.settings.choose_start(model)
        self.review.clear()
        if self.settings.start_from() is not None and not self._problem():
            self.find_doubts()

    def find_next_image(self) -> None:
        """Go to the image where the model is least sure."""
        model = self._model()
        if model is not None:
            found = candidates(self.navigator, self.next_image.ranking.seen_with(model))
            self.next_image.start(model, found, self.navigator.front_key(), self.settings.device.currentText())

    def _model(self) -> Path | None:
        model = self.settings.start_from()
        problem = self._problem() or ("" if model else "Train first, or choose a model under Start from.")
        if problem:
            report_error(ModelError(problem))
            return None
        return model

    def _go_on_with(self, rated: Rated) -> None:
        """Show an image that was chosen to be the next, and its doubtful places."""
        if not self._do(lambda: self.navigator.go_on_to(rated.candidate.target)):
            return
        self.next_image.ranking.seen.add(self.navigator.front_key())
        model = self.next_image.ranking.model
        if model is not None and rated.queue is not None:
            self.review.begin(rated.queue, model)
        elif model is not None:
            self.review_with(model)
