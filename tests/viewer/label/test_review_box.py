"""Looking through predicted objects by doubt, in the panel, with its buttons and keys."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from view_steps import is_in_view

from embedseg_napari.core.annotation.edits import Edit
from embedseg_napari.core.annotation.states import BACKGROUND, without_background
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.doubt import Doubt, rank_doubt
from embedseg_napari.core.review.queue import ReviewQueue
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.annotation_pixels import objects_alone
from embedseg_napari.viewer.fully_annotated import annotation_of
from embedseg_napari.viewer.label import review_box
from embedseg_napari.viewer.label.review_box import HERE
from embedseg_napari.viewer.preview.preview import LABELS

PANEL = "EmbedSeg: Label & Train"


def queue_of(labels, annotation):
    """A prediction that finds all objects; the one with the lowest number is to be looked at first."""
    n, ndim = int(labels.max()), labels.ndim
    seed_map = np.where(labels > 0, 0.8 + 0.2 * labels / n, 0.05).astype(np.float32)
    zeros = np.zeros((ndim, *labels.shape), np.float32)
    centers = np.array([np.argwhere(labels == i).mean(0) for i in range(1, n + 1)], np.float32)
    scores = (0.9 + 0.1 * np.arange(1, n + 1) / n).astype(np.float32)
    maps = EmbeddingMaps(zeros, zeros + 3, seed_map)
    segmentation = Segmentation(labels, centers, scores, PredictionConfig(), kept_maps=maps)
    doubts = rank_doubt(segmentation, annotation=annotation)
    return ReviewQueue(segmentation, sorted(doubts, key=lambda doubt: doubt.label))


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@pytest.fixture
def panel(open_panel):
    return open_panel(PANEL)


@pytest.fixture(params=[pytest.param(2, marks=pytest.mark.thorough), 3])
def review(request, viewer, panel, blobs, monkeypatch, qtbot, tmp_path):
    """The panel's review of an image whose first object is annotated; its true labels are predicted."""
    image, truth = blobs(request.param)
    viewer.add_image(image, name="cells", scale=(2.0, 0.5, 0.5)[-request.param :], axis_labels="zyx"[-request.param :])
    panel.annotation.annotate.click()
    panel.annotation.layers.labels.data_setitem(np.nonzero(truth == 1), 1)

    def find(model, image, labels, device, should_stop):
        yield from ()
        return queue_of(truth, labels)

    monkeypatch.setattr(review_box, "find_doubts", find)
    panel.review.start(tmp_path / "model.embedseg", "cpu")
    with qtbot.waitSignal(panel.review.search.finished, timeout=20000):
        pass
    panel.review.truth = truth
    return panel.review


def press(viewer, key):
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, key)


def labels_of(review):
    return review.layers.array()


def test_the_prediction_is_shown_and_next_goes_to_the_first_place(viewer, review):
    assert np.array_equal(viewer.layers[LABELS].data, review.truth)
    assert review.line.text() == "5 places to look at, the most doubtful first: press J."
    assert not review.accept.isEnabled()
    review.next.click()
    doubt = review.queue.current
    assert doubt.label == 2
    assert f"Object 1 of 5: doubt {doubt.score:.2f}" in review.line.text()
    assert is_in_view(viewer, 0.5 * np.array(doubt.center[-2:]))
    corners = np.array(viewer.layers[HERE].data[0])
    assert (corners[:, -2:].min(0) < [side.start for side in doubt.box[-2:]]).all()
    if review.layers.ndim == 3:
        assert viewer.dims.point[0] == pytest.approx(2 * doubt.center[0], abs=1.1)


@pytest.mark.usefixtures("whole_window")
def test_keys_accept_delete_and_undo(viewer, review):
    layer, truth = review.layers.labels, review.truth
    review.next.click()
    first = review.queue.current
    press(viewer, Qt.Key.Key_A)
    assert np.array_equal(labels_of(review) == 2, truth == first.label)
    second = review.queue.current
    assert second is not first
    press(viewer, Qt.Key.Key_D)
    assert np.array_equal(labels_of(review) == BACKGROUND, truth == second.label)
    layer.undo()
    assert not (labels_of(review) == BACKGROUND).any()
    press(viewer, Qt.Key.Key_K)
    assert review.queue.current is second
    layer.undo()
    assert np.array_equal(labels_of(review) > 0, truth == 1)


def test_what_is_accepted_is_protected_until_it_is_repainted(viewer, review):
    layers, layer = review.layers, review.layers.labels
    review.next.click()
    doubt = review.queue.current
    press(viewer, Qt.Key.Key_A)
    assert layers.accepted == {2}
    assert layer.selected_label != 2
    place = tuple(axis[:5] for axis in np.nonzero(review.truth == doubt.label))
    layer.data_setitem(place, 7)
    assert not (labels_of(review) == 7).any()
    press(viewer, Qt.Key.Key_K)
    assert review.queue.current is doubt
    press(viewer, Qt.Key.Key_R)
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    assert layers.accepted == set()
    layer.data_setitem(place, 7)
    assert (labels_of(review) == 7).any()
    # Accepting it again protects what it is now; nothing is copied anew.
    before = labels_of(review).copy()
    press(viewer, Qt.Key.Key_A)
    assert layers.accepted == {2}
    assert np.array_equal(labels_of(review), before)
    assert review.queue.current is not doubt


