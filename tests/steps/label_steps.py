"""What a person does in the Label & Train panel, for the tests of several of its parts."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.doubt import Doubt
from embedseg_napari.core.review.queue import ReviewQueue
from embedseg_napari.core.session.session import AnnotationSession

PANEL = "EmbedSeg: Label & Train"


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
    """Choose an image and press Annotate, in the session that is open; its annotation layer is returned."""
    panel.annotation.image.choose(layer)
    panel.annotation.annotate.click()
    if not panel.annotation.joining.isHidden():
        panel.annotation.joining.join.click()
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
