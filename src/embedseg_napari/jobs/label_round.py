"""A round of training while the user paints on: what the worker thread runs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError, EmbedSegError, Stopped
from embedseg_napari.core.events import Message
from embedseg_napari.core.runs import soon_after
from embedseg_napari.core.session.state import Round
from embedseg_napari.core.wording import readable
from embedseg_napari.jobs.round_comparison import compare_with_start
from embedseg_napari.jobs.saved_training import prepare_output, save_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import numpy as np

    from embedseg_napari.core.config import NormalizationConfig, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.session.session import AnnotatedImage, AnnotationSession
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.jobs.saved_training import SavedTraining


@dataclass(frozen=True)
class RoundRequest:
    """Everything a round needs, taken from the panel before it starts."""

    config: TrainingConfig
    front: AnnotatedImage | None
    """The image in front; what else is in the session is read from there."""
    pictures: dict[str, Picture]
    """Images that are open, by their names in the session."""
    start_from: str | None
    """File of the model whose weights training starts from."""
    device: str
    output: Path
    """Where the model is saved."""
    session: AnnotationSession
    """The session that is learned from and keeps the round."""


class Given:
    """Which annotations a training has been given.

    Parameters
    ----------
    front : AnnotatedImage, optional
        The image that it began with; others of the session are as they are on the disk.
    """

    def __init__(self, front: AnnotatedImage | None) -> None:
        self._revisions = {} if front is None else {front.name: front.annotation.revision}

    def is_new(self, image: AnnotatedImage) -> bool:
        """Whether it has not had this one yet, and something is painted on it; from now on it has."""
        known, revision = self._revisions.get(image.name), image.annotation.revision
        if known == revision or (known is None and image.annotation.is_empty):
            return False
        self._revisions[image.name] = revision
        return True


@dataclass
class LabelTraining:
    """Trains on what is painted, and on what is painted meanwhile; `run` belongs into a worker thread.

    Parameters
    ----------
    request : RoundRequest
        What to train.
    preview : callable, optional
        Called in the worker thread now and then with an example that is trained on and the normalisation of the
        network; returns what shall be shown.
    """

    request: RoundRequest
    preview: Callable[[Example, NormalizationConfig], Example | None] | None = None
    _offered: dict[str, AnnotatedImage] = field(default_factory=dict)
    _learned: dict[str, AnnotatedImage] = field(default_factory=dict)
    _frames: dict[str, np.ndarray] = field(default_factory=dict)
    """Pixels by image: an array that the training knows is not normalised again."""
    _given: Given = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._given = Given(self.request.front)

    def offer(self, image: AnnotatedImage) -> None:
        """Let the training learn from a newer annotation from its next epoch on; called from the GUI's thread.

        One that it has already, or that nothing is painted on yet, is left out.
        """
        if self._given.is_new(image):
            with self._lock:
                self._offered[image.name] = image

    def run(self, should_stop: Callable[[], bool]) -> Generator[TrainingEvent, None, SavedTraining]:
        """Train, save the model, and add the round to the session.

        Parameters
        ----------
        should_stop : callable
            Looked at between steps and while the model is compared; when it returns True the model so far is saved.

        Raises
        ------
        EmbedSegError
            As the core's Trainer.
        """
        started = time.monotonic()
        request, front = self.request, self.request.front
        prepare_output(request.output)
        # What training learns from is safe before it begins.
        if front is not None:
            request.session.save_annotation(front.name, front.annotation, front.picture)
        images, faults = request.session.annotated_images(request.pictures)
        if not images:
            raise DataError(faults[0] if faults else "There is nothing in this session that can be learned from.")
        for fault in faults:
            yield Message(f"{fault} This round learns nothing from it.", "warning")
        examples = [self._example(image) for image in images]

        from embedseg_napari.core.model.model import load_model
        from embedseg_napari.core.training.trainer import Trainer

        start = None if request.start_from is None else load_model(request.start_from, "cpu")
        normalization = (request if start is None else start).config.normalization
        preview = None if self.preview is None else partial(self.preview, examples[0], normalization)
        result = yield from Trainer(
            request.config, examples, [], start, device=request.device, started=started, preview=preview,
            updates=self._newest,
        ).run(should_stop)  # fmt: skip
        saved = save_result(result, request.output, request.output.stem)
        if saved.warning:
            yield Message(saved.warning, "warning")
        if saved.path is not None:
            row = self._row(result, time.monotonic() - started, saved.path)
            try:
                row = request.session.add_round(row, saved.path, self._learned.values())
            except EmbedSegError as error:
                yield Message(f"The round is not kept in the session: {error}", "warning")
                return saved
            try:
                learned = [(self._example(image), image.annotation) for image in [*self._learned.values()]]
                comparison = compare_with_start(start, result.model, learned, request.config, soon_after(should_stop))
                request.session.compare_round(row.number, comparison)
                saved = replace(saved, held_out=comparison.held_out)
            except Stopped:
                yield Message("The round was stopped before it was compared with where it started.")
            except EmbedSegError as error:
                yield Message(f"The round could not be compared with where it started: {error}", "warning")
        return saved

    def _newest(self) -> list[Example] | None:
        """What was painted since the last epoch, in any image."""
        with self._lock:
            newest, self._offered = self._offered, {}
        return [self._example(image) for image in newest.values()] or None

    def _example(self, image: AnnotatedImage) -> Example:
        """What is learned from an image from now on."""
        example = image.example(self._frames.get(image.name))
        self._learned[image.name], self._frames[image.name] = image, example.image
        return example

    def _row(self, result: TrainingResult, seconds: float, path: Path) -> Round:
        prediction = result.model.config.prediction
        thresholds = {name: getattr(prediction, name) for name in ("seed_threshold", "foreground_threshold")}
        return Round(
            seconds=seconds,
            score=result.best_score,
            thresholds=thresholds,
            started_from=readable(self.request.start_from or ""),
            saved_as=readable(str(path)),
        )