@pytest.mark.usefixtures("whole_window")
def test_undo_of_an_accept_takes_the_protection_back(viewer, review):
    layers, layer = review.layers, review.layers.labels
    review.next.click()
    press(viewer, Qt.Key.Key_A)
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert layers.accepted == set()
    press(viewer, Qt.Key.Key_N)
    assert layer.selected_label == 2
    layer.data_setitem(np.nonzero(review.truth == 3), 2)
    assert layers.accepted == set()


def test_repaint_opens_the_object_for_the_brush(viewer, review):
    press(viewer, Qt.Key.Key_J)
    doubt = review.queue.current
    press(viewer, Qt.Key.Key_R)
    layer = review.layers.labels
    assert review.queue.current is doubt
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    assert np.array_equal(labels_of(review) == 2, review.truth == doubt.label)
    before = labels_of(review).copy()
    layer.data_setitem(tuple(axis[:5] for axis in np.nonzero(before == 2)), 0)
    press(viewer, Qt.Key.Key_J)
    assert review.queue.current is not doubt
    assert (labels_of(review) == 2).sum() == (before == 2).sum() - 5


def test_a_copy_that_nobody_changed_or_accepted_is_taken_back(viewer, review):
    before = labels_of(review).copy()
    press(viewer, Qt.Key.Key_J)
    press(viewer, Qt.Key.Key_R)
    assert not np.array_equal(labels_of(review), before)
    press(viewer, Qt.Key.Key_J)
    assert np.array_equal(labels_of(review), before)
    press(viewer, Qt.Key.Key_K)
    press(viewer, Qt.Key.Key_R)
    press(viewer, Qt.Key.Key_A)
    press(viewer, Qt.Key.Key_J)
    assert (labels_of(review) == 2).any()


@pytest.mark.parametrize("is_painted_meanwhile", [False, True])
def test_undo_brings_no_copy_back(viewer, review, is_painted_meanwhile):
    layer, states = review.layers.labels, [np.zeros_like(review.truth), labels_of(review).copy()]

    def paint():
        layer.data_setitem(tuple(axis[len(states) : len(states) + 1] for axis in np.nonzero(review.truth == 0)), 1)
        states.append(np.where(labels_of(review) == 2, 0, labels_of(review)))

    paint()
    press(viewer, Qt.Key.Key_J)
    press(viewer, Qt.Key.Key_R)
    assert (labels_of(review) == 2).any()
    if is_painted_meanwhile:
        paint()
    press(viewer, Qt.Key.Key_J)
    for step in (layer.undo, layer.redo):
        for state in states[::-1]:
            assert np.array_equal(labels_of(review), state)
            step()
        states.reverse()


@pytest.mark.parametrize("way", ["changed", "accepted"])
def test_a_copy_is_learned_and_saved_once_it_was_changed_or_accepted(viewer, review, panel, way):
    before, layer = labels_of(review).copy(), review.layers.labels
    press(viewer, Qt.Key.Key_J)
    press(viewer, Qt.Key.Key_R)
    assert panel.autosave.save_now()
    assert np.array_equal(panel.autosave.annotated().annotation.labels, before)
    assert np.array_equal(panel.autosave.session.load_annotation("cells").labels, before)
    assert (labels_of(review) == 2).any(), "it stays to be painted on"
    if way == "changed":
        layer.data_setitem(tuple(axis[:5] for axis in np.nonzero(labels_of(review) == 2)), 0)
    else:
        press(viewer, Qt.Key.Key_A)
    assert panel.autosave.save_now()
    assert (labels_of(review) == 2).any()
    assert np.array_equal(panel.autosave.annotated().annotation.labels, labels_of(review))
    assert np.array_equal(panel.autosave.session.load_annotation("cells").labels, labels_of(review))


def test_delete_makes_background_of_what_was_copied_or_accepted(viewer, review):
    layer, truth = review.layers.labels, review.truth
    review.next.click()
    first = review.queue.current
    # A copy, unchanged and changed; and an accepted object.
    for keys in ("R", "Rx", "A"):
        press(viewer, Qt.Key[f"Key_{keys[0]}"])
        if keys == "Rx":
            layer.data_setitem(tuple(axis[:5] for axis in np.nonzero(labels_of(review) == 2)), 0)
        if keys == "A":
            press(viewer, Qt.Key.Key_K)
        assert review.queue.current is first
        painted = labels_of(review).copy()
        press(viewer, Qt.Key.Key_D)
        assert np.array_equal(labels_of(review) == BACKGROUND, truth == first.label)
        assert not (labels_of(review) == 2).any()
        assert review.layers.accepted == set()
        assert review.queue.current is not first
        layer.undo()
        assert not (labels_of(review) == BACKGROUND).any()
        if keys != "R":
            assert np.array_equal(labels_of(review), painted)
        review.layers.apply(Edit(np.nonzero(labels_of(review) == 2), 0))
        press(viewer, Qt.Key.Key_K)
        assert review.queue.current is first


