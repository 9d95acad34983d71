"""Slices through the object that is looked at, in Label & Train."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import PANEL, begin, press
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.doubt import Doubt
from embedseg_napari.core.review.queue import ReviewQueue
from embedseg_napari.viewer.label.slices_box import OUTLINE


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@pytest.fixture
def panel(open_panel):
    return open_panel(PANEL)


@pytest.fixture
def truth(viewer, panel, blobs):
    """Objects of a volume that is being annotated."""
    return begin(viewer, panel, blobs, 3)


def review(panel, labels):
    """Begin to look through objects, each as doubtful as the other."""
    ids = range(1, int(labels.max()) + 1)
    at = [np.nonzero(labels == one) for one in ids]
    centers = np.array([np.mean(pixels, 1) for pixels in at], np.float32)
    zeros = np.zeros((labels.ndim, *labels.shape), np.float32)
    found = Segmentation(
        labels,
        centers,
        np.ones(len(at), np.float32),
        PredictionConfig(),
        kept_maps=EmbeddingMaps(zeros, zeros, zeros[0]),
    )
    boxes = [tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in pixels) for pixels in at]
    doubts = [
        Doubt(one, 0.5, {}, tuple(center.tolist()), box) for one, center, box in zip(ids, centers, boxes, strict=True)
    ]
    panel.review.begin(ReviewQueue(found, doubts))


def n_inside(panel):
    return sum(int(one.inside.sum()) for one in panel.review.slices.view.slices)


def seen_from_three_sides(panel, mask):
    """How many pixels of an object lie in the three planes that are shown."""
    xy, xz, _ = panel.review.slices.view.slices
    z, y, x = xy.start[0], xz.start[1], panel.review.slices.view.slices[2].start[2]
    return int(mask[z].sum() + mask[:, y].sum() + mask[:, :, x].sum())


def test_slices_follow_the_object_under_review(panel, truth):
    box = panel.review.slices
    assert box.isHidden()
    review(panel, truth)
    assert not box.isHidden()
    assert not box.view.slices
    shown = []
    for one in (1, 2):
        panel.review.next.click()
        assert n_inside(panel) == seen_from_three_sides(panel, truth == one) > 0
        shown.append([one.start for one in box.view.slices])
    assert shown[0] != shown[1]
    panel.review.back.click()
    assert [one.start for one in box.view.slices] == shown[0]
    while panel.review.queue.current is not None:
        panel.review.next.click()
    assert not box.view.slices


@pytest.mark.usefixtures("whole_window")
def test_slices_follow_edits_and_undo(viewer, panel, truth, qtbot):
    review(panel, truth)
    panel.review.next.click()
    before = n_inside(panel)
    press(viewer, Qt.Key.Key_R)
    labels = panel.annotation.layers.labels
    z, y, x = (int(axis.mean()) for axis in np.nonzero(truth == 1))
    cut = tuple(axis.ravel() for axis in np.indices((1, 3, 3)) + np.array([z, y - 1, x - 1])[:, None, None, None])
    labels.data_setitem(cut, 0)
    qtbot.waitUntil(lambda: n_inside(panel) < before)
    labels.undo()
    qtbot.waitUntil(lambda: n_inside(panel) == before)


def test_slices_follow_the_object_that_is_picked_until_the_next_one(panel, truth):
    review(panel, truth)
    layers = panel.annotation.layers
    layers.labels.data_setitem(np.nonzero(truth == 3), 30)
    layers.viewer.dims.set_point(0, layers.labels.data_to_world(np.argwhere(truth == 3)[0])[0])
    panel.review.next.click()
    first = n_inside(panel)
    layers.viewer.dims.set_point(0, layers.labels.data_to_world(np.argwhere(truth == 3)[0])[0])
    layers.labels.selected_label = 30
    assert n_inside(panel) == seen_from_three_sides(panel, truth == 3)
    # A number that nothing has is not looked at.
    layers.labels.selected_label = 31
    assert n_inside(panel) == first
    layers.labels.selected_label = 30
    panel.review.next.click()
    assert n_inside(panel) == seen_from_three_sides(panel, truth == 2)


def test_a_painted_object_is_seen_in_3d_wherever_it_lies(viewer, panel, truth):
    layers = panel.annotation.layers
    layers.labels.data_setitem(np.nonzero(truth == 2), 20)
    viewer.dims.set_point(0, layers.labels.data_to_world((0, 0, 0))[0])
    viewer.dims.ndisplay = 3
    layers.labels.selected_label = 20
    assert n_inside(panel) == seen_from_three_sides(panel, truth == 2)


def test_slices_follow_the_object_that_is_clicked_on(viewer, panel, truth, drag):
    panel.settings.choose_start(None)
    layers = panel.annotation.layers
    z, y, x = (round(float(axis.mean())) for axis in np.nonzero(truth == 2))
    viewer.dims.set_point(0, layers.labels.data_to_world((z, y, x))[0])
    viewer.reset_view()
    panel.clicks.button.click()
    drag(layers.labels, (y, x))
    found = np.zeros(truth.shape, bool)
    found[panel.clicks.found.pixels] = True
    assert n_inside(panel) == seen_from_three_sides(panel, found) > 0
    press(viewer, Qt.Key.Key_Escape)
    assert panel.review.slices.isHidden()


def test_slices_are_drawn_as_high_and_wide_as_the_voxels_are(panel, truth, qtbot):
    review(panel, truth)
    panel.review.next.click()
    view = panel.review.slices.view
    view.resize(260, view.height())
    xy, xz, yz = view.places()
    n_planes, n_columns = view.slices[1].inside.shape
    # Planes are 2 apart, pixels 0.5.
    assert xz.height() / xz.width() == pytest.approx(4 * n_planes / n_columns)
    assert (xy.width(), xy.height(), xz.height()) == pytest.approx((xz.width(), yz.height(), yz.width()))
    assert all(view.rect().contains(place.toAlignedRect()) for place in (xy, xz, yz))
    drawn = view.grab().toImage()
    colors = {
        drawn.pixelColor(column, row).getRgb()[:3]
        for column in range(int(xz.width()))
        for row in range(int(xz.top()), int(xz.bottom()))
    }
    assert OUTLINE in colors


def test_a_click_on_a_slice_goes_to_its_plane(viewer, panel, truth):
    review(panel, truth)
    panel.review.next.click()
    view = panel.review.slices.view
    place, planes = view.places()[1], view.slices[1]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(int(place.center().x()), int(place.top()) + 2))
    assert viewer.dims.current_step[0] == planes.start[0]


def test_folded_slices_cost_nothing_and_come_back(panel, truth):
    review(panel, truth)
    box = panel.review.slices
    box.button.click()
    panel.review.next.click()
    assert not box.view.slices
    box.button.click()
    assert n_inside(panel) == seen_from_three_sides(panel, truth == 1)


def test_another_image_or_the_end_of_the_annotation_empties_them(viewer, panel, truth, qtbot):
    review(panel, truth)
    panel.review.next.click()
    viewer.layers.remove(panel.annotation.layers.labels)
    qtbot.waitUntil(lambda: not panel.review.slices.view.slices)
    viewer.add_image(np.zeros((8, 8, 8), np.float32), name="other", axis_labels="zyx")
    viewer.layers.remove("cells")
    assert panel.review.slices.isHidden()


def test_a_2d_image_shows_nothing_new(viewer, panel, blobs):
    truth = begin(viewer, panel, blobs, 2)
    review(panel, truth)
    panel.review.next.click()
    panel.annotation.layers.labels.data_setitem(np.nonzero(truth == 1), 5)
    panel.annotation.layers.labels.selected_label = 5
    assert panel.review.slices.isHidden()
    assert not panel.review.slices.view.slices


@pytest.mark.parametrize("what", ["region", "new", "background", "erase"])
def test_whoever_takes_up_a_tool_in_3d_comes_back_to_slices(viewer, panel, truth, what):
    viewer.dims.ndisplay = 3
    getattr(panel.annotation, what).click()
    assert viewer.dims.ndisplay == 2


@pytest.mark.usefixtures("whole_window")
def test_objects_are_looked_through_in_3d(viewer, panel, truth):
    review(panel, truth)
    # Outlines have no 3D view, napari warns.
    panel.review.view.previews.hide()
    viewer.dims.ndisplay = 3
    panel.review.next.click()
    press(viewer, Qt.Key.Key_A)
    assert np.array_equal(panel.annotation.layers.array() > 0, truth == 1)
    assert viewer.dims.ndisplay == 3
    z = np.argwhere(truth == 2)[:, 0]
    press(viewer, Qt.Key.Key_R)
    assert viewer.dims.ndisplay == 2
    assert z.min() <= viewer.dims.current_step[0] <= z.max()
