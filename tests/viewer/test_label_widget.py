"""The Label & Train panel, opened through the manifest and driven by its buttons and keys."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.annotation.session import AnnotationSession, Round
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.events import EpochFinished, PreviewReady, StepFinished, TrainingStarted
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer import label_widget
from embedseg_napari.viewer.models import models
from embedseg_napari.viewer.training_output import SavedTraining
from embedseg_napari.viewer.training_view import LABELS, SEED_MAP, SEEDS

PANEL = "EmbedSeg: Label & Train"


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

    def offer(self, painted) -> None:
        self.offers.append(painted)
        self.offered.set()

    def run(self, should_stop):
        if self.request.painted is not None:
            self.request.place.save(self.request.painted)
        material = self.request.place.read(self.request.at_hand)
        example = material.examples[0]
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
        learned = material.learned | {one.image.name: one.snapshot.annotation() for one in self.offers}
        self.request.place.add_round(learned, {one.image.name: one.image for one in self.offers}, row, output)
        return SavedTraining(output, self.score, should_stop(), step)


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path, tiny_model_file):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(FakeTraining, "failure", None)
    monkeypatch.setattr(FakeTraining, "waits", False)
    monkeypatch.setattr(FakeTraining, "score", None)
    monkeypatch.setattr(FakeTraining, "model", tiny_model_file.read_bytes())
    return tmp_path


@pytest.fixture
def panel(viewer, open_panel, monkeypatch):
    monkeypatch.setattr(label_widget, "LabelTraining", FakeTraining)
    # The review has tests of its own, and its thread would outlive these.
    monkeypatch.setattr(label_widget.ReviewBox, "start", lambda *args: None)
    return open_panel(PANEL)


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


def begin(viewer, panel, blobs, ndim=2):
    """Open an image and begin to annotate it; its true labels, unseen by the panel, are returned."""
    image, truth = blobs(ndim)
    scale = (2.0, 0.5, 0.5)[-ndim:]
    viewer.add_image(image, name="cells", scale=scale, translate=(1.0,) * ndim, units=("um",) * ndim)
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


def press(viewer, key):
    """Press a key with the pointer over the canvas."""
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, key)


def finish(panel, qtbot):
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def test_an_empty_viewer_says_what_is_missing(panel):
    assert not panel.train.isEnabled()
    assert "Open an image" in panel.reason.text()
    assert panel.train.toolTip() == panel.reason.text()
    assert not panel.annotation.annotate.isEnabled()


def test_annotate_makes_a_layer_in_the_images_place(viewer, panel, blobs, ndim):
    begin(viewer, panel, blobs, ndim)
    image, layer = viewer.layers["cells"], viewer.layers["cells annotation"]
    assert layer.data.shape == image.data.shape
    assert layer.data.dtype == np.int32
    assert np.allclose(layer.scale, image.scale)
    assert np.allclose(layer.translate, image.translate)
    assert layer.units == image.units
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    assert viewer.layers.selection.active == layer
    assert panel.annotation.fill.isHidden() == (ndim == 2)
    assert "at least 3 more objects, in a Fully annotated area" in panel.reason.text()


def test_background_is_grey_and_nothing_else_is(viewer, panel, blobs):
    begin(viewer, panel, blobs)
    layer = panel.annotation.layers.labels
    red, green, blue, _ = layer.get_color(BACKGROUND)
    assert red == green == blue
    free = [label for label in range(1, 51) if label % 50 != BACKGROUND % 50]
    assert not any(np.allclose(layer.get_color(label), layer.get_color(BACKGROUND)) for label in free)


def test_keys_choose_what_is_painted(viewer, panel, blobs):
    begin(viewer, panel, blobs)
    layer = panel.annotation.layers.labels
    layer.data_setitem((np.array([3, 4]), np.array([3, 3])), 1)
    press(viewer, Qt.Key.Key_N)
    assert layer.selected_label == 2
    press(viewer, Qt.Key.Key_B)
    assert (layer.selected_label, layer.preserve_labels) == (BACKGROUND, True)
    press(viewer, Qt.Key.Key_N)
    assert (layer.selected_label, layer.preserve_labels) == (2, False)
    panel.annotation.erase.click()
    assert layer.mode == "erase"
    panel.annotation.region.click()
    assert viewer.layers.selection.active == panel.annotation.layers.regions
    press(viewer, Qt.Key.Key_N)
    assert viewer.layers.selection.active == layer


def test_the_line_counts_and_train_waits_for_enough(viewer, panel, blobs, ndim, qtbot):
    truth = begin(viewer, panel, blobs, ndim)
    layer = panel.annotation.layers.labels
    layer.data_setitem(np.nonzero(truth == 1), 1)
    qtbot.waitUntil(lambda: "1 object ·" in panel.annotation.line.text(), timeout=5000)
    assert "2 more objects, in a Fully annotated area" in panel.reason.text()
    for identity in (2, 3):
        layer.data_setitem(np.nonzero(truth == identity), identity)
    qtbot.waitUntil(lambda: "3 objects" in panel.annotation.line.text(), timeout=5000)
    assert panel.reason.text().startswith("Draw a Fully annotated rectangle")
    layer.undo()
    qtbot.waitUntil(lambda: "2 objects" in panel.annotation.line.text(), timeout=5000)
    paint_truth(panel, truth)
    assert "200 background pixels" in panel.annotation.line.text()
    assert panel.reason.isHidden()
    assert panel.train.isEnabled()


def test_a_rectangle_is_fully_annotated_on_its_plane(viewer, panel, blobs, ndim):
    begin(viewer, panel, blobs, ndim)
    panel.annotation.region.click()
    regions = panel.annotation.layers.regions
    assert regions.mode == "add_rectangle"
    corners = np.array([[2, 2], [2, 9], [5, 9], [5, 2]], float)
    regions.add_rectangles(corners if ndim == 2 else np.insert(corners, 0, 4, axis=1))
    mask = panel.annotation.layers.region_mask()
    expected = np.zeros(mask.shape, bool)
    expected[(4,) * (ndim - 2) + (slice(2, 6), slice(2, 10))] = True
    assert np.array_equal(mask, expected)
    panel.annotation.count()
    assert "32 background pixels · 1 region" in panel.annotation.line.text()
    panel.annotation.layers.show_regions(mask)
    assert np.array_equal(panel.annotation.layers.region_mask(), expected)


def test_fill_between_planes_can_be_undone(viewer, panel, blobs):
    begin(viewer, panel, blobs, 3)
    layer = panel.annotation.layers.labels
    for z in (2, 5):
        layer.data_setitem((np.full(3, z), np.arange(10, 13), np.full(3, 10)), 1)
    panel.annotation.fill.click()
    assert (layer.data == 1).sum() == 12
    layer.undo()
    assert (layer.data == 1).sum() == 6


def test_the_frame_of_a_time_lapse_that_is_seen_is_annotated(viewer, panel):
    movie = viewer.add_image(
        np.arange(4)[:, None, None] * np.ones((4, 32, 32)), name="movie", axis_labels=("t", "y", "x"),
        scale=(3, 0.5, 0.5), units=("s", "um", "um"),
    )  # fmt: skip
    assert "time points" in panel.reason.text()
    viewer.dims.set_point(0, 6.0)
    panel.annotation.annotate.click()
    frame = viewer.layers["movie t=2"]
    assert (frame.data == 2).all()
    assert np.allclose(frame.scale, (0.5, 0.5))
    assert panel.annotation.layers.image == frame
    assert viewer.layers["movie t=2 annotation"].data.shape == (32, 32)
    assert not movie.visible
    # The same frame is not made twice.
    panel.annotation.image.choose(movie)
    panel.annotation.annotate.click()
    assert panel.annotation.layers.image == frame
    assert len(viewer.layers) == 3


def test_a_round_shows_curves_and_the_prediction_under_the_annotation(viewer, panel, blobs, ndim, qtbot):
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
    assert panel.saved.path in [model.path for model in models.all()]
    # The next round starts from this one's model, under a name of its own.
    assert panel.settings.start_from() == panel.saved.path
    assert panel.output.path() != panel.saved.path
    line = "Round 1 · 3 objects in 1 image · 1.2 min · not scored · seeds from 0.70"
    assert panel.sessions.rounds.text() == line


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
    assert 4 in job.offers[-1].snapshot.labels
    assert not np.shares_memory(job.offers[-1].snapshot.labels, layer.data)
    n = len(job.offers)
    panel.look()
    assert len(job.offers) == n
    panel.stop.click()
    finish(panel, qtbot)
    assert panel.saved.stopped


@pytest.mark.parametrize("failure", [RuntimeError("CUDA out of memory"), ComputeError("The device is gone.")])
def test_a_failure_is_told_and_the_panel_can_be_used_again(viewer, panel, blobs, qtbot, monkeypatch, failure):
    monkeypatch.setattr("embedseg_napari.viewer.training_events.report_error", lambda error: None)
    paint_truth(panel, begin(viewer, panel, blobs))
    monkeypatch.setattr(FakeTraining, "failure", failure)
    panel.train.click()
    finish(panel, qtbot)
    assert panel.progress.bar.format() == "failed"
    monkeypatch.setattr(FakeTraining, "failure", None)
    assert panel.train.isEnabled()
    panel.train.click()
    finish(panel, qtbot)
    assert panel.saved is not None


def test_a_model_of_another_kind_cannot_be_started_from(viewer, panel, blobs, tiny_model_file):
    paint_truth(panel, begin(viewer, panel, blobs, 3))
    panel.settings.choose_start(tiny_model_file)
    assert "works on 2D images" in panel.reason.text()
    panel.settings.choose_start(None)
    assert panel.train.isEnabled()


def test_what_is_painted_is_kept_and_resumed(viewer, panel, blobs, ndim, qtbot):
    truth = begin(viewer, panel, blobs, ndim)
    paint_truth(panel, truth)
    panel.annotation.layers.show_regions(truth == 5)
    with qtbot.waitSignal(panel.keeper.saved, timeout=20000):
        panel.keeper.save()
    folder = panel.keeper.place.folder
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
    assert np.array_equal(again.annotation.layers.region_mask(), truth == 5)
    assert again.train.isEnabled()


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
    layer.data_setitem(np.nonzero(truth == 4), 4)
    panel.annotation.layers.accept([1, 4])
    panel.sessions.rounds_menu.actions()[0].trigger()
    assert panel.annotation.layers.accepted == {2}
    assert np.array_equal(layer.data, before)
    assert panel.settings.start_from() == panel.keeper.place.session.model_path(1)


def test_closing_the_panel_while_training_keeps_model_and_round(viewer, panel, blobs, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    background, path, folder = panel.background, panel.job.request.output, panel.keeper.place.folder
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


def test_label_and_train_for_real(viewer, open_panel, blobs, qtbot):
    panel = open_panel(PANEL)
    paint_truth(panel, begin(viewer, panel, blobs), 4)
    panel.settings.more.set_values(
        {"epochs": 2, "steps_per_epoch": 1, "crop_size": (32, 32), "batch_size": 1, "precision": "float32"}
    )
    for number in (1, 2):
        panel.train.click()
        with qtbot.waitSignal(panel.background.finished, timeout=120000):
            pass
        qtbot.waitUntil(lambda: panel.review.queue is not None and not panel.review.is_searching, timeout=120000)
        assert panel.saved.steps == 2
        assert len(panel.keeper.place.rounds) == number
    assert LABELS in viewer.layers
    assert panel.settings.start_from() == panel.saved.path


def test_a_stroke_of_the_mouse_paints_and_ctrl_z_takes_it_back(viewer, panel, blobs, qtbot):
    begin(viewer, panel, blobs)
    viewer.reset_view()
    layer, canvas = panel.annotation.layers.labels, viewer.__wrapped__.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    QTest.mouseMove(canvas, middle + QPoint(6, 0))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(6, 0))
    assert (layer.data == 1).any()
    qtbot.waitUntil(lambda: "1 object ·" in panel.annotation.line.text(), timeout=5000)
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not layer.data.any()


def test_the_train_panel_does_not_take_an_annotation_for_labels(viewer, panel, open_panel, blobs):
    begin(viewer, panel, blobs)
    row = open_panel("EmbedSeg: Train").pairs.rows[0]
    assert row.labels.layers == []
    truth = viewer.add_labels(np.ones((64, 64), np.int32))
    assert row.labels.layers == [truth]


def test_the_selected_image_is_the_one_to_annotate_and_is_seen(viewer, panel, blobs, qtbot):
    image, _ = blobs(2)
    below = viewer.add_image(image, name="below")
    above = viewer.add_image(image, name="above")
    qtbot.waitUntil(lambda: panel.annotation.layers.image == above)
    viewer.layers.selection.active = below
    qtbot.waitUntil(lambda: panel.annotation.layers.image == below)
    panel.annotation.annotate.click()
    assert [layer.name for layer in viewer.layers] == ["above", "below", "below annotation"]
    # While it is annotated, looking at another image does not leave it.
    viewer.layers.selection.active = above
    qtbot.wait(10)
    assert panel.annotation.layers.image == below


def test_the_advice_leads_to_areas_that_are_fully_annotated(viewer, panel, blobs, ndim):
    box = panel.annotation
    assert box.advice.isHidden()
    truth = begin(viewer, panel, blobs, ndim)
    assert "draw a rectangle around about five objects" in box.advice.text()
    assert ("Fill between planes" in box.advice.text()) == (ndim == 3)
    layer, areas = box.layers.labels, np.zeros(truth.shape, bool)
    layer.data_setitem(np.nonzero(truth == 1), 1)
    box.count()
    assert "paint every other one in it" in box.advice.text()
    plane = areas[-1] if ndim == 3 else areas
    plane[2:9, 2:9] = True
    box.layers.show_regions(areas)
    box.count()
    assert box.advice.text().startswith("Paint every object in the rectangle")
    for identity in range(2, 6):
        layer.data_setitem(np.nonzero(truth == identity), identity)
    box.count()
    assert "around an empty place" in box.advice.text()
    plane[20:29, 2:9] = plane[40:49, 2:9] = True
    box.layers.show_regions(areas)
    box.count()
    assert "where the prediction is wrong" in box.advice.text()


def test_after_a_rectangle_the_brush_comes_back(viewer, panel, blobs, drag, qtbot):
    begin(viewer, panel, blobs)
    viewer.reset_view()
    layers = panel.annotation.layers
    panel.annotation.region.click()
    drag(layers.labels, (10, 10), (20, 30))
    qtbot.waitUntil(lambda: viewer.layers.selection.active == layers.labels)
    assert layers.labels.mode == "paint"
    assert layers.n_regions() == 1
    assert layers.region_mask()[12:19, 12:29].all()
    # A polygon takes several clicks: its tool stays.
    viewer.layers.selection.active = layers.regions
    layers.regions.mode = "add_polygon"
    drag(layers.labels, (30, 30), (40, 30))
    qtbot.wait(10)
    assert viewer.layers.selection.active == layers.regions


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