@pytest.mark.parametrize("way", ["another image", "closed", "train", "new session", "removed"])
def test_a_copy_that_nobody_changed_does_not_outlive_the_review(viewer, review, panel, monkeypatch, way):
    before, layers = labels_of(review).copy(), review.layers
    layer = layers.labels
    press(viewer, Qt.Key.Key_J)
    press(viewer, Qt.Key.Key_R)
    assert not np.array_equal(layer.data, before)
    panel.autosave.save_now()
    folder = panel.autosave.session.folder
    if way == "another image":
        panel.annotation.image.choose(viewer.add_image(np.zeros(before.shape), name="other"))
    elif way == "closed":
        viewer.window.remove_dock_widget(panel)
    elif way == "train":
        monkeypatch.setattr(panel, "problem", lambda: "not today")
        panel.start()
        panel.autosave.save_now()
    elif way == "new session":
        panel.sessions.new_wanted.emit()
    else:
        viewer.layers.remove(layer)
    assert np.array_equal(layer.data, before)
    panel.autosave.close()
    with AnnotationSession.open(folder) as session:
        assert np.array_equal(session.load_annotation("cells").labels, before)


@pytest.mark.parametrize("way", ["unchanged", "changed", "accepted"])
def test_a_copy_counts_for_all_readers_once_it_is_changed_or_accepted(viewer, review, way):
    layer, before = review.layers.labels, labels_of(review).copy()
    press(viewer, Qt.Key.Key_J)
    press(viewer, Qt.Key.Key_R)
    now = layer.data.copy()
    if way == "changed":
        pixel = tuple(np.argwhere(now != before)[0])
        layer.data_setitem(tuple(np.array([at]) for at in pixel), 0)
        now[pixel] = 0
    elif way == "accepted":
        review.layers.accept([int(layer.selected_label)])
    expected = before if way == "unchanged" else now
    assert np.array_equal(review.layers.annotation(check=True).labels, expected)
    assert np.array_equal(annotation_of(layer, layer.data, viewer.layers).labels, expected)
    saved, copy = objects_alone(layer.data, layer.metadata), viewer.add_layer(Labels(**duplicate_of(layer)))
    for objects in (saved, copy.data):
        assert np.array_equal(objects, without_background(expected))
    assert np.array_equal(layer.data, now), "the layer itself is as it was"


def duplicate_of(layer):
    """What napari makes a duplicate of a layer of."""
    data, state, _ = layer.as_layer_data_tuple()
    return {"data": data.copy(), "name": "copy", "metadata": deepcopy(state["metadata"])}


def test_where_nothing_was_found_only_what_is_painted_is_kept(viewer, review):
    place = np.nonzero(review.truth == 2)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in place)
    center = tuple(float(axis.mean()) for axis in place)
    review.queue.doubts = [Doubt(0, 0.9, {"missed": 0.9}, center, box, "missed", place)]
    before = labels_of(review).copy()
    press(viewer, Qt.Key.Key_J)
    assert review.line.text().startswith("Place 1 of 1: no object was found here")
    assert not review.accept.isEnabled()
    assert review.repaint_button.text() == "Paint (R)"
    press(viewer, Qt.Key.Key_A)
    press(viewer, Qt.Key.Key_R)
    assert (review.layers.labels.mode, review.layers.labels.selected_label) == ("paint", 2)
    assert np.array_equal(labels_of(review), before)
    review.layers.labels.data_setitem(place, 2)
    review.next.click()
    assert (labels_of(review) == 2).sum() == len(place[0])


def test_the_view_is_given_back_when_all_places_were_looked_at(viewer, review):
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.zoom = 0.7
    before = tuple(camera.center), camera.zoom
    review.next.click()
    assert (tuple(camera.center), camera.zoom) != before
    for _ in range(5):
        review.next.click()
    assert review.queue.current is None
    assert (tuple(camera.center), camera.zoom) == before
    # Of the next search it is the view of before that.
    press(viewer, "J")
    viewer.reset_view()
    before = tuple(camera.center), camera.zoom
    review.begin(review.queue)
    review.clear()
    assert (tuple(camera.center), camera.zoom) == before


def test_what_was_painted_meanwhile_is_left_out(review):
    layer = review.layers.labels
    for label in (2, 3):
        layer.data_setitem(np.nonzero(review.truth == label), label)
    review.next.click()
    assert review.queue.current.label == 4
    for _ in range(3):
        review.next.click()
    assert "train on" in review.line.text()
    assert not review.accept.isEnabled()


def test_another_image_ends_the_review(viewer, review):
    viewer.add_image(np.zeros((16, 16)), name="other")
    viewer.layers.remove("cells")
    assert review.queue is None
    assert not review.next.isEnabled()
