"""Splitting and merging by a stroke of the mouse, in the panel, with real keys and mouse events."""

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
from embedseg_napari.viewer.label.drawing.stroke_tool import LINE
from embedseg_napari.viewer.preview.preview import LABELS
from embedseg_napari.viewer.widgets.scroll import FittingScroll

PANEL = "EmbedSeg: Label & Train"
PLANE = 2


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    notification_manager.records.clear()


@pytest.fixture(params=[pytest.param(2, marks=pytest.mark.thorough), 3])
def ndim(request):
    return request.param


def squares(ndim):
    """Two squares side by side, to be predicted, and below them two to be painted."""
    predicted, painted = np.zeros((2, 48, 48), np.int32)
    predicted[4:20, 4:20], predicted[4:20, 24:40] = 1, 2
    painted[28:44, 4:20], painted[28:44, 24:40] = 1, 2
    if ndim == 3:
        predicted, painted = (np.repeat(one[None], 5, axis=0) for one in (predicted, painted))
    return predicted, painted


@pytest.fixture
def panel(viewer, open_panel, ndim):
    """The panel with two painted and two predicted objects, in a slice of a volume or in an image."""
    predicted, painted = squares(ndim)
    place = {"scale": (2.0, 0.5, 0.5)[-ndim:], "axis_labels": "zyx"[-ndim:]}
    viewer.add_image(np.zeros(painted.shape, np.float32), name="cells", **place)
    panel = open_panel(PANEL)
    panel.annotation.annotate.click()
    layers = panel.annotation.layers
    for number in (1, 2):
        layers.labels.data_setitem(np.nonzero(painted == number), number)
    zeros = np.zeros((ndim, *painted.shape), np.float32)
    maps = EmbeddingMaps(zeros, zeros + 1, (predicted > 0).astype(np.float32))
    centers = np.array([np.argwhere(predicted == one).mean(0) for one in (1, 2)], np.float32)
    panel.found = Segmentation(predicted, centers, np.ones(2, np.float32), PredictionConfig(), kept_maps=maps)
    panel.review.view.show_objects(panel.found, layers.frame, layers.image)
    layers.raise_to_top()
    viewer.layers.selection.active = layers.labels
    viewer.reset_view()
    if ndim == 3:
        viewer.dims.set_point(0, 2.0 * PLANE)
    return panel


def canvas_of(viewer):
    return viewer.__wrapped__.window._qt_viewer.canvas


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(canvas_of(viewer).native, key, modifier)


def told():
    return [one.message for one in notification_manager.records]


def test_a_predicted_object_is_split_in_one_step(viewer, panel, drag):
    layers = panel.annotation.layers
    predicted, _ = squares(layers.ndim)
    before, camera = layers.array().copy(), canvas_of(viewer).view.camera.center
    assert layers.labels.mode == "paint"
    press(viewer, Qt.Key.Key_S)
    strokes = panel.review.strokes
    assert strokes.split.isChecked()
    assert "Drag across" in strokes.line.text()
    assert not strokes.line.isHidden()
    drag(layers.labels, (1, 10), (23, 10))
    after = layers.array()
    left, right = after[..., 10, 6].flat[0], after[..., 10, 16].flat[0]
    assert left != right
    assert np.array_equal(np.isin(after, (left, right)), predicted == 1)
    assert np.array_equal(after[predicted != 1], before[predicted != 1])
    # On all planes alike.
    assert len(np.unique(after[..., 10, 6])) == len(np.unique(after[..., 10, 16])) == 1
    assert layers.accepted == {left, right}
    panel.annotation.count()
    assert "4 objects, 2 of them accepted" in panel.annotation.line.text()
    # All is as before the key.
    assert layers.labels.mode == "paint"
    assert not strokes.split.isChecked()
    assert strokes.line.isHidden()
    assert LINE not in viewer.layers
    assert canvas_of(viewer).view.camera.center == camera
    assert viewer.layers.selection.active == layers.labels
    assert layers.labels.selected_label not in layers.accepted
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layers.array(), before)
    assert not layers.accepted


