"""The Label & Train panel, opened through the manifest and driven by its buttons and keys."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import PANEL, begin, paint_truth, press
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from scipy import ndimage

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.model.known_models import bundled_path, start_path
from embedseg_napari.viewer import provenance
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED, TIME_POINT

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(label_panel):
    return label_panel


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


def test_an_empty_viewer_says_what_is_missing(panel):
    assert not panel.train.isEnabled()
    assert "Open an image" in panel.reason.text()
    assert panel.train.toolTip() == panel.reason.text()
    assert not panel.annotation.annotate.isEnabled()


def test_a_round_starts_from_the_model_that_the_image_was_segmented_with(viewer, open_panel, blobs):
    image, labels = blobs(2)
    image = viewer.add_image(image, name="cells")
    found = viewer.add_labels(labels, metadata={RESULT: FOUND, SEGMENTED: str(image.unique_id)})
    settings = PredictionConfig()
    provenance.remember(found, Segmentation(labels, [], [], settings), bundled_path("cells-phase-2d"))
    panel = open_panel(PANEL)
    assert panel.settings.start_from() == bundled_path("cells-phase-2d")
    assert panel.settings.why.text() == "Chosen because this image was segmented with it."
    # A model that was used on another image says nothing of this one.
    panel.settings.choose_start(None)
    assert panel.settings.why.isHidden()
    viewer.layers.remove(image)
    viewer.add_image(blobs(2)[0], name="other")
    assert panel.settings.start_from() == start_path(2)
    assert "few labels teach it more" in panel.settings.why.text()


@pytest.mark.parametrize("ndim", [2, 3])
def test_only_models_for_such_images_are_offered(viewer, panel, blobs, ndim):
    viewer.add_image(blobs(ndim)[0], name="cells")
    offered = [panel.settings.start.itemText(i) for i in range(panel.settings.start.count())]
    assert ("nuclei-3d" in offered) == (ndim == 3)
    assert ("nuclei-2d" in offered) == (ndim == 2)


def test_a_frame_starts_from_the_model_that_its_movie_was_segmented_with(viewer, open_panel, blobs):
    image, labels = blobs(2)
    movie = viewer.add_image(np.stack([image] * 2), name="movie", axis_labels=("t", "y", "x"))
    stack = np.stack([labels] * 2)
    found = viewer.add_labels(stack, metadata={RESULT: FOUND, SEGMENTED: str(movie.unique_id)})
    provenance.remember(found, Segmentation(stack, [], [], PredictionConfig()), bundled_path("cells-phase-2d"))
    panel = open_panel(PANEL)
    panel.annotation.image.choose(movie)
    panel.annotation.annotate.click()
    assert panel.settings.start_from() == bundled_path("cells-phase-2d")


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


@pytest.mark.usefixtures("whole_window")
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
    assert viewer.layers.selection.active == panel.annotation.layers.regions.layer
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
    regions = panel.annotation.layers.regions.layer
    assert regions.mode == "add_rectangle"
    corners = np.array([[2, 2], [2, 9], [5, 9], [5, 2]], float)
    regions.add_rectangles(corners if ndim == 2 else np.insert(corners, 0, 4, axis=1))
    mask = panel.annotation.layers.regions.mask()
    expected = np.zeros(mask.shape, bool)
    expected[(4,) * (ndim - 2) + (slice(2, 6), slice(2, 10))] = True
    assert np.array_equal(mask, expected)
    panel.annotation.count()
    assert "32 background pixels · 1 region" in panel.annotation.line.text()
    # A click with the tool draws nothing.
    click = np.array([[9, 9], [9, 9.4], [9.4, 9.4], [9.4, 9]])
    regions.add_rectangles(click if ndim == 2 else np.insert(click, 0, 4, axis=1))
    assert np.array_equal(panel.annotation.layers.regions.mask(), expected)
    panel.annotation.count()
    assert "1 region" in panel.annotation.line.text()
    panel.annotation.layers.regions.show(mask)
    assert np.array_equal(panel.annotation.layers.regions.mask(), expected)


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
    # Another frame is looked for, and the same one is not made twice.
    panel.annotation.image.choose(movie)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["movie"]
    panel.annotation.annotate.click()
    assert panel.annotation.layers.image == frame
    assert len(viewer.layers) == 3


def test_an_image_that_is_chosen_is_seen_without_what_was_painted_on_another(viewer, panel):
    first, second = (viewer.add_image(np.ones((32, 32)), name=name) for name in ("first", "second"))
    panel.annotation.image.choose(first)
    panel.annotation.annotate.click()
    annotation = panel.annotation.layers.labels
    annotation.data_setitem((np.array([5]), np.array([5])), 1)
    panel.annotation.image.choose(second)
    assert not annotation.visible
    assert second.visible
    panel.annotation.image.choose(first)
    assert annotation.visible


def test_a_movie_of_which_a_frame_was_annotated_offers_its_session(viewer, panel):
    pixels = np.arange(4)[:, None, None] * np.ones((4, 32, 32))
    movie = viewer.add_image(pixels, name="movie", axis_labels=("t", "y", "x"))
    panel.annotation.annotate.click()
    panel.annotation.layers.labels.data_setitem((np.array([3]), np.array([4])), 1)
    panel.navigator.close()
    viewer.layers.clear()
    for name, is_it in (("film", False), ("movie", True)):
        movie = viewer.add_image(pixels, name=name, axis_labels=("t", "y", "x"))
        panel.annotation.image.choose(movie)
        assert panel.sessions.again.isVisibleTo(panel) == is_it
    assert "A frame of this time-lapse was annotated before" in panel.sessions.line.text()
    panel.sessions.again.click()
    assert viewer.layers["movie t=1 annotation"].data[3, 4] == 1
    # It is known to be this frame, and is not made anew.
    frame = panel.annotation.layers.image
    assert frame.metadata[TIME_POINT] == f"{movie.unique_id} 1"
    panel.annotation.image.choose(movie)
    assert viewer.dims.point[0] == 1
    panel.annotation.annotate.click()
    assert panel.annotation.layers.image == frame
    assert panel.annotation.layers.array()[3, 4] == 1
    # So it is where the movie comes later.
    viewer.layers.remove(movie)
    panel.annotation.image.choose(viewer.add_image(pixels, name="movie", axis_labels=("t", "y", "x")))
    panel.annotation.annotate.click()
    assert panel.annotation.layers.image == frame
    assert [layer.name for layer in viewer.layers].count("movie t=1 [1]") == 0


@pytest.mark.usefixtures("whole_window")
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
    assert "paint any others inside it" in box.advice.text()
    z = int(np.nonzero(truth == 1)[0][0]) if ndim == 3 else ...
    areas[z] = ndimage.binary_dilation(truth[z] == 1, np.ones((3, 3)))
    box.layers.regions.show(areas)
    box.count()
    assert box.advice.text().startswith("Paint every object in the rectangle")
    for identity in range(2, 6):
        layer.data_setitem(np.nonzero(truth == identity), identity)
    box.count()
    assert "around an empty area" in box.advice.text()
    empty = np.argwhere(~ndimage.binary_dilation(truth[z] != 0, np.ones((9, 9)))[4:-4, 4:-4]) + 4
    for y, x in empty[[0, -1]]:
        assert "you like" in box.advice.text()
        areas[z][y - 3 : y + 4, x - 3 : x + 4] = True
        box.layers.regions.show(areas)
        box.count()
        assert "around an empty area" not in box.advice.text()
    assert "where the prediction is wrong" in box.advice.text()


def test_after_a_rectangle_the_brush_comes_back(viewer, panel, blobs, drag, qtbot):
    begin(viewer, panel, blobs)
    viewer.reset_view()
    layers = panel.annotation.layers
    panel.annotation.region.click()
    drag(layers.labels, (10, 10), (20, 30))
    qtbot.waitUntil(lambda: viewer.layers.selection.active == layers.labels)
    assert layers.labels.mode == "paint"
    assert layers.regions.count() == 1
    assert layers.regions.mask()[12:19, 12:29].all()
    # A polygon takes several clicks: its tool stays.
    viewer.layers.selection.active = layers.regions.layer
    layers.regions.layer.mode = "add_polygon"
    drag(layers.labels, (30, 30), (40, 30))
    qtbot.wait(10)
    assert viewer.layers.selection.active == layers.regions.layer


def test_older_labels_step_aside_where_painting_begins_and_can_be_shown_again(viewer, panel, blobs):
    image, labels = blobs(2)
    older = viewer.add_labels(labels, name="older")
    elsewhere = viewer.add_labels(labels, name="elsewhere", translate=(0, 1000))
    viewer.add_image(image, name="cells")
    panel.annotation.annotate.click()
    assert not older.visible
    assert elsewhere.visible
    older.visible = True
    panel.annotation.region.click()
    assert panel.annotation.advice.text().startswith("Now drag a rectangle")
    panel.annotation.new.click()
    assert panel.annotation.advice.text().startswith("Press Fully annotated")
    assert older.visible


def test_the_whole_image_is_annotated_and_back(viewer, panel, blobs, ndim):
    begin(viewer, panel, blobs, ndim)
    layers, box = panel.annotation.layers, panel.annotation
    for areas in (None, np.zeros(layers.shape, bool)):
        if areas is not None:
            areas[..., 3:20, 4:30] = True
        layers.regions.show(areas)
        box.whole.click()
        assert layers.annotation().regions.all()
        assert "the whole image" in box.line.text()
        assert viewer.layers.selection.active == layers.labels, "the brush stays at hand"
        assert box.whole.text() == "Not all of it"
        box.whole.click()
        assert box.whole.text() == "Whole image"
        back = layers.annotation().regions
        assert back is None if areas is None else np.array_equal(back, areas)
