"""A round of training while the user paints on: what the worker thread runs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import CheckpointSaved, Message, TrainingFinished
from embedseg_napari.core.session.state import Round
from embedseg_napari.jobs.saved_training import prepare_output, save_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import numpy as np

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.events import TrainingEvent
    from embedseg_napari.core.session.files import Annotation
    from embedseg_napari.core.session.writer import ImageAtHand, Painted, SessionWriter
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.jobs.saved_training import SavedTraining


@dataclass(frozen=True)
class RoundRequest:
    """Everything a round needs, taken from the panel before it starts."""

    config: TrainingConfig
    painted: Painted | None
    """The annotation in front; what else is in the session is read from there."""
    at_hand: dict[str, ImageAtHand]
    """Images that are open, by their names in the session."""
    start_from: str | None
    """File of the model whose weights training starts from."""
    device: str
    output: Path
    """Where the model is saved."""
    writer: SessionWriter
    """The session that is learned from and keeps the round."""


@dataclass
class LabelTraining:
    """Trains on what is painted, and on what is painted meanwhile; `run` belongs into a worker thread.

    Parameters
    ----------
    request : RoundRequest
        What to train.
    preview : callable, optional
        Called in the worker thread now and then with an example that is trained on; returns what shall be shown.
    """

    request: RoundRequest
    preview: Callable[[Example], Example | None] | None = None
    _offered: dict[str, Painted] = field(default_factory=dict)
    _learned: dict[str, Annotation] = field(default_factory=dict)
    _joined: dict[str, ImageAtHand] = field(default_factory=dict)
    _frames: dict[str, np.ndarray] = field(default_factory=dict)
    """Pixels by image: an array that the training knows is not normalised again."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, painted: Painted) -> None:
        """Let the training learn from a newer annotation from its next epoch on; called from the GUI's thread."""
        with self._lock:
            self._offered[painted.image.name] = painted

    def run(self, should_stop: Callable[[], bool]) -> Generator[TrainingEvent, None, SavedTraining]:
        """Train, save the model, and add the round to the session.

        Parameters
        ----------
        should_stop : callable
            Looked at between steps; when it returns True the model so far is saved.

        Raises
        ------
        EmbedSegError
            As the core's Trainer.
        """
        started = time.monotonic()
        request = self.request
        prepare_output(request.output)
        # What training learns from is safe before it begins.
        if request.painted is not None:
            request.writer.save(request.painted)
        material = request.writer.read(request.at_hand)
        for fault in material.faults:
            yield Message(fault, "warning")
        examples, self._learned = material.examples, material.learned
        self._frames = {example.name: example.image for example in examples}

        from embedseg_napari.core.model.model import load_model
        from embedseg_napari.core.training.trainer import Trainer

        start = None if request.start_from is None else load_model(request.start_from, "cpu")
        preview = self.preview
        trainer = Trainer(
            request.config, examples, [], start, device=request.device, started=started,
            preview=None if preview is None else lambda: preview(examples[0]), updates=self._newest,
        )  # fmt: skip
        run = trainer.run(should_stop)
        while True:
            try:
                event = next(run)
            except StopIteration as end:
                result: TrainingResult = end.value
                break
            if not isinstance(event, CheckpointSaved | TrainingFinished):
                yield event
        saved = save_result(result, request.output, request.output.stem)
        if saved.path is not None:
            try:
                row = self._row(result, time.monotonic() - started)
                request.writer.add_round(self._learned, self._joined, row, saved.path)
            except EmbedSegError as error:
                yield Message(f"The round is not kept in the session: {error}", "warning")
        return saved

    def _newest(self) -> list[Example] | None:
        """What was painted since the last epoch, in any image."""
        with self._lock:
            newest, self._offered = self._offered, {}
        for name, painted in newest.items():
            self._learned[name], self._joined[name] = painted.annotation, painted.image
            if name not in self._frames:
                self._frames[name] = painted.image.frame()
        return [one.image.example(self._learned[name], self._frames[name]) for name, one in newest.items()] or None

    def _row(self, result: TrainingResult, seconds: float) -> Round:
        prediction = result.model.config.prediction
        thresholds = {name: getattr(prediction, name) for name in ("seed_threshold", "foreground_threshold")}
        return Round(seconds=seconds, score=result.best_score, thresholds=thresholds)
