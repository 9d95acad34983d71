"""Rounds of training and sessions in the Label & Train panel, opened through the manifest."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")


from fake_training import FakeTraining
from label_steps import PANEL, begin, paint_truth, queue_of
from napari.layers import Labels

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.errors import ComputeError, Stopped
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.core.session.state import Comparison, FoundObjects
from embedseg_napari.viewer.label import review_box
from embedseg_napari.viewer.layers import FOUND, RESULT
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.preview.preview import LABELS, SEED_MAP, SEEDS
from embedseg_napari.viewer.widgets.scroll import FittingScroll

pytestmark = pytest.mark.usefixtures("own_data")
START_REVIEW = review_box.ReviewBox.start
"""Before the panel's fixture takes it away."""


@pytest.fixture
def panel(label_panel):
    return label_panel


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


def finish(panel, qtbot):
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def test_a_round_shows_curves_and_the_prediction_under_the_annotation(viewer, panel, blobs, ndim, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "model", bundled_path(f"nuclei-{ndim}d").read_bytes())
    paint_truth(panel, begin(viewer, panel, blobs, ndim))
    panel.settings.choose_start(None)
    panel.train.click()
    assert panel.train.isHidden()
    assert not panel.stop.isHidden()
    finish(panel, qtbot)
    assert len(panel.progress.plot.epochs) == 1
    names = [layer.name for layer in viewer.layers]
    assert names.index(LABELS) < names.index("cells annotation")
    assert names.index(SEEDS) < names.index("cells annotation")
    assert not viewer.layers[SEED_MAP].visible
    assert viewer.layers.selection.active == panel.annotation.layers.labels
    # What was previewed can be kept.
    panel.keep.click()
    kept = [layer for layer in viewer.layers if layer.name not in names]
    assert {layer.metadata[RESULT] for layer in kept} == {FOUND}
    assert any("cells" in layer.name and isinstance(layer, Labels) for layer in kept)
    assert panel.saved.path in [model.path for model in models.all()]
    # The next round starts from this one's model, under a name of its own.
    assert panel.settings.start_from() == panel.saved.path
    assert panel.output.path() != panel.saved.path
    line = "Round 1 · 3 objects in 1 image · 1.2 min · not scored · seed threshold 0.70"
    assert panel.sessions.rounds.text() == line


def test_the_way_to_segment_is_in_sight_after_a_round_however_the_page_is_scrolled(viewer, panel, blobs, qtbot):
    paint_truth(panel, begin(viewer, panel, blobs))
    segment = panel.progress.segment
    assert not segment.isVisibleTo(panel)
    panel.train.click()
    qtbot.waitUntil(lambda: not panel.is_training, timeout=20000)
    assert segment.isVisibleTo(panel)
    scrolled = panel.findChild(FittingScroll)
    assert not scrolled.isAncestorOf(segment)
    assert scrolled.isAncestorOf(panel.review)


