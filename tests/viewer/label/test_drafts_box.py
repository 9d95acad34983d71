"""Labels of other programs and of layers as drafts, in the panel, with its buttons and keys."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

import embedseg_napari as es
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.viewer.label.review_box import DRAFTS

PANEL = "EmbedSeg: Label & Train"


@pytest.fixture(autouse=True)
def own_folder(own_data):
    notification_manager.records.clear()


@pytest.fixture(params=[pytest.param(2, marks=pytest.mark.thorough), 3])
def ndim(request):
    return request.param


@pytest.fixture
def truth(ndim, blobs):
    return blobs(ndim)[1].astype(np.uint16)


@pytest.fixture
def panel(viewer, open_panel, blobs, ndim):
    """The panel with a new annotation and no model."""
    place = {"scale": (2.0, 0.5, 0.5)[-ndim:], "axis_labels": "zyx"[-ndim:]}
    viewer.add_image(blobs(ndim)[0], name="cells", **place)
    panel = open_panel(PANEL)
    panel.settings.choose_start(None)
    panel.annotation.annotate.click()
    return panel


@pytest.fixture
def load(panel, monkeypatch, qtbot):
    """Press *Load drafts* and choose a file, or a layer."""

    def press(chosen):
        if isinstance(chosen, (str, bytes)) or hasattr(chosen, "suffix"):
            panel.drafts.source.choose(None)
            monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(chosen), ""))
        else:
            panel.drafts.source.choose(chosen)
        panel.drafts.load.click()
        qtbot.waitUntil(lambda: panel.drafts.search is None or not panel.drafts.search.is_active, timeout=20_000)
        qtbot.waitUntil(panel.drafts.load.isEnabled)

    return press


def key(viewer, one, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, one, modifier)


def said():
    return [one.message for one in notification_manager.records]


def test_while_drafts_are_left_nothing_else_is_asked_for(viewer, panel, truth, load, tmp_path):
    box = panel.annotation
    assert "draw a rectangle" in box.advice.text()
    tifffile.imwrite(tmp_path / "drafts.tif", truth)
    load(tmp_path / "drafts.tif")
    assert "Go through the drafts" in box.advice.text()
    assert panel.reason.text() == "Accept or paint at least 3 more objects."
    panel.review.accept_all.click()
    box.count()
    assert "Go through" not in box.advice.text()
    assert "Whole image" in panel.review.line.text()
    assert "Whole image" in panel.reason.text()
    box.whole.click()
    assert box.advice.text().endswith("where the prediction is wrong.")
    assert panel.review.line.text().endswith("annotated: train.")
    assert panel.train.isEnabled()


@pytest.mark.usefixtures("whole_window")
def test_drafts_are_looked_at_one_by_one_and_nothing_is_annotated_before(viewer, panel, truth, load, tmp_path):
    layers, n = panel.annotation.layers, int(truth.max())
    tifffile.imwrite(tmp_path / "drafts.tif", truth)
    load(tmp_path / "drafts.tif")
    assert f"{n} drafts" in panel.review.line.text()
    assert np.array_equal(viewer.layers[DRAFTS].data > 0, truth > 0)
    assert not layers.array().any()
    key(viewer, Qt.Key.Key_J)
    first = panel.review.queue.current
    key(viewer, Qt.Key.Key_A)
    assert np.array_equal(layers.array() > 0, viewer.layers[DRAFTS].data == first.label)
    assert len(layers.accepted) == 1
    second = panel.review.queue.current
    key(viewer, Qt.Key.Key_D)
    assert np.array_equal(layers.array() == BACKGROUND, viewer.layers[DRAFTS].data == second.label)
    third = panel.review.queue.current
    key(viewer, Qt.Key.Key_R)
    assert layers.labels.mode == "paint"
    key(viewer, Qt.Key.Key_J)
    assert not layers.array()[viewer.layers[DRAFTS].data == third.label].any(), "an unchanged copy is taken back"


@pytest.mark.usefixtures("whole_window")
def test_all_drafts_at_once_are_one_step_of_undo_and_leave_what_is_annotated(viewer, panel, truth, load, tmp_path):
    layers = panel.annotation.layers
    layers.labels.data_setitem(np.nonzero(truth == 1), 7)
    tifffile.imwrite(tmp_path / "drafts.tif", truth)
    load(tmp_path / "drafts.tif")
    assert panel.review.accept_all.isVisibleTo(panel.review)
    panel.review.accept_all.click()
    after = layers.array()
    assert np.array_equal(after > 0, truth > 0)
    assert np.all(after[truth == 1] == 7)
    assert len(layers.accepted) == truth.max() - 1
    assert not panel.review.accept_all.isEnabled()
    assert "Fully annotated" in panel.review.line.text()
    key(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layers.array() > 0, truth == 1)
    panel.annotation.count()
    assert panel.review.accept_all.isEnabled(), "what was taken back can be accepted again"
    assert "press J" in panel.review.line.text()
    key(viewer, Qt.Key.Key_J)
    assert panel.review.accept.isEnabled()


def test_a_labels_layer_is_taken_and_hidden(viewer, panel, truth, load):
    layer = viewer.add_labels(np.where(truth, truth.astype(np.int32) + 70_000, 0), name="elsewhere")
    load(layer)
    assert not layer.visible
    assert viewer.layers.selection.active == panel.annotation.layers.labels, "whose keys go through the drafts"
    assert panel.review.queue.segmentation.labels.max() == truth.max()
    panel.review.accept_all.click()
    assert np.array_equal(panel.annotation.layers.array() > 0, truth > 0)


@pytest.mark.parametrize("ending", [".zip", ".geojson", ".json"])
def test_outlines_of_other_programs_are_drafts(panel, truth, load, tmp_path, ending):
    kind = {".zip": "imagej", ".geojson": "geojson", ".json": "coco"}[ending]
    path = tmp_path / f"cells{ending}"
    es.export_labels(truth, path, kind, "ZYX"[-truth.ndim :])
    load(path)
    assert np.array_equal(panel.review.queue.segmentation.labels > 0, truth > 0)


def test_a_binary_mask_becomes_its_pieces(panel, truth, load, tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.where(truth, 255, 0).astype(np.uint8))
    load(tmp_path / "mask.tif")
    assert panel.review.has_drafts
    assert any("binary mask" in one for one in said())


@pytest.mark.parametrize("fault", ["shape", "empty", "fractions", "text", "missing", "json"])
def test_what_is_no_draft_is_said_in_a_sentence(panel, truth, load, tmp_path, fault):
    path = tmp_path / ("drafts.json" if fault == "json" else "drafts.tif")
    if fault in ("text", "json"):
        path.write_text("nothing of the kind")
    elif fault != "missing":
        labels = {"shape": truth[..., :-3], "empty": truth * 0, "fractions": truth * np.float32(0.37)}[fault]
        tifffile.imwrite(path, labels)
    load(path)
    assert panel.review.queue is None
    (sentence,) = said()
    assert "drafts" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_drafts_stay_while_a_model_trains_and_after_it(viewer, panel, truth, load):
    layer = viewer.add_labels(truth.astype(np.int32), name="elsewhere")
    load(layer)
    panel.view.begin()
    panel.view.end()
    panel.take_end()
    assert panel.review.has_drafts
    assert not panel.review.is_searching
    assert DRAFTS in viewer.layers


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_closing_the_panel_takes_the_drafts_away(viewer, panel, truth, load):
    layer = viewer.add_labels(truth.astype(np.int32), name="elsewhere")
    load(layer)
    viewer.window.remove_dock_widget("all")
    assert DRAFTS not in viewer.layers
