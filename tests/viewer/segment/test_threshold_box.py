"""Thresholds act on what was found, without the network."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QScrollArea
from segment_steps import finish, settle

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet


@pytest.fixture
def slow_collecting(monkeypatch):
    """Collecting that goes on, once the gate is closed, until it is opened again."""
    gate, recluster = threading.Event(), Segmentation.recluster
    gate.set()

    def slowly(self, *, should_stop, **values):
        while not gate.wait(0.01):
            if should_stop():
                raise Stopped("stopped")
        return recluster(self, should_stop=should_stop, **values)

    monkeypatch.setattr(Segmentation, "recluster", slowly)
    yield gate
    gate.set()


def test_sliders_collect_objects_without_the_network(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 1
    assert len(viewer.layers["cells centres"].data) == 1
    assert list(viewer.layers["cells labels"].features["index"]) == [1]
    panel.thresholds.numbers["seed_threshold"].setValue(0.5)
    panel.thresholds.numbers["min_object_size"].setValue(40)
    settle(qtbot, panel)
    assert list(viewer.layers["cells labels"].features["size"]) == [48]
    assert len(fake.jobs) == 1


def test_every_setting_of_clustering_can_be_moved(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.thresholds.sliders["margin_scale"].setValue(1.5)
    panel.thresholds.seeds.setCurrentIndex(panel.thresholds.seeds.findData("local_maxima"))
    settle(qtbot, panel)
    values = panel.thresholds.values()
    assert (values["margin_scale"], values["seeds"]) == (1.5, "local_maxima")
    assert values == panel.results.segmentation.settings.clustering
    assert set(values) <= set(fake.jobs[0].changes)
    assert "left out" not in panel.status.text()
    panel.thresholds.largest.setValue(40)
    settle(qtbot, panel)
    assert "1 object" in panel.status.text()
    assert "1 more left out" in panel.status.text()


def test_the_threshold_that_would_find_more_is_named(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.thresholds.numbers["min_object_size"].setValue(1000)
    settle(qtbot, panel)
    assert panel.status.text().startswith("0 objects. Lower the seed threshold")
    panel.thresholds.seeds.setCurrentIndex(panel.thresholds.seeds.findData("local_maxima"))
    settle(qtbot, panel)
    assert panel.status.text().startswith("0 objects. Lower the foreground threshold")


def test_sliders_act_on_the_result_that_is_selected(viewer, panel, fake, qtbot):
    for name in ("one", "two"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        assert "next run" in panel.threshold_box.title()
        panel.start()
        finish(qtbot, panel)
        assert f"{name} labels" in panel.threshold_box.title()
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    one, two = (viewer.layers[f"{name} labels"] for name in ("one", "two"))
    assert (one.data.max(), two.data.max()) == (2, 1)
    viewer.layers.selection.active = one
    assert "one labels" in panel.threshold_box.title()
    assert panel.image.layer == viewer.layers["one"]
    assert panel.thresholds.values()["seed_threshold"] == 0.5, "those of the result"
    panel.thresholds.numbers["min_object_size"].setValue(40)
    settle(qtbot, panel)
    assert (one.data > 0).sum() == 48
    assert (two.data > 0).sum() == 36
    viewer.layers.selection.active = viewer.layers["two centres"]
    assert "two labels" in panel.threshold_box.title()
    assert "object" in panel.status.text(), "what is said is of the result that is selected"
    assert panel.thresholds.values()["seed_threshold"] == 0.9


def test_edited_labels_that_gave_way_are_acted_on_when_they_are_selected(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    edited = panel.results.labels
    edited.paint((20, 20), 9)
    for value in (0.9, 0.8):
        panel.thresholds.sliders["seed_threshold"].setValue(value)
        settle(qtbot, panel)
        assert "was edited and is kept" in panel.status.text(), "not only until the slider moves on"
    later = panel.results.labels
    later_centers = viewer.layers["cells centres"]
    edited.visible = True
    viewer.layers.selection.active = edited
    assert panel.threshold_box.title().endswith("cells labels")
    assert not panel.status.text(), "how many were painted, nobody has counted"
    assert panel.thresholds.values()["seed_threshold"] == 0.5
    assert not panel.threshold_box.undo_button.isEnabled()
    assert panel.results.labels == edited, "Save labels… and Measure take what is seen"
    panel.thresholds.sliders["seed_threshold"].setValue(0.7)
    settle(qtbot, panel)
    shown = panel.results.labels
    assert shown not in (edited, later)
    assert (shown.data.max(), later.data.max(), edited.data.max()) == (2, 1, 9)
    assert (shown.visible, edited.visible, later.visible, later_centers.visible) == (True, False, False, False)
    viewer.layers.selection.active = viewer.layers["cells"]
    assert panel.results.labels == shown, "the latest"
    viewer.layers.selection.active = later
    assert panel.thresholds.values()["seed_threshold"] == 0.8
    # Those of a run before, too.
    later.paint((20, 20), 7)
    panel.image.layer_box.choose(viewer.layers["cells"])
    panel.start()
    finish(qtbot, panel)
    viewer.layers.selection.active = later
    assert panel.results.labels == later


def test_thresholds_go_back(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    box, start = panel.threshold_box, panel.thresholds.values()
    assert not box.undo_button.isEnabled()
    for name, value in (("seed_threshold", 0.9), ("min_object_size", 40)):
        panel.thresholds.numbers[name].setValue(value)
        settle(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 0
    box.undo_button.click()
    settle(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 1
    box.undo_button.click()
    settle(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 2
    assert panel.thresholds.values() == start
    assert not box.undo_button.isEnabled()
    box.back_button.click()
    settle(qtbot, panel)
    stored = panel.model.config.prediction.clustering
    assert panel.thresholds.values() == panel.results.segmentation.settings.clustering == stored
    assert not box.back_button.isEnabled()
    box.undo_button.click()
    settle(qtbot, panel)
    assert panel.thresholds.values() == start


def test_thresholds_of_a_result_are_not_those_of_another_model(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.model.choose(bundled_path("cells-phase-2d"))
    stored = panel.model.config.prediction.clustering
    assert "next run" in panel.threshold_box.title()
    viewer.layers.selection.active = image
    assert panel.thresholds.values() == stored
    viewer.layers.selection.active = viewer.layers["cells labels"]
    panel.start()
    finish(qtbot, panel)
    assert {name: fake.jobs[-1].changes[name] for name in stored} == stored


def test_sliders_act_on_the_result_again_when_its_model_is_chosen_again(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    own = panel.model.path
    panel.model.choose(bundled_path("cells-phase-2d"))
    panel.model.choose(own)
    assert "cells labels" in panel.threshold_box.title()
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 1


def test_centres_are_there_as_long_as_objects_are(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    smallest = panel.thresholds.numbers["min_object_size"]
    smallest.setValue(400)
    panel.start()
    finish(qtbot, panel)
    assert "cells centres" not in viewer.layers
    smallest.setValue(0)
    settle(qtbot, panel)
    assert len(viewer.layers["cells centres"].data) == 2
    viewer.layers["cells centres"].visible = False
    smallest.setValue(400)
    settle(qtbot, panel)
    assert "cells centres" not in viewer.layers
    smallest.setValue(0)
    settle(qtbot, panel)
    assert not viewer.layers["cells centres"].visible, "as the user left them"


def test_the_way_back_does_not_scroll_away(panel):
    assert not [area for area in panel.findChildren(QScrollArea) if area.isAncestorOf(panel.threshold_box.back_button)]


def test_a_minimum_size_that_fell_with_the_scale_of_one_image_is_not_that_of_the_next(
    viewer, panel, fake, qtbot, tmp_path
):
    config = ModelConfig(name="sized", prediction=PredictionConfig(min_object_size=40))
    panel.model.choose(Model(config, BranchedERFNet(2)).save(tmp_path / "sized.embedseg"))
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    box = panel.threshold_box
    result, own = box.result, panel.model.config.prediction
    found = own.at_scale(2, 2)
    assert 0 < found.min_object_size < own.min_object_size
    result.segmentation = replace(result.segmentation, settings=found)
    result.values = found.clustering
    result.history = [result.values]
    box.follow(result)
    assert box.sliders.values()["min_object_size"] == found.min_object_size
    assert "Changed" not in box.title()
    assert not box.back_button.isEnabled()
    assert box.of_next_run()["min_object_size"] == own.min_object_size
    panel.thresholds.numbers["min_object_size"].setValue(found.min_object_size + 1)
    settle(qtbot, panel)
    assert "Changed" in box.title()
    assert box.of_next_run()["min_object_size"] == found.min_object_size + 1
    box.go_back()
    settle(qtbot, panel)
    assert box.sliders.values()["min_object_size"] == found.min_object_size
    viewer.layers.selection.active = image
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["min_object_size"] == own.min_object_size


def segment_two(viewer, panel, qtbot):
    """The labels of two images."""
    for name in ("one", "two"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        panel.start()
        finish(qtbot, panel)
    return viewer.layers["one labels"], viewer.layers["two labels"]


def move(panel, *values):
    for value in values:
        panel.thresholds.sliders["seed_threshold"].setValue(value)


def test_thresholds_of_one_result_do_not_wait_for_those_of_another(viewer, panel, fake, slow_collecting, qtbot):
    one, two = segment_two(viewer, panel, qtbot)
    slow_collecting.clear()
    viewer.layers.selection.active = one
    move(panel, 0.6, 0.9)
    result = panel.results.chosen
    viewer.layers.selection.active = two
    move(panel, 0.9)
    slow_collecting.set()
    settle(qtbot, panel)
    assert (one.data.max(), two.data.max()) == (1, 1)
    assert (len(one.features), len(two.features)) == (1, 1)
    assert result.history[-1]["seed_threshold"] == 0.9


def test_objects_are_collected_although_another_result_is_removed(viewer, panel, fake, slow_collecting, qtbot):
    one, two = segment_two(viewer, panel, qtbot)
    slow_collecting.clear()
    move(panel, 0.9)
    viewer.layers.selection.active = one
    move(panel, 0.9)
    viewer.layers.remove(two)
    slow_collecting.set()
    settle(qtbot, panel)
    assert one.data.max() == 1


def test_objects_are_collected_after_a_run_that_was_cancelled(viewer, panel, fake, slow_collecting, qtbot):
    one, two = segment_two(viewer, panel, qtbot)
    slow_collecting.clear()
    fake.gate.clear()
    move(panel, 0.9)
    viewer.layers.selection.active = one
    move(panel, 0.9)
    panel.start()
    panel.cancel_button.click()
    finish(qtbot, panel)
    slow_collecting.set()
    settle(qtbot, panel)
    assert (one.data.max(), two.data.max()) == (1, 1)


def test_edited_labels_keep_their_thresholds_where_a_run_comes_before_new_ones(
    viewer, panel, fake, slow_collecting, qtbot
):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    edited, values = panel.results.labels, panel.thresholds.values()
    edited.paint((20, 20), 9)
    slow_collecting.clear()
    move(panel, 0.9)
    panel.start()
    finish(qtbot, panel)
    assert panel.thresholds.values()["seed_threshold"] == 0.9
    viewer.layers.selection.active = edited
    assert panel.thresholds.values() == values
    assert not panel.reclustering.is_busy


def test_edited_labels_keep_their_thresholds_where_others_are_undone(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    move(panel, 0.9)
    settle(qtbot, panel)
    edited = panel.results.labels
    edited.paint((20, 20), 9)
    panel.threshold_box.undo_button.click()
    settle(qtbot, panel)
    assert panel.results.labels.data.max() == 2
    assert panel.thresholds.values()["seed_threshold"] == 0.5
    viewer.layers.selection.active = edited
    assert panel.thresholds.values()["seed_threshold"] == 0.9
    panel.threshold_box.undo_button.click()
    settle(qtbot, panel)
    assert panel.thresholds.values()["seed_threshold"] == 0.5


@pytest.mark.parametrize("is_edited", [False, True])
def test_what_a_run_that_found_nothing_replaced_is_shown_again(viewer, panel, fake, qtbot, monkeypatch, is_edited):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    before = np.array(viewer.layers["cells labels"].data)
    seeds = np.array(viewer.layers["cells seed map"].data)
    box = panel.threshold_box
    assert not box.undo_button.isEnabled()
    with monkeypatch.context() as patch:
        patch.setattr("segment_steps.two_objects", lambda shape: np.zeros(shape, np.int32))
        for _ in range(2):
            panel.start()
            finish(qtbot, panel)
            assert not viewer.layers["cells labels"].data.any()
            assert panel.status.text().startswith("0 objects")
            assert "Undo shows again what was found before." in panel.status.text()
    # Meanwhile the sliders act on what the last run saw.
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    if is_edited:
        viewer.layers["cells labels"].paint((20, 20), 9)
    box.undo_button.click()
    settle(qtbot, panel)
    assert panel.results.chosen.instead_of is not None
    box.undo_button.click()
    settle(qtbot, panel)
    shown = panel.results.labels
    np.testing.assert_array_equal(shown.data, before)
    assert shown.visible
    np.testing.assert_array_equal(viewer.layers["cells seed map"].data, seeds)
    assert len(viewer.layers["cells centres"].data) == 2
    assert len(shown.features) == 2
    assert panel.status.text().startswith("2 objects")
    assert not box.undo_button.isEnabled()
    assert len(panel.results.all) == 1 + is_edited
    # What was painted meanwhile stays, in its own layer.
    assert (shown.name == "cells labels") is not is_edited
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert shown.data.max() == 1
