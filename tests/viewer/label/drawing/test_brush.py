"""Outlines drawn with the brush are filled when the button is released, and the brush fits the objects."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import PANEL, press
from qtpy.QtCore import Qt
from scipy import ndimage

from embedseg_napari.core.annotation.edits import Edit
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

AROUND = [(10, 10), (10, 30), (30, 30), (30, 10), (10, 10)]


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@pytest.fixture(params=[2, 3])
def layers(request, layer_viewer):
    """An empty annotation."""
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((4, 48, 48)[-request.param :], np.float32), name="cells"))
    layers.make()
    layers.labels.brush_size = 3
    return layers


def stroke(layers, corners, tool="paint"):
    """A stroke as napari makes it of a drag through some places of one plane."""
    labels, lead = layers.labels, (1,) * (layers.ndim - 2)
    labels.mode = tool
    with labels.block_history():
        before = corners[0]
        for corner in corners:
            labels._draw(0 if tool == "erase" else labels.selected_label, (*lead, *before), (*lead, *corner))
            before = corner


def plane(layers):
    return layers.array() if layers.ndim == 2 else layers.array()[1]


def test_an_outline_is_filled_and_undone_as_one_step(layers):
    stroke(layers, AROUND)
    painted = plane(layers) == 1
    assert np.array_equal(painted, ndimage.binary_fill_holes(painted))
    assert painted[20, 20]
    if layers.ndim == 3:
        assert not layers.array()[[0, 2, 3]].any()
    assert layers.annotation().counts().n_objects == 1
    layers.labels.undo()
    assert not layers.array().any()
    layers.labels.redo()
    assert np.array_equal(plane(layers) == 1, painted)
    layers.labels.undo()
    assert not layers.array().any()


def test_a_scribble_stays_a_scribble(layers):
    stroke(layers, [(10, 10), (38, 14), (10, 18), (38, 22), (10, 26), (25, 6), (25, 30)])
    painted = plane(layers) == 1
    assert not np.array_equal(painted, ndimage.binary_fill_holes(painted))


def test_other_objects_inside_an_outline_stay(layers):
    lead = (np.full(25, 1),) * (layers.ndim - 2)
    rows, columns = (one.ravel() for one in np.mgrid[18:23, 18:23])
    layers.apply(Edit((*lead, rows, columns), 7), [7])
    layers.labels.selected_label = 8
    stroke(layers, AROUND)
    assert (plane(layers)[18:23, 18:23] == 7).all()
    assert (plane(layers)[12:18, 12:29] == 8).all()
    assert layers.accepted == {7}
    layers.labels.undo()
    assert not (layers.array() == 8).any()
    assert (plane(layers)[18:23, 18:23] == 7).all()


@pytest.mark.parametrize("tool", ["background", "erase"])
def test_background_and_the_eraser_fill_nothing(layers, tool):
    layers.background()
    if tool == "erase":
        layers.labels.data_setitem(np.nonzero(np.ones(layers.shape, bool)), BACKGROUND)
    stroke(layers, AROUND, "erase" if tool == "erase" else "paint")
    assert plane(layers)[20, 20] == (0 if tool == "background" else BACKGROUND)


def test_an_eraser_s_hole_stays_when_one_paints_on(layers):
    stroke(layers, AROUND)
    stroke(layers, [(20, 18), (20, 22)], "erase")
    stroke(layers, [(40, 10), (40, 30)])
    assert plane(layers)[20, 20] == 0


def test_the_brush_fits_what_is_painted_until_the_user_chooses(layer_viewer):
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((500, 600), np.float32), name="cells"))
    layers.make()
    labels = layers.labels

    def paint(side):
        labels.data_setitem(
            tuple(one.ravel() for one in np.mgrid[20 : 20 + side, 20 : 20 + side]), labels.selected_label
        )
        layers.new_object()

    paint(20)
    small = labels.brush_size
    assert 2 <= small <= 6
    layers.erase()
    paint(60)
    paint(60)
    assert small < labels.brush_size <= 20
    labels.brush_size = 9
    paint(10)
    paint(10)
    assert labels.brush_size == 9


def test_the_brush_is_thinner_than_what_is_long_and_thin(layer_viewer):
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((500, 600), np.float32), name="worms"))
    layers.make()
    for top in (20, 60, 100):
        layers.labels.data_setitem(
            tuple(one.ravel() for one in np.mgrid[top : top + 14, 20:320]), layers.labels.selected_label
        )
        layers.new_object()
    assert layers.labels.brush_size <= 7


@pytest.mark.parametrize(("extent", "limits"), [(21.0, (2, 6)), (80.0, (8, 25)), (None, (2, 10))])
def test_the_first_brush_fits_the_objects_that_are_expected(layer_viewer, extent, limits):
    layers = AnnotationLayers(layer_viewer)
    layers.usual_extent = lambda: extent
    layers.watch(layer_viewer.add_image(np.zeros((520, 696), np.float32), name="cells"))
    layers.make()
    assert limits[0] <= layers.labels.brush_size <= limits[1]


def test_by_mouse_and_key(viewer, open_panel, drag):
    viewer.add_image(np.zeros((48, 48), np.float32), name="cells")
    panel = open_panel(PANEL)
    panel.annotation.annotate.click()
    layers = panel.annotation.layers
    viewer.reset_view()
    drag(layers.labels, *AROUND)
    assert (layers.array()[12:29, 12:29] == 1).all()
    assert not layers.array()[:6].any()
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not layers.array().any()


def test_a_stroke_that_cuts_an_object_is_told(viewer, open_panel):
    viewer.add_image(np.zeros((48, 48), np.float32), name="worms")
    panel = open_panel(PANEL)
    panel.annotation.annotate.click()
    layers, note = panel.annotation.layers, panel.annotation.note
    layers.labels.brush_size = 3
    stroke(layers, [(10, 5), (10, 40)])
    layers.new_object()
    stroke(layers, [(11, 5), (11, 40)])
    panel.annotation.count()
    assert not note.isVisibleTo(panel), "beside it, and over its edge"
    layers.new_object()
    stroke(layers, [(2, 20), (30, 20)])
    panel.annotation.count()
    assert note.isVisibleTo(panel)
    assert note.text().startswith("Object 1 is in pieces now")
    layers.new_object()
    stroke(layers, [(40, 5), (40, 40)])
    panel.annotation.count()
    assert not note.isVisibleTo(panel)


def test_an_accepted_object_that_is_given_back_is_in_no_pieces(layers):
    where = np.nonzero(np.arange(48)[:, None] + np.zeros((4, 48, 48)[-layers.ndim :]) == 10)
    layers.apply(Edit(where, 1), [1])
    layers.new_object()
    stroke(layers, [(2, 20), (30, 20)])
    assert (layers.array()[where] == 1).all()
    assert layers.brush.cut == 0


def test_planes_between_those_that_are_painted_cut_nothing(layers):
    if layers.ndim == 3:
        layers.labels.data_setitem(np.nonzero(np.ones((4, 48, 48)) * np.array([1, 0, 1, 0])[:, None, None]), 1)
    layers.labels.selected_label = 2
    stroke(layers, [(2, 20), (30, 20)])
    assert layers.brush.cut == 0