def test_strokes_reach_the_running_training(viewer, panel, blobs, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    truth = begin(viewer, panel, blobs)
    paint_truth(panel, truth)
    panel.train.click()
    job, layer = panel.job, panel.annotation.layers.labels
    panel.look()
    assert job.offers == []
    layer.data_setitem(np.nonzero(truth == 4), 4)
    qtbot.waitUntil(job.offered.is_set, timeout=20000)
    assert 4 in job.offers[-1].annotation.labels
    assert not np.shares_memory(job.offers[-1].annotation.labels, layer.data)
    n = len(job.offers)
    panel.look()
    assert len(job.offers) == n
    panel.stop.click()
    finish(panel, qtbot)
    assert panel.saved.stopped


def test_a_failure_is_told_and_the_panel_can_be_used_again(viewer, panel, blobs, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("embedseg_napari.viewer.train.panel.report_error", told.append)
    paint_truth(panel, begin(viewer, panel, blobs))
    for failure in (RuntimeError("CUDA out of memory"), ComputeError("The device is gone.")):
        monkeypatch.setattr(FakeTraining, "failure", failure)
        panel.train.click()
        finish(panel, qtbot)
        assert panel.progress.bar.format() == "failed"
        assert told
        told.clear()
        assert panel.train.isEnabled()
    monkeypatch.setattr(FakeTraining, "failure", None)
    panel.train.click()
    finish(panel, qtbot)
    assert panel.saved is not None


def test_a_model_of_another_kind_cannot_be_started_from(viewer, panel, blobs, tiny_model_file):
    paint_truth(panel, begin(viewer, panel, blobs, 3))
    panel.settings.choose_start(tiny_model_file)
    assert "works on 2D images" in panel.reason.text()
    panel.settings.choose_start(None)
    assert panel.train.isEnabled()


@pytest.mark.usefixtures("whole_window")
def test_what_is_painted_is_kept_and_resumed(viewer, panel, blobs, ndim, qtbot):
    truth = begin(viewer, panel, blobs, ndim)
    paint_truth(panel, truth)
    panel.annotation.layers.regions.show(truth == 5)
    with qtbot.waitSignal(panel.autosave.saved, timeout=20000):
        panel.autosave.save()
    folder = panel.autosave.session.folder
    # Painted after the last save: kept when the panel is closed.
    panel.annotation.layers.labels.data_setitem(np.nonzero(truth == 4), 4)
    expected = panel.annotation.layers.array().copy()
    viewer.window.remove_dock_widget(panel)
    with AnnotationSession.open(folder) as session:
        assert np.array_equal(session.load_annotation("cells").labels, expected)
    viewer.layers.remove("cells annotation")
    viewer.layers.remove("cells fully annotated")
    _, again = viewer.window.add_plugin_dock_widget("embedseg-napari", PANEL)
    assert folder.name in again.sessions.line.text()
    again.sessions.again.click()
    assert np.array_equal(viewer.layers["cells annotation"].data, expected)
    assert np.array_equal(again.annotation.layers.regions.mask(), truth == 5)
    assert again.train.isEnabled()
    # What is painted after resuming is noticed, and kept too.
    again.annotation.layers.labels.data_setitem(np.nonzero(truth == 3), 9)
    expected = again.annotation.layers.array().copy()
    viewer.window.remove_dock_widget(again)
    with AnnotationSession.open(folder) as session:
        assert np.array_equal(session.load_annotation("cells").labels, expected)


def test_a_voxel_size_typed_after_the_first_stroke_is_learned_with_and_kept(viewer, panel, open_panel, blobs):
    image, truth = blobs(3)
    layer = viewer.add_image(image, name="cells", axis_labels="zyx")
    panel.annotation.annotate.click()
    paint_truth(panel, truth)
    assert panel.autosave.save_now()
    voxel = open_panel("EmbedSeg: Segment").image.voxel
    voxel.setText("2, 0.5, 0.5")
    voxel.editingFinished.emit()
    assert panel.autosave.annotated().picture.spacing == (2, 0.5, 0.5)
    panel.annotation.layers.labels.data_setitem(np.nonzero(truth == 4), 4)
    folder = panel.autosave.session.folder
    panel.navigator.close()
    with AnnotationSession.open(folder) as session:
        assert (session.load_image("cells").spacing, session.load_image("cells").unit) == ((2, 0.5, 0.5), "um")
    # Another day the image comes as its file has it.
    viewer.layers.clear()
    layer = viewer.add_image(image, name="cells", axis_labels="zyx")
    panel.sessions.resume_wanted.emit(folder)
    assert tuple(layer.scale) == tuple(panel.annotation.layers.labels.scale) == (2, 0.5, 0.5)
    assert panel.autosave.annotated().picture.spacing == (2, 0.5, 0.5)


def test_a_session_brings_its_image(viewer, panel, blobs, ndim):
    truth = begin(viewer, panel, blobs, ndim)
    paint_truth(panel, truth)
    scale, pixels = viewer.layers["cells"].scale, viewer.layers["cells"].data
    viewer.layers.clear()
    panel.sessions.list_sessions()
    (action,) = panel.sessions.sessions_menu.actions()
    action.trigger()
    assert np.allclose(viewer.layers["cells"].scale, scale)
    assert np.array_equal(viewer.layers["cells"].data, pixels)
    assert viewer.layers["cells annotation"].data.max() == BACKGROUND
    assert panel.annotation.counts.n_objects == 3
    assert panel.train.isEnabled()


def test_going_back_to_a_round_brings_its_labels_and_model(viewer, panel, blobs, qtbot):
    truth = begin(viewer, panel, blobs)
    paint_truth(panel, truth)
    panel.annotation.layers.accept([2])
    panel.train.click()
    finish(panel, qtbot)
    layer, before = panel.annotation.layers.labels, panel.annotation.layers.array().copy()
    place = np.nonzero(truth == 4)
    layer.data_setitem(place, 4)
    layer.data_setitem(tuple(axis[:5] for axis in place), 5)
    panel.annotation.layers.accept([1, 4])
    panel.sessions.rounds_menu.actions()[0].trigger()
    assert panel.annotation.layers.accepted == {2}
    assert np.array_equal(layer.data, before)
    assert panel.settings.start_from() == panel.autosave.session.model_path(1)
    # Steps from before belong to what was there before.
    for step in (layer.undo, layer.undo, layer.redo):
        step()
        assert np.array_equal(layer.data, before)
    assert (layer.editable, layer.mode) == (True, "paint")


def test_what_is_painted_after_going_back_to_a_round_is_saved(viewer, panel, blobs, qtbot):
    truth = begin(viewer, panel, blobs)
    paint_truth(panel, truth)
    panel.train.click()
    finish(panel, qtbot)
    layers, folder = panel.annotation.layers, panel.autosave.session.folder
    layers.labels.data_setitem(np.nonzero(truth == 4), 4)
    panel.sessions.rounds_menu.actions()[0].trigger()
    restored = layers.array().copy()
    assert 4 not in restored
    layers.labels.data_setitem(np.nonzero(truth == 5), 9)
    expected = layers.array().copy()
    assert not np.array_equal(expected, restored)
    viewer.window.remove_dock_widget(panel)
    with AnnotationSession.open(folder) as session:
        assert np.array_equal(session.load_annotation("cells").labels, expected)


def test_closing_the_panel_while_training_keeps_model_and_round(viewer, panel, blobs, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    background, path, folder = panel.background, panel.job.request.output, panel.autosave.session.folder
    with qtbot.waitSignal(background.finished, timeout=20000):
        viewer.window.remove_dock_widget(panel)
    assert path in [model.path for model in models.all()]
    with AnnotationSession.open(folder) as session:
        assert len(session.rounds) == 1
    # Nothing of the panel follows the viewer any more.
    viewer.layers["cells annotation"].data_setitem((np.array([0]), np.array([0])), 9)
    viewer.add_image(np.zeros((8, 8)))
    viewer.theme = "light"


def test_removing_layers_while_training_is_harmless(viewer, panel, blobs, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.train.click()
    qtbot.waitUntil(lambda: LABELS in viewer.layers, timeout=20000)
    viewer.layers.clear()
    panel.look()
    panel.stop.click()
    finish(panel, qtbot)
    assert panel.saved.path.exists()


@pytest.mark.usefixtures("whole_window")
def test_label_and_train_for_real(viewer, open_panel, blobs, qtbot):
    panel = open_panel(PANEL)
    paint_truth(panel, begin(viewer, panel, blobs), 4)
    panel.settings.form.set_values(
        {"epochs": 2, "steps_per_epoch": 1, "crop_size": (32, 32), "batch_size": 1, "precision": "float32"}
    )
    for number in (1, 2):
        panel.train.click()
        with qtbot.waitSignal(panel.background.finished, timeout=120000):
            pass
        qtbot.waitUntil(lambda: panel.review.queue is not None and not panel.review.is_searching, timeout=120000)
        assert panel.saved.steps == 2
        assert len(panel.autosave.session.rounds) == number
    assert LABELS in viewer.layers
    assert panel.settings.start_from() == panel.saved.path


def test_models_of_rounds_have_the_sessions_name_and_new_ones_are_counted_on(viewer, panel, blobs, qtbot):
    paint_truth(panel, begin(viewer, panel, blobs))
    names = []
    for _ in range(3):
        names.append(panel.output.name.text())
        panel.train.click()
        finish(panel, qtbot)
    assert names == ["cells", "cells_2", "cells_3"]
    panel.sessions.rounds_menu.actions()[-1].trigger()
    assert panel.settings.start.currentText() == "cells round 1"


def compared(verdict, before, now, n=12):
    """A round's comparison, by what it finds of the accepted objects."""
    found = FoundObjects(n_objects=n, before=before, now=now)
    return Comparison(verdict=verdict, accepted=found, n_images=1, in_images=found)


def test_a_round_that_is_worse_says_so_and_one_can_go_back(viewer, panel, blobs, qtbot, monkeypatch):
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.settings.choose_start(None)
    monkeypatch.setattr(FakeTraining, "comparison", compared("unknown", None, 10))
    panel.train.click()
    finish(panel, qtbot)
    first = panel.saved.path
    assert "accepted 10 of 12" in panel.sessions.compared.text()
    assert panel.sessions.leave.isHidden()
    monkeypatch.setattr(FakeTraining, "comparison", compared("worse", 12, 7))
    panel.train.click()
    finish(panel, qtbot)
    assert panel.settings.start_from() == panel.saved.path != first
    text = panel.sessions.compared.text()
    assert "accepted 12 → 7 of 12" in text
    assert "Round 2 is worse than round 1" in text
    assert panel.sessions.leave.text() == "Go back to round 1"
    painted = panel.annotation.layers.array().copy()
    panel.sessions.leave.click()
    assert panel.settings.start_from() == first
    assert np.array_equal(panel.annotation.layers.array(), painted)


def test_one_can_go_back_to_the_starting_model(viewer, panel, blobs, qtbot, monkeypatch, tiny_model_file):
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.settings.choose_start(tiny_model_file)
    monkeypatch.setattr(FakeTraining, "comparison", compared("worse", 12, 7))
    panel.train.click()
    finish(panel, qtbot)
    assert panel.sessions.leave.text() == "Go back to tiny"
    panel.sessions.leave.click()
    assert panel.settings.start_from() == tiny_model_file


def test_going_back_looks_for_doubts_though_another_search_goes_on(
    viewer, panel, blobs, qtbot, monkeypatch, tiny_model_file
):
    is_open, searched = threading.Event(), []

    def find(model, image, labels, device, should_stop):
        yield None
        searched.append(model)
        if model != tiny_model_file:
            # A tile takes its time.
            is_open.wait(20)
            raise Stopped
        return queue_of(labels.shape, 0.5)

    monkeypatch.setattr(review_box, "find_doubts", find)
    monkeypatch.setattr(review_box.ReviewBox, "start", START_REVIEW)
    monkeypatch.setattr(FakeTraining, "comparison", compared("worse", 12, 7))
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.settings.choose_start(tiny_model_file)
    panel.train.click()
    finish(panel, qtbot)
    qtbot.waitUntil(lambda: searched == [panel.saved.path])
    before = panel.review.search
    panel.sessions.leave.click()
    qtbot.waitUntil(lambda: panel.review.queue is not None)
    assert searched == [panel.saved.path, tiny_model_file]
    assert "to look at" in panel.review.line.text()
    is_open.set()
    qtbot.waitUntil(lambda: not before.is_active)


def test_few_objects_are_not_enough_to_tell(viewer, panel, blobs, qtbot, monkeypatch):
    paint_truth(panel, begin(viewer, panel, blobs))
    monkeypatch.setattr(FakeTraining, "comparison", compared("unknown", 5, 4, 5))
    panel.train.click()
    finish(panel, qtbot)
    assert "accepted 5 → 4 of 5" in panel.sessions.compared.text()
    assert "Not enough to tell" in panel.sessions.compared.text()
    assert panel.sessions.leave.isHidden()
