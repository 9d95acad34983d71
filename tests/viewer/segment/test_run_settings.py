"""The settings of a run, and those of the last time."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from segment_steps import PANEL, finish, settle

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.model.model_file import write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.model_list import models


def test_a_panel_begins_where_the_person_left_off(viewer, open_panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    first = open_panel(PANEL)
    first.model.choose_named("cells-phase-2d")
    first.scale.setValue(0.5)
    first.tta.setChecked(True)
    first.device.setCurrentText("cpu")
    first.thresholds.numbers["min_object_size"].setValue(3)
    first.start()
    finish(qtbot, first)
    first.thresholds.numbers["seed_threshold"].setValue(0.7)
    settle(qtbot, first)
    viewer.window.remove_dock_widget(first)
    second = open_panel(PANEL)
    assert second.model.path == bundled_path("cells-phase-2d")
    assert (second.scale.value(), second.tta.isChecked(), second.device.currentText()) == (0.5, True, "cpu")
    assert second.thresholds.values() == first.thresholds.values()
    assert second.thresholds.values()["seed_threshold"] == 0.7
    assert second.threshold_box.title() == "Changed for the next run"
    second.threshold_box.back_button.click()
    assert second.threshold_box.title() == "Thresholds of the next run"
    assert second.thresholds.values() == second.model.config.prediction.clustering


def test_a_model_that_is_gone_or_settings_that_do_not_fit_are_left_out(viewer, open_panel, tmp_path):
    LastUsed("segment").keep(model=str(tmp_path / "gone.embedseg"), changes={"scale": 2.0})
    panel = open_panel(PANEL)
    assert panel.model.path == bundled_path("nuclei-2d")
    assert panel.scale.value() == 1
    viewer.window.remove_dock_widget(panel)
    LastUsed("segment").keep(model=str(bundled_path("cells-phase-2d")), changes={"scale": "large", "tta": 3})
    panel = open_panel(PANEL)
    assert panel.model.path == bundled_path("cells-phase-2d")
    assert panel.thresholds.values() == panel.model.config.prediction.clustering


@pytest.mark.parametrize("looks", [True, False])
def test_whether_the_scale_is_looked_for_is_kept_for_the_next_session(viewer, open_panel, looks):
    path = str(bundled_path("nuclei-3d"))
    first = open_panel(PANEL)
    first.model.choose_named("nuclei-3d")
    first.settings.find_scale.setChecked(looks)
    first.settings.keep()
    viewer.window.remove_dock_widget(first)
    second = open_panel(PANEL)
    assert str(second.model.path) == path
    assert second.settings.find_scale.isChecked() is looks


def test_what_was_kept_before_scales_were_looked_for_leaves_that_to_the_model(viewer, open_panel):
    LastUsed("segment").keep(model=str(bundled_path("nuclei-3d")), changes={"scale": 1.0})
    panel = open_panel(PANEL)
    assert panel.settings.find_scale.isChecked()


def test_a_checkpoint_of_the_original_brings_its_own_minimum_size(
    viewer, panel, fake, qtbot, own_data, checkpoint, monkeypatch
):
    checkpoint.with_name("data_properties.json").write_text('{"min_object_size": 48}')
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(checkpoint), ""))
    panel.model.browse.click()
    assert panel.model.path.stem == "worms"
    assert panel.thresholds.values()["min_object_size"] == 48
    viewer.add_image(np.zeros((24, 24)))
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["min_object_size"] == 48


def test_scale_and_views_reach_the_run(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    panel.scale.setValue(0.5)
    panel.tta.setChecked(True)
    panel.run_button.click()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["scale"] == 0.5
    assert fake.jobs[-1].changes["tta"] is True
    assert panel.settings.for_others()["changes"]["scale"] == 0.5


def test_a_model_of_few_labels_looks_for_the_scale_of_other_images_only(viewer, panel, fake, tmp_path):
    learned, other = viewer.add_image(np.zeros((24, 24))), viewer.add_image(np.zeros((24, 24)))
    trained = load_model(bundled_path("nuclei-2d"), device="cpu")
    prediction = trained.config.prediction.changed({"find_scale": True})
    trained.config = trained.config.model_copy(update={"prediction": prediction})
    panel.take_over(trained.save(tmp_path / "few.embedseg"), learned)
    assert not panel.settings.changes()["find_scale"]
    assert panel.settings.for_others()["changes"]["find_scale"], "a folder holds other images"
    assert "looked for" in panel.settings.scale.toolTip()
    panel.settings.keep()
    assert LastUsed("segment").read()["changes"]["find_scale"]
    panel.image.layer_box.choose(other)
    assert panel.settings.changes()["find_scale"]
    panel.settings.scale_for(other, 0.5)
    assert panel.settings.changes()["scale"] == 0.5
    assert panel.settings.for_others()["changes"]["scale"] == 1
    panel.take_over(panel.model.path, learned)
    panel.settings.find_scale.click()
    panel.image.layer_box.choose(other)
    assert panel.settings.find_scale.isChecked()


def choose(panel, layer):
    panel.image.layer_box.choose(layer)
    return panel.model.path.stem


@pytest.fixture
def tissue(viewer):
    colours = np.full((24, 24, 3), 230, np.uint8)
    colours[4:12, 6:14] = 120, 60, 150
    return viewer.add_image(colours, name="tissue", rgb=True)


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 24, 24), (3, 5, 24, 24)])
def test_a_model_of_colours_that_nobody_asked_for_goes_with_them(viewer, tissue, open_panel, shape):
    panel = open_panel(PANEL)
    names = ("c", "z", "y", "x") if len(shape) == 4 else ("c", "y", "x")
    dyes, wanted = viewer.add_image(np.zeros(shape), axis_labels=names), "nuclei-3d" if len(shape) == 4 else "nuclei-2d"
    assert choose(panel, tissue) == "nuclei-histology-2d"
    panel.settings.keep()
    assert choose(panel, dyes) == wanted
    assert panel.image.wanted_channel() == 0
    choose(panel, tissue)
    viewer.window.remove_dock_widget(panel)
    # The next day.
    viewer.layers.remove(tissue)
    panel = open_panel(PANEL)
    assert panel.model.path.stem == wanted
    assert panel.run_button.isEnabled() or len(shape) == 4
    panel.model.choose_named("nuclei-histology-2d")
    assert choose(panel, dyes) == "nuclei-histology-2d"


def test_a_model_of_volumes_that_was_asked_for_gives_way_to_planes_and_comes_back(viewer, open_panel, tmp_path):
    volumes = [viewer.add_image(np.zeros((5, 24, 24)), axis_labels=("z", "y", "x")) for _ in range(2)]
    panel = open_panel(PANEL)
    own = load_model(bundled_path("nuclei-3d"), device="cpu").save(tmp_path / "own.embedseg")
    panel.take_over(own, volumes[0])
    assert choose(panel, viewer.add_image(np.zeros((24, 24)))) == "nuclei-2d"
    assert panel.run_button.isEnabled()
    assert choose(panel, volumes[1]) == "own"
    # What is asked for meanwhile stays.
    flat = viewer.add_image(np.zeros((24, 24)))
    choose(panel, flat)
    panel.model.choose_named("cells-phase-2d")
    assert choose(panel, volumes[0]) == "cells-phase-2d"
    assert choose(panel, flat) == "cells-phase-2d"


def test_planes_that_are_asked_about_are_no_colours(viewer, tissue, open_panel):
    panel = open_panel(PANEL)
    assert choose(panel, tissue) == "nuclei-histology-2d"
    assert choose(panel, viewer.add_image(np.zeros((3, 24, 24)))) == "nuclei-2d"
    buttons = panel.image.question.buttons
    assert buttons["C"].text() == "Channels, segmented with nuclei-2d"
    assert buttons["T"].text() == "Time, segmented with nuclei-2d"
    buttons["C"].click()
    assert panel.model.path.stem == "nuclei-2d"
    assert panel.run_button.isEnabled()


def test_ones_own_model_of_several_channels_stays(viewer, open_panel, tmp_path):
    path = tmp_path / "own.embedseg"
    write_model_file(path, BranchedERFNet(2, 3).state_dict(), ModelConfig(n_channels=3))
    models.remember(path, is_wanted=False)
    LastUsed("segment").keep(model=str(path))
    viewer.add_image(np.zeros((3, 24, 24)), axis_labels=("c", "y", "x"))
    panel = open_panel(PANEL)
    assert panel.model.path == path
    assert panel.image.wanted_channel() == "all"
    assert panel.run_button.isEnabled()


def test_colours_that_can_be_seen_through_are_not_given_to_a_model_of_three(viewer, open_panel):
    colours = np.full((24, 24, 4), 230, np.uint8)
    colours[:3, :3, 3] = 9
    viewer.add_image(colours, rgb=True)
    panel = open_panel(PANEL)
    assert panel.model.path.stem == "nuclei-2d"
    assert panel.run_button.isEnabled()


@pytest.mark.parametrize("noise", [0, 3])
def test_a_light_grey_image_saved_in_colours_is_no_stained_tissue(viewer, open_panel, noise):
    brightfield = np.full((24, 24, 1), 200, np.uint8)
    brightfield[4:12, 6:14] = 90
    off = np.random.default_rng(0).integers(-noise, noise + 1, (24, 24, 3))
    viewer.add_image((brightfield + off).astype(np.uint8), rgb=True)
    panel = open_panel(PANEL)
    assert panel.model.path.stem == "nuclei-2d"
    assert panel.image.wanted_channel() == "mean"