def test_what_to_do_with_a_stroke_is_scrolled_into_sight(viewer, panel, monkeypatch):
    brought = []
    monkeypatch.setattr(FittingScroll, "bring_in", lambda scroll, part: brought.append(part))
    strokes = panel.review.strokes
    strokes.split.click()
    press(viewer, Qt.Key.Key_G)
    assert brought == [strokes, strokes]


def test_what_was_painted_is_split_and_stays_the_persons_own(viewer, panel, drag):
    layers = panel.annotation.layers
    _, painted = squares(layers.ndim)
    panel.review.strokes.split.click()
    drag(layers.labels, (26, 30), (46, 30))
    after = layers.array()
    assert np.array_equal(np.isin(after, (2, 3)), painted == 2)
    assert (after == 3).any()
    assert not layers.accepted
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layers.array(), painted)


def test_predicted_objects_are_merged_in_one_step(viewer, panel, drag):
    layers = panel.annotation.layers
    predicted, painted = squares(layers.ndim)
    press(viewer, Qt.Key.Key_G)
    assert panel.review.strokes.merge.isChecked()
    drag(layers.labels, (10, 10), (12, 30))
    after = layers.array()
    (merged,) = layers.accepted
    assert (after[predicted > 0] == merged).all()
    # The gap is bridged where the stroke was.
    plane = after if layers.ndim == 2 else after[PLANE]
    assert (plane[10:13, 20:24] == merged).any(0).all()
    layers.labels.undo()
    assert np.array_equal(layers.array(), painted)
    layers.labels.redo()
    assert np.array_equal(layers.array(), after)
    assert layers.accepted == {merged}


@pytest.mark.parametrize("ndim", [3], indirect=True)
def test_in_other_slices_the_cut_goes_through_the_axis_that_is_not_seen(viewer, panel, drag):
    layers = panel.annotation.layers
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 0.5 * 10)
    viewer.reset_view()
    predicted, painted = squares(3)
    press(viewer, Qt.Key.Key_S)
    # From above the volume to below it, in a slice (z, x) at y 10.
    drag(layers.labels, (-1, 10), (5.4, 10))
    after = layers.array()
    assert np.array_equal(np.isin(after, tuple(layers.accepted)), predicted == 1)
    for x in (6, 16):
        assert len(np.unique(after[:, 4:20, x])) == 1
    assert after[0, 10, 6] != after[0, 10, 16]
    layers.labels.undo()
    assert np.array_equal(layers.array(), painted)


def test_a_hidden_prediction_is_not_touched(viewer, panel, drag):
    layers = panel.annotation.layers
    before = layers.array().copy()
    viewer.layers[LABELS].visible = False
    press(viewer, Qt.Key.Key_S)
    drag(layers.labels, (1, 10), (23, 10))
    assert "touches no object" in told()[-1]
    assert np.array_equal(layers.array(), before)


def test_the_preview_of_a_part_lies_in_its_place(panel):
    layers, view, found = panel.annotation.layers, panel.review.view, panel.found
    start = (1, 6, 8)[-layers.ndim :]
    inside = tuple(slice(low, low + size) for low, size in zip(start, (3, 30, 20)[-layers.ndim :], strict=True))
    maps = EmbeddingMaps(*(one[..., *inside] for one in (found.maps.offsets, found.maps.margins, found.maps.seed_map)))
    part = Segmentation(found.labels[inside], found.centers, found.scores, found.settings, kept_maps=maps)
    view.show_objects(part, layers.frame.at(start), layers.image)
    expected = np.zeros_like(found.labels)
    expected[inside] = found.labels[inside]
    assert np.array_equal(panel.review.predicted(), expected)


def test_objects_of_another_image_are_not_taken(viewer, panel):
    assert np.array_equal(panel.review.predicted(), panel.found.labels)
    other = viewer.add_image(np.zeros(panel.found.labels.shape, np.float32), name="other", scale=viewer.layers[0].scale)
    panel.annotation.image.choose(other)
    assert panel.annotation.layers.image == other
    assert panel.review.predicted() is None
    # They are not seen over it either, but those of the next round are.
    assert not viewer.layers[LABELS].visible
    panel.review.view.show_objects(panel.found, panel.annotation.layers.frame, panel.annotation.layers.image)
    assert viewer.layers[LABELS].visible


