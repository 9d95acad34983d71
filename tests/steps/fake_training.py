"""A training that says what one says, without a network: for the panels Train and Label & Train."""

from __future__ import annotations

import threading

import numpy as np

from embedseg_napari.core.events import EpochFinished, PreviewReady, StepFinished, TrainingStarted
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.session.state import Comparison, Round
from embedseg_napari.jobs.label_round import Given, RoundRequest
from embedseg_napari.jobs.saved_training import SavedTraining
from embedseg_napari.jobs.train import TrainingPaused


class FakeTraining:
    """Stands in for `TrainingJob` and `LabelTraining`; tests set how it goes on the class."""

    failure: Exception | None = None
    """Raised in the first step."""
    waits = False
    """It goes on until it is stopped, instead of for two steps."""
    shows = True
    """Whether it previews."""
    score: float | None = None
    """Of what was held out."""
    model = b""
    """What it saves."""
    comparison: Comparison | None = None
    """How a round compares with where it started."""

    def __init__(self, request, preview=None) -> None:
        self.request, self.preview = request, preview
        self.learned = {}
        """Images of the session that it began with, by name."""
        self.offers, self.given = [], Given(getattr(request, "front", None))
        self.offered, self.pausing = threading.Event(), threading.Event()

    @property
    def latest(self):
        """What was offered last of each image, by name."""
        return {image.name: image for image in self.offers}

    def offer(self, image) -> None:
        if self.given.is_new(image):
            self.offers.append(image)
            self.offered.set()

    def pause(self) -> None:
        self.pausing.set()

    def resume(self) -> None:
        self.pausing.clear()

    def run(self, should_stop):
        example = self._read()
        yield TrainingStarted(1, 0, 3, (32, 32), None, 3.0, 16, "cpu", "float32")
        shown = self.preview(example, self.request.config.normalization) if self.shows else None
        if shown is not None:
            yield preview_of(shown)
        step = 0
        while step < 2 or (self.waits and not should_stop()):
            step += 1
            yield StepFinished(0, step, 1.0 / step, 0.1, 0.1, 0.1, 1e-3, 0.5)
            if self.failure is not None:
                raise self.failure
            if self.pausing.is_set() and not should_stop():
                yield TrainingPaused()
                while self.pausing.is_set() and not should_stop():
                    threading.Event().wait(0.005)
        yield EpochFinished(
            0, step, 1.0, 0.5, 0.1, 0.1, 0.1, 1e-3, self.score, self.score, is_best=self.score is not None
        )
        return self._save(step, should_stop())

    def _read(self):
        request = self.request
        if not isinstance(request, RoundRequest):
            return request.read()[0][0]
        if request.front is not None:
            request.session.save_annotation(request.front.name, request.front.annotation, request.front.picture)
        self.learned = {image.name: image for image in request.session.annotated_images(request.pictures)[0]}
        return next(iter(self.learned.values())).example()

    def _save(self, step, was_stopped):
        output = self.request.output
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(self.model)
        if isinstance(self.request, RoundRequest):
            row = Round(
                seconds=72.0,
                score=self.score,
                thresholds={"seed_threshold": 0.7, "foreground_threshold": 0.5},
                started_from=self.request.start_from or "",
                saved_as=str(output),
                comparison=self.comparison,
            )
            self.request.session.add_round(row, output, (self.learned | self.latest).values())
        return SavedTraining(output, self.score, was_stopped, step)


def preview_of(example):
    """One object as large as the image."""
    shape = example.image.shape[1:]
    zeros, labels = np.zeros((len(shape), *shape), np.float32), np.ones(shape, np.int32)
    maps = EmbeddingMaps(zeros, zeros + 3, zeros[0])
    return PreviewReady(example.name, example.image, maps, labels, np.zeros((1, len(shape))), np.ones(1), 1)
