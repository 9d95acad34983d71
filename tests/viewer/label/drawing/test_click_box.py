"""Annotating by clicks in the panel, with real keys and mouse events."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer.label.drawing.click_box import OBJECT
from embedseg_napari.viewer.widgets.pixel_size import resize

PANEL = "EmbedSeg: Label & Train"
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    notification_manager.records.clear()


@pytest.fixture(params=[pytest.param(2, marks=pytest.mark.thorough), 3])
def ndim(request):
    return request.param


@pytest.fixture
def truth(ndim):
    """Two bright squares apart from each other, in three planes of a volume."""
    plane = np.zeros((48, 48), np.int32)
    plane[6:18, 6:18], plane[28:40, 28:40] = 1, 2
    if ndim == 2:
        return plane
    volume = np.zeros((7, 48, 48), np.int32)
    volume[2:5] = plane
    return volume


@pytest.fixture
def panel(viewer, open_panel, truth):
    """The panel with a new annotation and no model."""
    image = 100.0 * (truth > 0) + np.random.default_rng(0).normal(0, 3, truth.shape)
    place = {"scale": (2.0, 0.5, 0.5)[-truth.ndim :], "axis_labels": "zyx"[-truth.ndim :]}
    viewer.add_image(image.astype(np.float32), name="cells", **place)
    panel = open_panel(PANEL)
    panel.settings.choose_start(None)
    panel.annotation.layers.usual_extent = lambda: 12.0
    panel.annotation.annotate.click()
    viewer.reset_view()
    if truth.ndim == 3:
        viewer.dims.set_point(0, 2.0 * 3)
    return panel


def predict(panel, truth, within=(slice(None), slice(None))):
    """Show what a perfect network would find, in a part of the plane or in all of it."""
    offsets = np.zeros((truth.ndim, *truth.shape), np.float32)
    seed_map = np.zeros(truth.shape, np.float32)
    for number in (1, 2):
        at = np.array(np.nonzero(truth == number))
        offsets[(slice(None), *at)] = at.mean(1, keepdims=True) - at
        seed_map[tuple(at)] = 0.9
    part = (Ellipsis, *within)
    maps = EmbeddingMaps(offsets[part], np.full_like(offsets, 4.0)[part], seed_map[part])
    centers = np.array([np.argwhere(truth == one).mean(0) for one in (1, 2)], np.float32)
    found = Segmentation(truth[part], centers, np.ones(2, np.float32), PredictionConfig(), kept_maps=maps)
    start = [0] * (truth.ndim - 2) + [side.start or 0 for side in within]
    panel.review.view.show_objects(found, panel.annotation.layers.frame.at(start), panel.annotation.layers.image)
    panel.annotation.layers.raise_to_top()


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, key, modifier)


def shown(viewer):
    """Pixels of the object that is shown."""
    return int((viewer.layers[OBJECT].data > 0).sum()) if OBJECT in viewer.layers else 0


def test_a_click_shows_what_the_model_knows_and_enter_accepts_it(viewer, panel, truth, drag):
    layers = panel.annotation.layers
    predict(panel, truth)
    press(viewer, Qt.Key.Key_C)
    assert panel.clicks.button.isChecked()
    assert "Click on an object" in panel.clicks.line.text()
    drag(layers.labels, (7, 7))
    assert shown(viewer) == (truth == 1).sum()
    assert "by the model" in panel.clicks.line.text()
    assert not layers.array().any()
    press(viewer, Qt.Key.Key_Return)
    after = layers.array()
    (number,) = layers.accepted
    assert np.array_equal(after == number, truth == 1)
    assert not shown(viewer)
    # The tool stays for the next object.
    drag(layers.labels, (30, 36))
    press(viewer, Qt.Key.Key_Return)
    assert np.array_equal(layers.array() > 0, truth > 0)
    assert len(layers.accepted) == 2
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layers.array() > 0, truth == 1)
    press(viewer, Qt.Key.Key_C)
    assert not panel.clicks.button.isChecked()
    assert layers.labels.mode == "paint"


@pytest.mark.parametrize("ndim", [3], indirect=True)
def test_what_is_shown_takes_the_voxel_size_that_is_typed(viewer, panel, truth, drag):
    layers = panel.annotation.layers
    for layer in viewer.layers:
        layer.scale = (1,) * layer.ndim
    viewer.reset_view()
    viewer.dims.set_point(0, 3)
    predict(panel, truth)
    press(viewer, Qt.Key.Key_C)
    drag(layers.labels, (7, 7))
    found = viewer.layers[OBJECT]
    resize(viewer, layers.image, "ZYX", (2, 0.5, 0.25))
    assert tuple(found.scale) == tuple(layers.labels.scale) == (2, 0.5, 0.25)
    np.testing.assert_allclose(layers.labels.world_to_data(found.data_to_world((0, 0, 0))), (2, 6, 6))


def test_without_a_model_the_image_decides(viewer, panel, truth, drag):
    panel.clicks.button.click()
    drag(panel.annotation.layers.labels, (12, 12))
    assert "by brightness and shape" in panel.clicks.line.text()
    assert 0.7 < shown(viewer) / (truth == 1).sum() < 1.4


def test_strokes_add_and_with_shift_cut_and_escape_drops(viewer, panel, truth, drag):
    layers = panel.annotation.layers
    joined = np.minimum(truth, 1)
    predict(panel, truth)
    panel.clicks.button.click()
    drag(layers.labels, (12, 12))
    drag(layers.labels, (32, 30), (36, 38))
    assert panel.clicks.found is not None
    both = np.zeros(truth.shape, bool)
    both[panel.clicks.found.pixels] = True
    # What lies in two pieces is joined by both strokes.
    assert (both & (joined > 0)).sum() > 0.9 * joined.sum()
    before = len(panel.clicks.found.pixels[0])
    drag(layers.labels, (28, 39), (40, 39), modifier=SHIFT)
    assert len(panel.clicks.found.pixels[0]) < before
    press(viewer, Qt.Key.Key_Escape)
    assert panel.clicks.found is None
    assert panel.clicks.button.isChecked()
    assert not layers.array().any()
    press(viewer, Qt.Key.Key_Escape)
    assert not panel.clicks.button.isChecked()
    assert not viewer.layers[-1].name.startswith("stroke")


def test_annotated_objects_are_not_clicked_again(viewer, panel, truth, drag):
    predict(panel, truth)
    panel.clicks.button.click()
    drag(panel.annotation.layers.labels, (12, 12))
    press(viewer, Qt.Key.Key_Return)
    drag(panel.annotation.layers.labels, (13, 13))
    assert not shown(viewer)
    assert any("is annotated there" in one.message for one in notification_manager.records)


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_the_chosen_model_looks_at_the_image_once_clicking_begins(viewer, panel, truth, qtbot, tiny_model_file):
    panel.settings.choose_start(tiny_model_file)
    panel.clicks.begin()
    qtbot.waitUntil(lambda: not panel.clicks.maps.is_computing, timeout=30_000)
    assert panel.clicks.maps.surroundings((12, 12)).maps.seed_map.shape == truth.shape


def test_what_cannot_be_done_is_said_and_keeps_the_object(viewer, panel, truth, drag):
    layers = panel.annotation.layers
    predict(panel, truth)
    press(viewer, Qt.Key.Key_C)
    drag(layers.labels, (-8, 20))
    assert "not there" in panel.clicks.line.text()
    drag(layers.labels, (12, 12), (12, 16), modifier=SHIFT)
    assert "Click on an object first" in panel.clicks.line.text()
    press(viewer, Qt.Key.Key_Return)
    assert not layers.array().any()
    drag(layers.labels, (12, 12))
    drag(layers.labels, (12, 10), (12, 15), modifier=SHIFT)
    assert any("Nothing is left" in one.message for one in notification_manager.records)
    assert shown(viewer) == (truth == 1).sum()
    viewer.layers.remove(OBJECT)
    press(viewer, Qt.Key.Key_Return)
    assert not layers.array().any(), "nothing is accepted that is not seen"
    drag(layers.labels, (30, 36))
    press(viewer, Qt.Key.Key_Return)
    assert np.array_equal(layers.array() > 0, truth == 2)


def test_two_quick_clicks_do_not_zoom(viewer, panel, truth, drag):
    predict(panel, truth)
    usual = list(viewer.mouse_double_click_callbacks)
    press(viewer, Qt.Key.Key_C)
    canvas = viewer.__wrapped__.window._qt_viewer.canvas
    before = canvas.view.camera.rect.width
    drag(panel.annotation.layers.labels, (12, 12))
    QTest.mouseDClick(canvas.native, Qt.MouseButton.LeftButton, pos=canvas.native.rect().center())
    assert canvas.view.camera.rect.width == before
    assert shown(viewer) == (truth == 1).sum()
    press(viewer, Qt.Key.Key_C)
    assert list(viewer.mouse_double_click_callbacks) == usual


@pytest.mark.parametrize("ndim", [3], indirect=True)
def test_a_model_that_does_not_fit_the_image_is_not_asked(viewer, panel, drag, tiny_model_file):
    panel.settings.choose_start(tiny_model_file)
    press(viewer, Qt.Key.Key_C)
    assert not panel.clicks.maps.is_computing
    drag(panel.annotation.layers.labels, (12, 12))
    assert "by brightness and shape" in panel.clicks.line.text()
    # Planes are four times as far apart as pixels.
    depth, height, width = panel.clicks.maps.surroundings((3, 12, 12)).extent
    assert (4 * depth, height) == (width, width)


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_maps_that_miss_what_is_annotated_are_not_believed(viewer, panel, truth, drag):
    predict(panel, np.where(truth == 1, 1, np.where(np.roll(truth, 6, 0) == 2, 2, 0)))
    panel.annotation.layers.labels.data_setitem(np.nonzero(truth == 2), 1)
    press(viewer, Qt.Key.Key_C)
    drag(panel.annotation.layers.labels, (12, 12))
    assert "by brightness and shape" in panel.clicks.line.text()
    assert 0.7 < shown(viewer) / (truth == 1).sum() < 1.4


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_beside_what_a_training_previews_the_chosen_model_is_asked(viewer, panel, truth, drag, qtbot, tiny_model_file):
    panel.settings.choose_start(tiny_model_file)
    predict(panel, truth, (slice(2, 22), slice(3, 24)))
    press(viewer, Qt.Key.Key_C)
    assert not panel.clicks.maps.is_computing
    drag(panel.annotation.layers.labels, (12, 12))
    assert "by the model" in panel.clicks.line.text()
    assert shown(viewer) == (truth == 1).sum()
    press(viewer, Qt.Key.Key_Return)
    drag(panel.annotation.layers.labels, (30, 36))
    assert "by brightness and shape" in panel.clicks.line.text()
    qtbot.waitUntil(lambda: not panel.clicks.maps.is_computing, timeout=30_000)
    assert panel.clicks.maps._computed[1].seed_map.shape == truth.shape
    assert panel.clicks.maps.surroundings((12, 12)).maps_start == (2, 3)


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_another_image_is_looked_at_though_the_first_is_not_done(viewer, panel, truth, qtbot, tiny_model_file):
    viewer.add_image(np.zeros((30, 40), np.float32), name="other")
    panel.settings.choose_start(tiny_model_file)
    panel.clicks.begin()
    panel.annotation.image.choose(viewer.layers["other"])
    panel.annotation.annotate.click()
    panel.clicks.begin()
    qtbot.waitUntil(lambda: not panel.clicks.maps.is_computing, timeout=30_000)
    assert panel.clicks.maps._computed[1].seed_map.shape == (30, 40)


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_the_model_looks_again_where_what_is_annotated_has_another_size(viewer, panel, truth, qtbot, tmp_path):
    import torch

    from embedseg_napari.core.config import ModelConfig, ObjectSizes
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.erfnet import BranchedERFNet

    torch.manual_seed(0)
    sizes = ObjectSizes(n_objects=9, mean=(24.0, 24.0), std=(1.0, 1.0), mean_size=4 * np.count_nonzero(truth == 1))
    model = Model(ModelConfig(name="large", object_sizes=sizes), BranchedERFNet(2))
    panel.settings.choose_start(model.save(tmp_path / "large.embedseg"))
    maps = panel.clicks.maps
    press(viewer, Qt.Key.Key_C)
    qtbot.waitUntil(lambda: not maps.is_computing, timeout=30_000)
    first = maps.surroundings((12, 12)).maps
    assert first is not None
    # Annotated objects are half as large as those that the model knows.
    maps.learn(np.nonzero(truth == 1))
    maps.surroundings((12, 12))
    qtbot.waitUntil(lambda: not maps.is_computing, timeout=30_000)
    assert maps._computed[1] is not first
    assert maps._computed[0].scale == pytest.approx(2, rel=0.05)
    again = maps._computed[1]
    maps.surroundings((12, 12))
    assert not maps.is_computing
    assert maps._computed[1] is again
