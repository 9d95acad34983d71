"""What a person does in the Label & Train panel, for the tests of several of its parts."""

from __future__ import annotations

import threading

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.events import EpochFinished, PreviewReady, StepFinished, TrainingStarted
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.doubt import Doubt
from embedseg_napari.core.review.queue import ReviewQueue
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.core.session.state import Round
from embedseg_napari.jobs.saved_training import SavedTraining

PANEL = "EmbedSeg: Label & Train"


def learn_from(request):
    """The annotated images that a round begins with."""
    front, session = request.front, request.session
    if front is not None:
        session.save_annotation(front.name, front.annotation, front.picture)
    return session.annotated_images(request.pictures)[0]


class FakeTraining:
    """Says what a training says, without one."""

    failure: Exception | None = None
    waits = False
    model: str = ""

    score: float | None = None

    def __init__(self, request, preview=None) -> None:
        self.request, self.preview = request, preview
        self.offers = []
        self.offered = threading.Event()

    def offer(self, image) -> None:
        self.offers.append(image)
        self.offered.set()

    def run(self, should_stop):
        images = learn_from(self.request)
        example = images[0].example()
        yield TrainingStarted(1, 0, 3, (32, 32), None, 3.0, 16, "cpu", "float32")
        shown = self.preview(example)
        if shown is not None:
            shape = shown.image.shape[1:]
            zeros = np.zeros((len(shape), *shape), np.float32)
            maps = EmbeddingMaps(zeros, zeros + 3, zeros[0])
            labels = np.ones(shape, np.int32)
            yield PreviewReady(shown.name, shown.image, maps, labels, np.zeros((1, len(shape))), np.ones(1), 1)
        step = 0
        while step < 2 or (self.waits and not should_stop()):
            step += 1
            yield StepFinished(0, step, 1.0 / step, 0.1, 0.1, 0.1, 1e-3, 0.5)
            if self.failure is not None:
                raise self.failure
        yield EpochFinished(0, step, 1.0, 0.5, 0.1, 0.1, 0.1, 1e-3, None, None, False)
        output = self.request.output
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(self.model)
        row = Round(seconds=72.0, score=self.score, thresholds={"seed_threshold": 0.7, "foreground_threshold": 0.5})
        learned = {one.name: one for one in (*images, *self.offers)}
        self.request.session.add_round(row, output, learned.values())
        return SavedTraining(output, self.score, should_stop(), step)


class WaitingTraining:
    """A training that goes on until it is stopped, and learns from what it is offered."""

    model: bytes = b""

    def __init__(self, request, preview=None) -> None:
        self.request = request
        self.offers = {}
        self.offered = threading.Event()

    def offer(self, image) -> None:
        self.offers[image.name] = image
        self.offered.set()

    def run(self, should_stop):
        request = self.request
        self.learned = {one.name: one for one in learn_from(request)}
        step = 0
        while not should_stop():
            step += 1
            yield StepFinished(0, step, 1.0, 0.1, 0.1, 0.1, 1e-3, 0.5)
        request.output.parent.mkdir(parents=True, exist_ok=True)
        request.output.write_bytes(self.model)
        row = Round(seconds=72.0, score=0.85, thresholds={"seed_threshold": 0.7})
        request.session.add_round(row, request.output, (self.learned | self.offers).values())
        return SavedTraining(request.output, 0.85, True, step)


def queue_of(shape, score):
    """One doubtful object in the corner of an image."""
    labels = np.zeros(shape, np.int32)
    box = (slice(2, 5),) * len(shape)
    labels[box] = 1
    zeros = np.zeros((len(shape), *shape), np.float32)
    maps = EmbeddingMaps(zeros, zeros, zeros[0])
    center = np.full((1, len(shape)), 3, np.float32)
    segmentation = Segmentation(labels, center, np.ones(1, np.float32), PredictionConfig(), kept_maps=maps)
    return ReviewQueue(segmentation, [Doubt(1, score, {"seed": score}, (3.0,) * len(shape), box)])


def annotate(panel, layer):
    """Choose an image and press Annotate; its annotation layer is returned."""
    panel.annotation.image.choose(layer)
    panel.annotation.annotate.click()
    return panel.annotation.layers.labels


def paint(panel, n, row=0):
    """Paint small objects, and some background, on the annotation in front."""
    layer = panel.annotation.layers.labels
    lead = (0,) * (layer.ndim - 2)
    for i in range(n):
        panel.annotation.new.click()
        place = tuple(np.array([p]) for p in (*lead, row, 2 * i))
        layer.data_setitem(place, layer.selected_label)
    panel.annotation.background.click()
    layer.data_setitem(tuple(np.array([p]) for p in (*lead, row + 1, 0)), layer.selected_label)
    panel.annotation.count()
    return layer


def choose_in_list(panel, name):
    """Choose an image of the session as a click does."""
    row = panel.sessions.names.index(name)
    panel.sessions.images.setCurrentIndex(row)
    panel.sessions.images.activated.emit(row)


def listed(panel):
    return [panel.sessions.images.itemText(i) for i in range(panel.sessions.images.count())]


def stored(folder):
    """Number of objects by image, as another process would find them."""
    with AnnotationSession.open(folder) as session:
        labels = {name: session.load_annotation(name).labels for name in session.image_names}
        return {name: len(set(np.unique(array)) - {0, 65535}) for name, array in labels.items()}


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, key, modifier)


def wait_for_search(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.next_image.is_searching, timeout=20000)


def begin(viewer, panel, blobs, ndim=2):
    """Open an image and begin to annotate it; its true labels, unseen by the panel, are returned."""
    image, truth = blobs(ndim)
    scale = (2.0, 0.5, 0.5)[-ndim:]
    viewer.add_image(
        image, name="cells", scale=scale, translate=(1.0,) * ndim, units=("um",) * ndim, axis_labels="zyx"[-ndim:]
    )
    panel.annotation.annotate.click()
    return truth


def paint_truth(panel, truth, n=3):
    """Paint objects with their buttons' labels, and background."""
    layer = panel.annotation.layers.labels
    for identity in range(1, n + 1):
        panel.annotation.new.click()
        layer.data_setitem(np.nonzero(truth == identity), layer.selected_label)
    panel.annotation.background.click()
    plane = np.argwhere(truth == 0)[:200]
    layer.data_setitem(tuple(plane.T), layer.selected_label)
    panel.annotation.count()
