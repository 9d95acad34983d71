"""From a row of the table to the object, and what the mistakes look like."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_steps import finish, press
from view_steps import is_in_view

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.layers import ANNOTATION


def test_a_row_leads_to_its_object(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    press(panel.evaluate, panel, qtbot)
    findings = panel.scores.errors.findings
    row = next(i for i, f in enumerate(findings) if f.true_ids == (1,))
    panel.mistakes.objects.selectRow(row)
    world = truth.data_to_world(findings[row].center)
    assert is_in_view(viewer, world)
    np.testing.assert_allclose(viewer.dims.point[-truth.ndim], world[0], atol=1)
    assert truth.selected_label == 1


def test_the_frame_around_a_mistake_follows_a_pixel_size_that_is_typed_later(panel, pair, viewer, qtbot) -> None:
    truth, prediction = pair
    press(panel.evaluate, panel, qtbot)
    for layer in (truth, prediction, viewer.layers["Mistakes"]):
        layer.scale = np.multiply(layer.scale, 3)
    panel.mistakes.objects.selectRow(0)
    np.testing.assert_allclose(panel.mistakes.mark.scale, prediction.scale)
    panel.scoring.table.selectRow(8)
    finish(panel, qtbot)
    np.testing.assert_allclose(viewer.layers["Mistakes"].scale, prediction.scale)


def test_another_threshold_shows_other_mistakes(panel, pair, viewer, qtbot) -> None:
    press(panel.evaluate, panel, qtbot)
    before = viewer.layers["Mistakes"].data.copy()
    scores = panel.scores
    panel.scoring.table.selectRow(8)
    finish(panel, qtbot)
    assert panel.mistakes.threshold.currentText() == "0.90"
    assert panel.scores is scores
    assert (viewer.layers["Mistakes"].data != before).any()


@pytest.mark.parametrize("way", ["fails", "is stopped"])
def test_mistakes_stay_those_of_their_layers_where_another_evaluation_ends_without_scores(
    panel, pair, viewer, qtbot, way
) -> None:
    press(panel.evaluate, panel, qtbot)
    overlay, findings = viewer.layers["Mistakes"], panel.scores.errors.findings
    before, place = overlay.data.copy(), overlay.translate.copy()
    other = np.pad(pair[0].data, [(0, 0), (4, 4), (4, 4)][-pair[0].ndim :])
    made = [
        viewer.add_labels(array.astype(int), name=name, translate=[500.0] * other.ndim)
        for name, array in (("binary", other > 0), ("other", other))
    ]
    panel.source.choose(*made)
    panel.evaluate.click()
    if way == "is stopped":
        panel.stop.click()
    finish(panel, qtbot)
    assert panel.scores.errors.findings is findings
    panel.mistakes.choose(0.9)
    finish(panel, qtbot)
    assert overlay.data.shape == before.shape
    np.testing.assert_array_equal(overlay.translate, place)
    panel.mistakes.objects.selectRow(0)
    mark = viewer.layers["Mistakes: here"]
    np.testing.assert_array_equal(mark.translate, place)
    # Changes of these layers are followed still.
    pair[1].data = pair[0].data
    assert "changed since" in panel.status.text()


def test_a_change_while_layers_are_compared_counts(panel, pair, viewer, qtbot) -> None:
    opacity = pair[1].opacity
    panel.evaluate.click()
    pair[1].data = pair[0].data
    finish(panel, qtbot)
    assert "changed since" in panel.status.text()
    assert pair[1].opacity == opacity


def test_legend_hides_kinds(panel, pair, viewer, qtbot) -> None:
    press(panel.evaluate, panel, qtbot)
    n = panel.mistakes.objects.model().rowCount()
    found = next(box for kind, box in panel.mistakes.legend.boxes.items() if kind.name == "FOUND")
    found.click()
    assert panel.mistakes.objects.model().rowCount() == n - int(found.text().split(": ")[1])
    assert viewer.layers["Mistakes"].colormap.color_dict[1][3] == 0


def test_mistakes_and_their_frame_step_aside_for_another_panel(panel, pair, viewer, qtbot) -> None:
    press(panel.evaluate, panel, qtbot)
    panel.mistakes.objects.selectRow(0)
    shown = [viewer.layers["Mistakes"], viewer.layers["Mistakes: here"]]
    panel.take_front(False)
    assert not any(layer.visible for layer in shown)
    shown[0].visible = True
    viewer.layers.remove(viewer.add_points([[0] * pair[0].ndim], name="of another panel"))
    assert shown[0].visible, "as the user wants it"
    # They are not hidden by hand.
    viewer.layers.remove(viewer.add_points(ndim=2))
    panel.take_front(True)
    assert all(layer.visible for layer in shown)


def test_what_is_compared_is_faint_while_its_mistakes_are_shown(panel, pair, viewer, qtbot) -> None:
    before = [layer.opacity for layer in pair]
    press(panel.evaluate, panel, qtbot)
    overlay = viewer.layers["Mistakes"]
    assert all(layer.opacity < 0.3 < overlay.opacity for layer in pair)
    overlay.visible = False
    assert [layer.opacity for layer in pair] == before
    overlay.visible = True
    assert all(layer.opacity < 0.3 for layer in pair)
    viewer.layers.remove(overlay)
    assert [layer.opacity for layer in pair] == before
    press(panel.evaluate, panel, qtbot)
    assert all(layer.opacity < 0.3 for layer in pair)
    # Other labels than those that were compared are seen as they are.
    pair[1].data = pair[0].data
    assert [layer.opacity for layer in pair] == before
    press(panel.evaluate, panel, qtbot)
    viewer.window.remove_dock_widget(panel)
    assert [layer.opacity for layer in pair] == before


def test_other_labels_are_hidden_while_mistakes_are_shown_and_come_back(panel, pair, viewer, qtbot) -> None:
    older = viewer.add_labels(np.ones_like(pair[0].data), name="older")
    off = viewer.add_labels(np.ones_like(pair[0].data), name="off", visible=False)
    corners = np.eye(3)[:, :2] + pair[0].extent.world[0][-2:]
    regions = viewer.add_shapes(corners, shape_type="polygon", metadata={ANNOTATION: "of an image"})
    panel.source.choose(*pair)
    press(panel.evaluate, panel, qtbot)
    overlay = viewer.layers["Mistakes"]
    assert not older.visible
    assert not regions.visible
    assert "2 other layers hidden" in panel.mistakes.note.text()
    overlay.visible = False
    assert older.visible
    assert regions.visible
    assert not off.visible
    overlay.visible = True
    assert not older.visible
    # Another panel in front: all is as it was, until one comes back.
    panel.take_front(False)
    assert older.visible
    assert not overlay.visible
    panel.take_front(True)
    assert overlay.visible
    assert not older.visible
    viewer.window.remove_dock_widget(panel)
    assert older.visible


def test_mistakes_are_seen_on_their_own_image(panel, pair, viewer, qtbot) -> None:
    shape = pair[0].data.shape
    own = viewer.add_image(np.ones(shape), name="own", scale=pair[0].scale, translate=pair[0].translate, visible=False)
    other = viewer.add_image(
        np.ones((*shape[:-2], 9, 9)), name="other", scale=pair[0].scale, translate=pair[0].translate
    )
    panel.source.choose(*pair)
    press(panel.evaluate, panel, qtbot)
    assert own.visible
    assert viewer.layers.index(own) > viewer.layers.index(other)
    viewer.layers["Mistakes"].visible = False
    assert not own.visible


@pytest.mark.usefixtures("whole_window")
def test_a_jump_zooms_and_frames_the_object_in_each_of_its_planes(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    press(panel.evaluate, panel, qtbot)
    camera = viewer.scene.camera
    camera.zoom = 0.01
    findings = panel.scores.errors.findings
    for label in (1, 2):
        row = next(i for i, f in enumerate(findings) if label in f.true_ids)
        panel.mistakes.objects.selectRow(row)
        inside = np.argwhere(truth.data == label)
        low, high = inside.min(0), inside.max(0)
        size = (high - low + 1)[-2:].max() * truth.scale[-1] * camera.zoom
        assert 60 < size < 500
        mark = viewer.layers["Mistakes: here"]
        corners = np.concatenate(mark.data)
        assert (corners.min(0)[-2:] < low[-2:]).all()
        assert (corners.max(0)[-2:] > high[-2:]).all()
        np.testing.assert_allclose(mark.data_to_world(low), truth.data_to_world(low))
        if truth.ndim == 3:
            assert np.unique(corners[:, 0]).tolist() == list(range(low[0], high[0] + 1))
    assert [layer.name for layer in viewer.layers].count("Mistakes: here") == 1
    press(panel.evaluate, panel, qtbot)
    assert "Mistakes: here" not in viewer.layers