def test_escape_ends_the_waiting(viewer, panel, drag):
    layers = panel.annotation.layers
    before = layers.array().copy()
    layers.labels.mode = "pan_zoom"
    for is_dragging in (False, True):
        press(viewer, Qt.Key.Key_S)
        if is_dragging:
            drag(layers.labels, (1, 10), (23, 10), release=False)
            assert len(viewer.layers[LINE].data) == 1
        press(viewer, Qt.Key.Key_Escape)
        if is_dragging:
            QTest.mouseRelease(canvas_of(viewer).native, Qt.MouseButton.LeftButton)
        assert np.array_equal(layers.array(), before)
        assert LINE not in viewer.layers
        assert (layers.labels.mode, layers.labels.mouse_pan) == ("pan_zoom", True)
        assert not panel.review.strokes.split.isChecked()


def test_another_tool_ends_the_waiting(viewer, panel, drag):
    layers = panel.annotation.layers
    press(viewer, Qt.Key.Key_G)
    press(viewer, Qt.Key.Key_N)
    assert layers.labels.mode == "paint"
    assert LINE not in viewer.layers
    drag(layers.labels, (22, 8), (22, 12))
    assert (layers.array() == 3).any()
    assert (layers.array() == 3).any(axis=tuple(range(layers.ndim - 2))).sum() < 100


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        ((Qt.Key.Key_C, Qt.Key.Key_S), "paint"),
        ((Qt.Key.Key_S, Qt.Key.Key_C), "pan_zoom"),
        pytest.param((Qt.Key.Key_C, Qt.Key.Key_S), "pan_zoom", marks=pytest.mark.thorough),
        pytest.param((Qt.Key.Key_S, Qt.Key.Key_C), "paint", marks=pytest.mark.thorough),
    ],
)
def test_after_strokes_and_clicks_the_tool_from_before_both_comes_back(viewer, panel, drag, keys, mode):
    layers = panel.annotation.layers
    layers.labels.mode = mode
    before = (mode, layers.labels.mouse_pan, str(layers.labels.cursor))
    for key in keys:
        press(viewer, key)
    assert [layer.name for layer in viewer.layers].count(LINE) == 1
    if keys[-1] == Qt.Key.Key_S:
        drag(layers.labels, (1, 10), (23, 10))
        assert layers.accepted, "what was predicted is split"
    else:
        press(viewer, Qt.Key.Key_Escape)
    assert LINE not in viewer.layers
    assert (layers.labels.mode, layers.labels.mouse_pan, str(layers.labels.cursor)) == before


@pytest.mark.parametrize("way", ["selection", "layer removed", "image removed"])
def test_leaving_the_annotation_ends_the_waiting(viewer, panel, way):
    press(viewer, Qt.Key.Key_S)
    if way == "selection":
        viewer.layers.selection.active = viewer.layers["cells"]
    else:
        viewer.layers.remove("cells" if way == "image removed" else "cells annotation")
    assert LINE not in viewer.layers
    assert not panel.review.strokes.tool.is_waiting


def test_errors_are_one_sentence(viewer, panel, drag):
    layers = panel.annotation.layers
    press(viewer, Qt.Key.Key_S)
    drag(layers.labels, (10, 10), (10, 12))
    assert "does not divide" in told()[-1]
    press(viewer, Qt.Key.Key_G)
    drag(layers.labels, (10, 10), (10, 12))
    assert "fewer than two objects" in told()[-1]
    assert not layers.accepted


def test_a_stroke_is_drawn_on_slices_and_3d_ends_the_waiting_for_it(viewer, panel, ndim):
    # Outlines have no 3D view, napari warns.
    viewer.layers[LABELS].visible = False
    viewer.dims.ndisplay = 3
    press(viewer, Qt.Key.Key_S)
    assert viewer.dims.ndisplay == 2
    assert "slices" in told()[-1]
    assert panel.review.strokes.split.isChecked()
    viewer.dims.ndisplay = 3
    assert not panel.review.strokes.split.isChecked()
