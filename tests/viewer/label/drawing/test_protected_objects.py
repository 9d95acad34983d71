"""Accepted objects are not painted over, and undo stays right."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.annotation.edits import Edit
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

PANEL = "EmbedSeg: Label & Train"


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def square(ndim, first, last=None):
    """Indices of a square, or in 3D of a column through all planes."""
    mask = np.zeros((4, 32, 32)[-ndim:], bool)
    mask[..., first : last or first + 8, first : last or first + 8] = True
    return np.nonzero(mask)


@pytest.fixture(params=[2, 3])
def layers(request, layer_viewer):
    """An annotation whose object 1 is painted by hand and whose object 2 is accepted."""
    ndim = request.param
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((4, 32, 32)[-ndim:], np.float32), name="cells"))
    layers.make()
    layers.labels.data_setitem(square(ndim, 2), 1)
    layers.apply(Edit(square(ndim, 16), 2), [2])
    layers.labels.brush_size = 5
    return layers


def brush(layers, way, label, tool="paint"):
    """A stroke of the brush as napari makes it of a drag."""
    labels = layers.labels
    labels.mode, labels.selected_label = tool, label
    plane = (1,) * (layers.ndim - 2)
    with labels.block_history():
        for y, x in way:
            labels.paint((*plane, y, x), 0 if tool == "erase" else label)


ACROSS = [(20, x) for x in range(10, 30)]


def test_the_brush_leaves_an_accepted_object_and_undo_is_right(layers):
    before = layers.array().copy()
    brush(layers, ACROSS, 3)
    after = layers.array().copy()
    assert np.array_equal(after == 2, before == 2)
    assert (after == 3).any()
    layers.labels.undo()
    assert np.array_equal(layers.array(), before)
    layers.labels.redo()
    assert np.array_equal(layers.array(), after)
    layers.labels.undo()
    layers.labels.undo()
    assert not (layers.array() == 2).any()
    assert layers.accepted == set()


def test_an_object_painted_by_hand_can_be_painted_over(layers):
    brush(layers, [(4, 4)], 3)
    assert (layers.array() == 3).any()
    brush(layers, [(4, 4)], 2)
    assert not (layers.array() == 3).any()


def test_a_stroke_of_which_nothing_is_left_is_no_step_of_undo(layers):
    brush(layers, [(4, 4)], 3)
    before = layers.array().copy()
    brush(layers, [(20, 20), (20, 19)], 4)
    assert np.array_equal(layers.array(), before)
    layers.labels.undo()
    assert not (layers.array() == 3).any()


@pytest.mark.parametrize("label", [3, BACKGROUND])
@pytest.mark.parametrize("tool", ["fill", "polygon", "paint once", "set"])
def test_no_other_tool_takes_its_pixels(layers, tool, label):
    before, plane = layers.array().copy(), (1,) * (layers.ndim - 2)
    labels = layers.labels
    if tool == "fill":
        labels.n_edit_dimensions = layers.ndim
        labels.fill((*plane, 20, 20), label)
        labels.fill((*plane, 1, 1), label)
    elif tool == "polygon":
        labels.paint_polygon([(*plane, *corner) for corner in ((10, 10), (10, 22), (22, 22), (22, 10))], label)
    elif tool == "paint once":
        labels.brush_size = 12
        labels.paint((*plane, 15, 15), label)
    else:
        labels.data_setitem(square(layers.ndim, 12, 30), label)
    after = layers.array().copy()
    assert np.array_equal(after == 2, before == 2)
    assert (after == label).any()
    labels.undo()
    assert np.array_equal(layers.array(), before)
    labels.redo()
    assert np.array_equal(layers.array(), after)


def test_the_eraser_takes_what_is_erased(layers):
    brush(layers, ACROSS, 3, "erase")
    assert not (layers.array()[..., 20, 18:22] == 2).all()
    assert layers.accepted == {2}
    layers.labels.data_setitem(np.nonzero(layers.array() == 2), 0)
    assert layers.accepted == set()
    layers.labels.undo()
    assert layers.accepted == {2}


def test_an_id_that_was_undone_is_free_for_a_new_object(layers):
    layers.labels.undo()
    assert layers.accepted == set()
    layers.new_object()
    assert layers.labels.selected_label == 2
    brush(layers, [(20, 20)], 2)
    assert layers.accepted == set()
    brush(layers, [(20, 20)], 3)
    assert not (layers.array() == 2).any()


def test_redo_accepts_again(layers):
    layers.labels.undo()
    layers.labels.redo()
    assert layers.accepted == {2}


def test_an_object_opened_for_painting_is_not_protected(layers):
    layers.open_for_painting(2)
    assert (layers.labels.mode, layers.labels.selected_label) == ("paint", 2)
    assert layers.accepted == set()
    brush(layers, ACROSS, 3)
    assert (layers.array()[..., 20, 20] == 3).any()
    layers.accept([2])
    assert layers.accepted == {2}


def test_accepted_ids_stay_with_their_layer(layers, layer_viewer):
    image = layers.image
    layers.watch(layer_viewer.add_image(np.zeros((16, 16), np.float32), name="other"))
    layers.make()
    assert layers.accepted == set()
    layers.watch(image)
    assert layers.accepted == {2}
    brush(layers, ACROSS, 3)
    assert not (layers.array()[..., 20, 16:24] == 3).any()


def test_the_mouse_cannot_paint_over_it_and_the_session_knows_it(viewer, open_panel, drag):
    viewer.add_image(np.zeros((32, 32), np.float32), name="cells")
    panel = open_panel(PANEL)
    panel.annotation.annotate.click()
    layers = panel.annotation.layers
    layers.apply(Edit(square(2, 12, 20), 1), [1])
    viewer.reset_view()
    layers.new_object()
    before = layers.array().copy()
    drag(layers.labels, (16, 5), (16, 28))
    assert (layers.array()[:, :12] == 2).any()
    assert (layers.array()[:, 20:] == 2).any()
    assert np.array_equal(layers.array() == 1, before == 1)
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layers.array(), before)
    panel.annotation.count()
    assert "1 object, 1 of them accepted" in panel.annotation.line.text()
    # Gone with the layer, and back from the session.
    viewer.layers.remove("cells annotation")
    panel.annotation.count()
    panel.annotation.annotate.click()
    assert layers.accepted == {1}
    assert layers.annotation().revision == panel.autosave.saved_revision
    layers.open_for_painting(1)
    assert layers.annotation().revision > panel.autosave.saved_revision
