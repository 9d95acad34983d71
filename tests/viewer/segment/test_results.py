"""What a run shows, and what becomes of labels that were edited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from segment_steps import finish, settle

from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.runs import drain, never
from embedseg_napari.viewer.measure.layer_table import measure_layer, objects_of
from embedseg_napari.viewer.provenance import maps_of
from embedseg_napari.viewer.segment.regions import RECTANGLE


def test_a_run_gives_labels_seed_map_and_points_in_place(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    panel.run_button.click()
    assert not panel.run_button.isEnabled()
    assert panel.cancel_button.isEnabled()
    finish(qtbot, panel)
    assert "2 objects" in panel.status.text()
    assert [layer.name for layer in viewer.layers] == ["cells", "cells seed map", "cells labels", "cells centres"]
    for layer in list(viewer.layers)[1:]:
        assert tuple(layer.scale) == (0.5, 0.5)
        assert tuple(layer.translate) == (3, 4)
        assert layer.units == image.units
    table = viewer.layers["cells labels"].features
    assert list(table["index"]) == [1, 2]
    assert list(table["size"]) == [36, 48]
    np.testing.assert_allclose(table["score"], [0.95, 0.75], atol=1e-6)
    np.testing.assert_allclose(table[["centroid_y", "centroid_x"]], [[4.5, 4.5], [4.5, 15.5]])
    points = viewer.layers["cells centres"]
    np.testing.assert_allclose(points.data, [[4.5, 4.5], [4.5, 15.5]])
    np.testing.assert_allclose(points.features["score"], [0.95, 0.75], atol=1e-6)
    # napari's own files of points hold pixels, and features beside them.
    np.testing.assert_allclose(points.features[["center_y_um", "center_x_um"]], 0.5 * points.data)
    panel.start()
    finish(qtbot, panel)
    assert len(viewer.layers) == 4


def test_centres_are_as_large_as_fits_the_objects_of_a_later_result(viewer, panel, fake, qtbot, monkeypatch):
    viewer.add_image(np.zeros((240, 240)), name="cells")
    panel.run_button.click()
    finish(qtbot, panel)
    points = viewer.layers["cells centres"]
    assert set(points.size) == {2.0}
    large = np.kron(np.diag([1, 2]), np.ones((120, 120), int)).astype(np.int32)
    monkeypatch.setattr("segment_steps.two_objects", lambda shape: large)
    panel.run_button.click()
    finish(qtbot, panel)
    assert set(points.size) == {30.0}


def test_without_a_unit_centres_have_no_places_in_micrometres(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells", scale=(0.5, 0.5))
    panel.start()
    finish(qtbot, panel)
    assert list(viewer.layers["cells centres"].features) == ["score"]


def test_painted_labels_are_not_overwritten(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    edited = viewer.layers["cells labels"]
    edited.paint((20, 20), 9)
    n = len(viewer.layers["cells centres"].data)
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    viewer.layers["cells centres"].data = np.zeros((n + 3, 2))
    assert edited.data.max() == 9
    assert panel.results.labels is not edited
    # Who takes the new ones away goes back to their own, and centres are not there twice from then on.
    assert not edited.visible
    viewer.layers.remove(panel.results.labels)
    assert edited.visible
    assert panel.results.labels == edited
    assert len(viewer.layers["cells centres"].data) == n
    panel.thresholds.sliders["seed_threshold"].setValue(0.8)
    settle(qtbot, panel)
    assert [layer.name for layer in viewer.layers if "centres" in layer.name] == ["cells centres"]


def test_what_was_found_is_not_covered_by_another_image(viewer, panel, fake, qtbot):
    for name in ("one", "two"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        panel.start()
        finish(qtbot, panel)
    names = [layer.name for layer in viewer.layers]
    assert names[:4] == ["one", "one seed map", "one labels", "one centres"]
    # As when it is annotated.
    viewer.layers.move(0, 5)
    assert [layer.name for layer in viewer.layers][3:6] == ["two", "one", "two seed map"]
    notes = viewer.add_shapes([[[0, 0], [0, 9], [9, 9], [9, 0]]], name="notes")
    viewer.layers.selection.active = viewer.layers["one"]
    panel.start()
    finish(qtbot, panel)
    names = [layer.name for layer in viewer.layers]
    assert names[:4] == ["two", "two seed map", "two labels", "two centres"]
    assert names[4:] == ["one", "one seed map", "one labels", "one centres", "notes"]
    assert notes.visible


def test_labels_that_another_tool_changed_are_not_overwritten(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers["cells labels"].data = np.full((24, 24), 7)
    panel.start()
    finish(qtbot, panel)
    assert (viewer.layers["cells labels"].data == 7).all()
    assert viewer.layers["cells labels [1]"].data.max() == 2
    panel.start()
    finish(qtbot, panel)
    assert "cells labels [2]" not in viewer.layers, "what the panel itself shows is replaced"


def test_labels_are_compared_whatever_way_they_were_changed(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    found = viewer.layers["cells labels"]
    before = found.data.copy()

    def by_index(layer):
        layer.data[20:22, 20:22] = 9
        layer.refresh()

    for change in (
        by_index,
        lambda layer: layer.data_setitem((np.array([20]), np.array([20])), 9),
        lambda layer: layer.fill((4, 4), 9),
        lambda layer: setattr(layer, "data", layer.data.astype(np.uint8)[::-1].copy()),
    ):
        change(found)
        assert not np.array_equal(found.data, before)
        edited = found.data.copy()
        panel.thresholds.numbers["min_object_size"].setValue(panel.thresholds.numbers["min_object_size"].value() + 1)
        settle(qtbot, panel)
        np.testing.assert_array_equal(found.data, edited)
        assert panel.results.labels is not found
        assert found.name[:12] in panel.status.text()
        assert "was edited and is kept, but hidden" in panel.status.text()
        found = panel.results.labels
        assert found in viewer.layers
        np.testing.assert_array_equal(found.data, before)


def test_an_edit_that_was_undone_is_none(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers["cells labels"].paint((20, 20), 9)
    viewer.layers["cells labels"].undo()
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert "cells labels [1]" not in viewer.layers
    assert viewer.layers["cells labels"].data.max() == 1


def test_a_region_is_added_to_what_was_found_before(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((60, 60)), name="cells")
    panel.start()
    finish(qtbot, panel)
    labels = viewer.layers["cells labels"]
    assert labels.data.shape == (60, 60)
    panel.image.region.setCurrentText(RECTANGLE)
    viewer.add_shapes([[[30, 30], [30, 54], [54, 54], [54, 30]]])
    panel.image.layer_box.choose(image)
    panel.start()
    finish(qtbot, panel)
    assert labels.data.shape == (60, 60)
    assert np.unique(labels.data).tolist() == [0, 1, 2, 3, 4]
    assert (labels.data[:20] > 0).sum() == (labels.data[30:] > 0).sum() == 84
    assert "4 objects" in panel.status.text()
    assert labels.features["centroid_y"].tolist() == [4.5, 4.5, 34.5, 34.5]
    assert len(viewer.layers["cells centres"].data) == 4
    assert viewer.layers["cells seed map"].data.shape == (60, 60)
    # Sliders act on what was run last; a click finds the object's own maps, or says that there are none.
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert np.unique(labels.data).tolist() == [0, 1, 2, 3]
    panel.embedding.show_object(3)
    assert viewer.layers["votes"].data.shape == (36, 2)
    panel.embedding.show_object(1)
    assert "earlier run" in panel.embedding.hint.text()
    # The same region again finds the same; the whole image replaces all.
    panel.start()
    finish(qtbot, panel)
    assert np.unique(labels.data).tolist() == [0, 1, 2, 3]
    panel.image.region.setCurrentIndex(0)
    panel.start()
    finish(qtbot, panel)
    assert (labels.data > 0).sum() == 36


def test_what_is_known_of_objects_stays_where_a_region_is_added_and_one_is_edited(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((60, 60)), name="cells")
    panel.start()
    finish(qtbot, panel)
    labels = viewer.layers["cells labels"]
    panel.image.region.setCurrentText(RECTANGLE)
    viewer.add_shapes([[[30, 30], [30, 54], [54, 54], [54, 30]]])
    panel.image.layer_box.choose(image)
    panel.start()
    finish(qtbot, panel)
    table = drain(measure_layer(objects_of(labels, None), (), never))
    np.testing.assert_allclose(table["score"], [0.95, 0.75] * 2, atol=1e-6)
    assert np.isfinite(table["margin_px"]).all()
    # Thresholds are tried on the maps of one run.
    assert maps_of(labels) is None
    labels.data[labels.data == 2] *= np.arange(48) > 0
    table = drain(measure_layer(objects_of(labels, None), (), never))
    np.testing.assert_allclose(table["score"], [0.95, np.nan, 0.95, 0.75], atol=1e-6)
    panel.start()
    finish(qtbot, panel)
    np.testing.assert_allclose(panel.results.labels.features["score"], [0.95, np.nan, 0.95, 0.75], atol=1e-6)


def test_a_region_is_added_to_edited_labels_in_a_layer_of_its_own(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((60, 60)), name="cells")
    panel.start()
    finish(qtbot, panel)
    edited = viewer.layers["cells labels"]
    edited.data[50:55, 2:7] = 7
    edited.refresh()
    panel.image.region.setCurrentText(RECTANGLE)
    viewer.add_shapes([[[30, 30], [30, 54], [54, 54], [54, 30]]])
    panel.image.layer_box.choose(image)
    panel.start()
    finish(qtbot, panel)
    assert np.unique(edited.data).tolist() == [0, 1, 2, 7]
    both = panel.results.labels
    assert both is not edited
    assert (both.data[50:55, 2:7] > 0).all()
    assert np.unique(both.data).tolist() == [0, 1, 2, 3, 4, 5]
    assert "is kept" in panel.status.text()


def test_frames_of_a_time_lapse(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((6, 24, 24)), name="film", scale=(1, 0.5, 0.5))
    panel.image.question.buttons["T"].click()
    assert panel.image.axes.text() == "TYX"
    panel.start()
    finish(qtbot, panel)
    assert viewer.layers["film labels"].data.shape == (6, 24, 24)
    assert "in 6 frames" in panel.status.text()
    labels = viewer.layers["film labels"]
    assert list(labels.features["frame"]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    # What hovering shows is found by a number that no other frame has.
    assert list(labels.features["index"]) == list(range(1, 13))
    assert np.unique(labels.data[4]).tolist() == [0, 9, 10]
    panel.embedding.show_object(10)
    assert set(viewer.layers["votes"].data[:, 0]) == {4}
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert len(viewer.layers["film centres"].data) == 6


def test_removing_layers_is_survived(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    fake.gate.clear()
    panel.start()
    viewer.layers.remove(image)
    finish(qtbot, panel)
    fake.gate.set()
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers["cells labels"].name = "mine"
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert viewer.layers["mine"].data.max() == 1
    viewer.layers.clear()
    panel.thresholds.sliders["seed_threshold"].setValue(0.6)
    assert not viewer.layers


def test_the_seed_map_of_an_earlier_run_goes_where_a_later_one_keeps_none(viewer, panel, fake, qtbot, monkeypatch):
    viewer.add_image(np.zeros((3, 24, 24)), name="film", axis_labels=("t", "y", "x"))
    panel.start()
    finish(qtbot, panel)
    assert "film seed map" in viewer.layers
    collect = Segmentation.collect
    with monkeypatch.context() as patch:
        # As of a movie whose maps would take too much memory.
        patch.setattr(Segmentation, "collect", lambda *args: replace(collect(*args), kept_maps=None))
        panel.start()
        finish(qtbot, panel)
    assert [layer.name for layer in viewer.layers] == ["film", "film labels", "film centres"]
    panel.start()
    finish(qtbot, panel)
    assert "film seed map" in viewer.layers


def test_removed_results_do_not_come_back(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers.remove("cells labels")
    assert not panel.results.has_maps()
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert "cells labels" not in viewer.layers


def voxel_typed(panel, text):
    panel.image.voxel.setText(text)
    panel.image.voxel.editingFinished.emit()


@pytest.mark.parametrize("axes", ["ZYX", "CZYX", "TCZYX", "TZCYX", "ZYXC"])
def test_results_stay_on_a_volume_whose_voxel_size_is_typed_later(viewer, panel, fake, qtbot, axes):
    shape = {"T": 2, "C": 3, "Z": 6, "Y": 24, "X": 24}
    stack = viewer.add_image(np.zeros([shape[one] for one in axes]), name="stack", axis_labels=axes.lower())
    panel.model.choose(bundled_path("nuclei-3d"))
    if "C" in axes:
        panel.image.channel.setCurrentIndex(panel.image.channel.findData(0))
    panel.start()
    finish(qtbot, panel)
    panel.embedding.arrows_box.setChecked(True)
    panel.image.layer_box.choose(stack)
    assert panel.image.form.isRowVisible(panel.image.voxel)
    voxel_typed(panel, "2, 0.3, 0.3")
    others = ("stack labels", "stack centres", "stack seed map", "stack offsets")
    # Counted from the last: channels in front are no axis of results.
    space = [axes.index(letter) - len(axes) for letter in "ZYX"]

    def lie_on_it():
        scales = {name: tuple(viewer.layers[name].scale[space]) for name in others}
        assert scales == dict.fromkeys(others, (2, 0.3, 0.3))
        assert all(viewer.layers[name].units[at] == stack.units[at] for name in others for at in space)
        np.testing.assert_allclose(viewer.layers[others[0]].extent.world[:, space], stack.extent.world[:, space])

    lie_on_it()
    viewer.layers.selection.active = viewer.layers["stack labels"]
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    lie_on_it()
    assert "center_z_um" in viewer.layers["stack centres"].features


def test_results_of_a_region_stay_in_their_place_when_the_voxel_size_is_typed(viewer, panel, fake, qtbot):
    stack = viewer.add_image(np.zeros((6, 90, 90)), name="stack", axis_labels="zyx")
    panel.model.choose(bundled_path("nuclei-3d"))
    viewer.add_shapes([[[40, 50], [40, 74], [64, 74], [64, 50]]])
    panel.image.region.setCurrentText(RECTANGLE)
    panel.image.layer_box.choose(stack)
    panel.start()
    finish(qtbot, panel)
    viewer.layers.selection.active = stack
    labels, centers = viewer.layers["stack labels"], viewer.layers["stack centres"]
    assert labels.translate.tolist() == [0, 40, 50]
    voxel_typed(panel, "2, 0.3, 0.2")
    for _ in range(2):
        np.testing.assert_allclose(labels.translate, [0, 12, 10])
        np.testing.assert_allclose(centers.translate, [0, 12, 10])
        viewer.layers.selection.active = labels
        panel.thresholds.sliders["seed_threshold"].setValue(0.9)
        settle(qtbot, panel)


def test_results_stay_where_they_were_found_when_the_image_gets_another_number_of_axes(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells", translate=(3, 4))
    panel.start()
    finish(qtbot, panel)
    image.data = np.zeros((2, 24, 24))
    panel.results.update(panel.results.of_image(image), panel.results.of_image(image).segmentation)
    assert viewer.layers["cells labels"].translate.tolist() == [3, 4]


def test_an_image_that_was_renamed_has_one_result_still(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    layers = set(viewer.layers)
    image.name = "nuclei"
    panel.start()
    finish(qtbot, panel)
    assert set(viewer.layers) == layers
    assert panel.results.labels == viewer.layers["cells labels"]


def test_what_a_result_was_shown_instead_of_comes_back_once(viewer, panel, fake, qtbot, monkeypatch):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    for found in (np.eye(24, dtype=np.int32), np.zeros((24, 24), np.int32)):
        monkeypatch.setattr("segment_steps.two_objects", lambda shape, found=found: found)
        panel.start()
        finish(qtbot, panel)
    painted = panel.results.labels
    painted.paint((20, 20), 9)
    panel.threshold_box.undo_button.click()
    assert viewer.layers.selection.active == panel.results.labels != painted
    viewer.layers.selection.active = painted
    assert not panel.threshold_box.undo_button.isEnabled()
