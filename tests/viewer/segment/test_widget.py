from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.errors import ComputeError, Stopped
from embedseg_napari.core.events import Advice, FrameFinished, Message, PredictionStarted, TileFinished
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model import known_models
from embedseg_napari.core.model import model as model_module
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.model.model_file import write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.jobs.segment import ModelLoaded, take_channel
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.segment import advice_box
from embedseg_napari.viewer.segment import widget as segment_widget
from embedseg_napari.viewer.segment.embedding_view import voters
from embedseg_napari.viewer.segment.image_input import RECTANGLE, VIEW
from embedseg_napari.viewer.worker import RunState

PANEL = "EmbedSeg: Segment"
WAIT = 60_000


def perfect_maps(labels, scores=(0.95, 0.75)):
    """Every object's pixels point to its centre; object i has the seediness ``scores[i - 1]``."""
    ndim = labels.ndim
    offsets = np.zeros((ndim, *labels.shape), np.float32)
    seed_map = np.full(labels.shape, 0.1, np.float32)
    for label in range(1, labels.max() + 1):
        at = np.argwhere(labels == label)
        index = tuple(at.T)
        offsets[(slice(None), *index)] = (at.mean(axis=0) - at).T
        seed_map[index] = scores[label - 1]
    return EmbeddingMaps(offsets, np.full_like(offsets, 2.0), seed_map)


def two_objects(shape):
    labels = np.zeros(shape, np.int32)
    labels[..., 2:8, 2:8] = 1
    labels[..., 2:8, 12:20] = 2
    return labels


class FakeRun:
    """Stands in for the network: finds two objects in every image."""

    def __init__(self):
        self.jobs, self.error, self.messages = [], None, []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, job, should_stop):
        self.jobs.append(job)
        yield ModelLoaded(ModelConfig(), "cpu")
        array, axes = take_channel(job.array, job.axes, job.channel)
        n_frames = array.shape[axes.index("T")] if "T" in axes else 1
        shape = tuple(n for n, letter in zip(array.shape, axes, strict=True) if letter in "ZYX")
        yield PredictionStarted(axes, n_frames, 1)
        if self.error is not None:
            raise self.error
        yield from self.messages
        names = ("seed_threshold", "foreground_threshold", "faint_seeds", "min_object_size")
        settings = PredictionConfig(**{name: job.changes[name] for name in names})
        parts = []
        for t in range(n_frames):
            while not self.gate.wait(0.01):
                if should_stop():
                    raise Stopped("stopped")
            yield TileFinished(t, 1, 1)
            parts.append(Segmentation.collect(perfect_maps(two_objects(shape)), settings))
            yield FrameFinished(t, n_frames, 2)
        return Segmentation.stack(parts) if "T" in axes else parts[0]


@pytest.fixture
def advised(monkeypatch):
    """Stand in for what looks for something better: the events it will tell, and the jobs it was asked about."""
    said, jobs, gate = [], [], threading.Event()
    gate.set()

    def advise(job, found, should_stop):
        jobs.append((job, found))
        while not gate.wait(0.01):
            if should_stop():
                raise Stopped("stopped")
            yield None
        yield from said

    monkeypatch.setattr(advice_box, "advise", advise)
    yield SimpleNamespace(said=said, jobs=jobs, gate=gate)
    gate.set()


@pytest.fixture
def fake(monkeypatch, advised):
    run = FakeRun()
    monkeypatch.setattr(segment_widget, "segment", run)
    yield run
    run.gate.set()


@pytest.fixture
def panel(open_panel, tiny_model_file):
    models.remember(tiny_model_file)
    widget = open_panel(PANEL)
    widget.thresholds.set_values(
        {"seed_threshold": 0.5, "foreground_threshold": 0.3, "faint_seeds": 0.0, "min_object_size": 0}
    )
    return widget


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: panel.current is None, timeout=WAIT)


def settle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.reclustering.is_busy and panel.is_settled, timeout=WAIT)


def test_an_empty_viewer_says_what_to_do(viewer, open_panel):
    panel = open_panel(PANEL)
    assert not panel.run_button.isEnabled()
    assert "Open an image" in panel.status.text()
    viewer.add_image(np.zeros((24, 24)))
    assert panel.run_button.isEnabled(), "the bundled model is chosen: an image and one click are enough"


def test_without_any_model_the_panel_asks_for_one(viewer, open_panel, monkeypatch):
    monkeypatch.setattr("embedseg_napari.core.model.known_models.bundled_names", list)
    panel = open_panel(PANEL)
    viewer.add_image(np.zeros((24, 24)))
    assert not panel.run_button.isEnabled()
    assert "model" in panel.status.text()
    assert "model" in panel.run_button.toolTip()


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
    panel.start()
    finish(qtbot, panel)
    assert len(viewer.layers) == 4


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


def test_painted_labels_are_not_overwritten(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    edited = viewer.layers["cells labels"]
    edited.paint((20, 20), 9)
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert edited.data.max() == 9
    assert panel.results.labels is not edited


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
        assert "was edited and is kept" in panel.status.text()
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


def test_the_result_is_selected_unless_the_user_went_on(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    assert viewer.layers.selection.active == viewer.layers["cells labels"]
    assert panel.image.layer == viewer.layers["cells"]
    fake.gate.clear()
    panel.start()
    mine = viewer.add_labels(np.zeros((24, 24), int), name="mine")
    fake.gate.set()
    finish(qtbot, panel)
    assert viewer.layers.selection.active == mine


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
    assert panel.thresholds.values()["seed_threshold"] == 0.9


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


def test_a_message_is_read_whole_in_the_panel(viewer, panel, fake, qtbot):
    text = "A sentence of more than forty letters, which no notification would show to its end. " * 3
    fake.messages = [Message("Dead pixels.", "warning"), Advice(text.strip(), "warning")]
    viewer.add_image(np.zeros((24, 24)))
    panel.start()
    finish(qtbot, panel)
    assert panel.advice.notes.text() == "Dead pixels."
    assert panel.advice.sentence.text() == text.strip()
    assert panel.advice.sentence.wordWrap()
    assert not panel.advice.isHidden()
    assert panel.advice.button.isHidden()
    fake.messages = []
    panel.start()
    assert panel.advice.isHidden()
    finish(qtbot, panel)
    assert panel.advice.isHidden()


def test_advice_is_looked_for_after_the_labels_are_shown_and_not_any_more_in_the_next_run(
    viewer, panel, fake, advised, qtbot
):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.gate.clear()
    advised.said.append(Advice("Try it.", "warning", "Use scale 2", "", {"scale": 2.0}))
    panel.start()
    finish(qtbot, panel)
    assert viewer.layers["cells labels"].data.max() == 2
    qtbot.waitUntil(lambda: len(advised.jobs) == 1, timeout=WAIT)
    assert panel.advice.is_looking
    panel.start()
    assert not panel.advice.is_looking
    finish(qtbot, panel)
    advised.gate.set()
    qtbot.waitUntil(lambda: not panel.advice.is_looking, timeout=WAIT)
    assert len(advised.jobs) == 2
    assert panel.advice.button.text() == "Use scale 2"
    # Pressed after another image was chosen, it still is about its own.
    viewer.add_image(np.zeros((24, 24)), name="other")
    advised.said.clear()
    panel.advice.button.click()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["scale"] == 2
    assert panel.results.selection.layer == image
    advised.said.append(Advice("Try it.", "warning", "Use scale 3", "", {"scale": 3.0}))
    for leave in (lambda: panel.model.choose_bundled("cells-phase-2d"), lambda: viewer.layers.remove(image)):
        panel.start()
        finish(qtbot, panel)
        qtbot.waitUntil(lambda: panel.advice.button.text() == "Use scale 3", timeout=WAIT)
        leave()
        assert panel.advice.isHidden()


def test_another_model_is_one_press_away(viewer, panel, fake, advised, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.said.append(Advice("Try cells.", "warning", "Try cells-phase-2d", "cells-phase-2d"))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    advised.said.clear()
    panel.advice.button.click()
    finish(qtbot, panel)
    assert panel.model.path == fake.jobs[-1].model == bundled_path("cells-phase-2d")
    stored = panel.model.config.prediction.clustering
    assert {name: fake.jobs[-1].changes[name] for name in stored} == stored


def test_an_image_that_no_model_knows_is_one_press_away_from_being_labelled(viewer, panel, fake, advised, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.said.append(Advice("The model is unsure.", "warning", "Open Label & Train", labels=True))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    assert panel.advice.sentence.text() == "The model is unsure."
    # What stands on a button is shown as it is, not as the mark of a key.
    assert panel.advice.button.text().replace("&&", "&") == "Open Label & Train"
    viewer.add_image(np.zeros((24, 24)), name="other")
    panel.advice.button.click()
    label = panel.open_beside("EmbedSeg: Label & Train")
    assert label.annotation.image.layer() == image
    assert len(fake.jobs) == 1


def test_advice_says_once_what_its_button_does(panel):
    panel.advice.take(Advice("It is dim: try it.", "warning", "Try it", "cells-phase-2d", observed="It is dim."))
    assert panel.advice.sentence.text() == "It is dim."
    assert panel.advice.button.text() == "Try it"


def test_thresholds_that_find_nothing_are_taken_back(viewer, panel, fake, advised, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    stored = panel.model.config.prediction.clustering
    advised.said.append(Advice("None.", "warning", "Back to the model's thresholds", "", stored))
    panel.thresholds.numbers["min_object_size"].setValue(5000)
    panel.start()
    finish(qtbot, panel)
    assert panel.status.text().startswith("0 objects")
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    panel.advice.button.click()
    settle(qtbot, panel)
    assert panel.thresholds.values() == stored
    assert viewer.layers["cells labels"].data.max() > 0
    assert len(fake.jobs) == 1


def test_a_panel_begins_where_the_person_left_off(viewer, open_panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    first = open_panel(PANEL)
    first.model.choose_bundled("cells-phase-2d")
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
    assert "next run" in second.threshold_box.title()
    second.threshold_box.back_button.click()
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


def test_cancel_leaves_the_viewer_as_it_was(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    fake.gate.clear()
    panel.start()
    qtbot.waitUntil(lambda: "Tile" in panel.progress.format(), timeout=WAIT)
    panel.cancel_button.click()
    finish(qtbot, panel)
    assert panel.status.text() == "Stopped."
    assert len(viewer.layers) == 1
    assert panel.run_button.isEnabled()


def test_a_failure_gives_the_panel_back(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    for error in (RuntimeError("CUDA out of memory"), ComputeError("No cuda device was found.")):
        fake.error = error
        panel.start()
        finish(qtbot, panel)
        assert panel.run_button.isEnabled()
        assert "emory ran out" in panel.status.text() or "No cuda" in panel.status.text()
    fake.error = None
    panel.start()
    finish(qtbot, panel)
    assert "2 objects" in panel.status.text()


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


def test_a_rectangle(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((60, 60)), name="cells", scale=(0.5, 0.5))
    panel.image.region.setCurrentText(RECTANGLE)
    assert not panel.run_button.isEnabled()
    assert "rectangle" in panel.status.text()
    viewer.add_shapes([[[10, 5], [10, 17], [22, 17], [22, 5]]])
    assert panel.run_button.isEnabled()
    panel.start()
    finish(qtbot, panel)
    labels = viewer.layers["cells labels"]
    assert labels.data.shape == (24, 24)
    assert tuple(labels.translate) == (10, 5)
    assert list(labels.features["centroid_y"]) == [24.5, 24.5]


def test_nothing_in_view_is_said(viewer, panel, fake):
    layer = viewer.add_image(np.zeros((60, 60)))
    panel.image.region.setCurrentText(VIEW)
    layer.corner_pixels = np.array([[100, 100], [120, 120]])
    panel.start()
    assert panel.current is None
    assert "Too little of the image is in view" in panel.status.text()
    layer.corner_pixels = np.array([[10, 20], [39, 49]])
    assert panel.image.selection().array.shape == (30, 30)


def test_what_planes_are_is_asked_once(viewer, panel, open_panel):
    stack = viewer.add_image(np.zeros((51, 24, 24)), name="stack")
    question = panel.image.question
    assert not panel.run_button.isEnabled()
    assert "51 planes of stack" in question.sentence.text()
    assert "stack" in panel.status.text()
    texts = {letter: one.text() for letter, one in question.buttons.items() if not one.isHidden()}
    assert texts == {"Z": "Depth: nuclei-3d", "T": f"Time: {panel.model.path.stem}"}
    question.buttons["Z"].click()
    assert question.isHidden()
    assert (panel.image.axes.text(), panel.model.path.stem) == ("ZYX", "nuclei-3d")
    assert panel.run_button.isEnabled()
    # The layer remembers the answer, and the planes that are not asked about are chosen by it.
    viewer.add_image(np.zeros((24, 24)), name="flat")
    panel.image.layer_box.choose(viewer.layers["flat"])
    assert (panel.image.axes.text(), panel.model.config.ndim) == ("YX", 2)
    panel.image.layer_box.choose(stack)
    assert question.isHidden()
    assert panel.image.axes.text() == "ZYX"
    assert picture_of(stack).axes == "ZYX"
    # An answer of another panel, or the file's own, closes the question too.
    other = viewer.add_image(np.zeros((3, 24, 24)), name="other")
    panel.image.layer_box.choose(other)
    assert not question.buttons["C"].isHidden()
    other.axis_labels = ("t", "y", "x")
    assert question.isHidden()
    assert panel.image.axes.text() == "TYX"


def test_a_model_of_volumes_that_the_user_chose_answers_what_planes_are(viewer, panel):
    panel.model.choose(bundled_path("nuclei-3d"))
    viewer.add_image(np.zeros((51, 24, 24)), name="stack")
    assert panel.image.question.isHidden()
    assert panel.image.axes.text() == "ZYX"
    assert panel.run_button.isEnabled()


def test_axes_and_channels_can_be_corrected(viewer, panel, fake, qtbot, tiny_model_file):
    panel.model.choose(tiny_model_file)
    viewer.add_image(np.zeros((5, 24, 24)), name="stack")
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "zyx")
    assert panel.image.axes.text() == "ZYX"
    assert "2D" in panel.status.text()
    assert panel.image.axes.styleSheet()
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "cyx")
    assert not panel.image.axes.styleSheet()
    panel.image.channel.setCurrentIndex(2)
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[0].channel == 1
    assert viewer.layers["stack labels"].data.shape == (24, 24)


def test_scale_and_views_reach_the_run(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    panel.scale.setValue(0.5)
    panel.tta.setChecked(True)
    panel.run_button.click()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["scale"] == 0.5
    assert fake.jobs[-1].changes["tta"] is True
    assert panel.batch_settings()["changes"]["scale"] == 0.5


def test_segment_on_drop(viewer, panel, fake, qtbot):
    panel.on_drop.setChecked(True)
    viewer.add_image(np.zeros((24, 24)), name="one")
    viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: "two centres" in viewer.layers and panel.current is None, timeout=WAIT)
    assert "one centres" in viewer.layers
    assert len(fake.jobs) == 2


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


def test_removed_results_do_not_come_back(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers.remove("cells labels")
    assert not panel.results.has_maps()
    panel.thresholds.sliders["seed_threshold"].setValue(0.9)
    settle(qtbot, panel)
    assert "cells labels" not in viewer.layers


def test_removing_the_image_stops_its_run(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    fake.gate.clear()
    panel.start()
    # The gate stays closed: only a stop ends the run.
    viewer.layers.remove(image)
    assert panel.current is None or panel.current.state is RunState.STOPPING
    finish(qtbot, panel)
    assert not viewer.layers


def test_an_image_in_colour_after_a_grey_one_is_segmented_by_its_brightness(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="grey")
    viewer.add_image(np.zeros((24, 24, 3), np.uint8), name="colour", rgb=True)
    panel.image.layer_box.choose(viewer.layers["colour"])
    assert panel.image.channel.currentData() == "mean"
    assert panel.run_button.isEnabled()
    panel.image.channel.setCurrentIndex(0)
    assert "choose one here, or their mean" in panel.status.text()


def test_a_time_lapse_of_volumes_is_not_asked_for_a_second_time_axis(viewer, panel, fake, tiny_model_file):
    panel.model.choose(tiny_model_file)
    viewer.add_image(np.zeros((2, 3, 24, 24)), name="film", axis_labels=("t", "z", "y", "x"))
    assert not panel.run_button.isEnabled()
    assert "write T" not in panel.status.text()
    assert "Split Stack" in panel.status.text()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_an_image_smaller_than_any_object(viewer, panel, fake, shape):
    viewer.add_image(np.zeros(shape), name="line")
    panel.start()
    assert panel.current is None
    assert "'line' is too small" in panel.status.text()
    assert "rectangle" not in panel.status.text()


def test_what_the_network_sees(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.embedding.arrows_box.setChecked(True)
    arrows = viewer.layers["cells offsets"].data
    np.testing.assert_allclose(arrows[0].sum(axis=0), [4.5, 4.5])
    panel.embedding.click_box.setChecked(True)
    panel.embedding.show_object(2)
    assert len(viewer.layers["votes"].data) == 48
    assert "48 pixels" in panel.embedding.hint.text()
    assert "margin" in viewer.layers
    panel.embedding.click_box.setChecked(False)
    panel.embedding.arrows_box.setChecked(False)
    assert "margin" not in viewer.layers
    assert "cells offsets" not in viewer.layers


@pytest.mark.parametrize("ndim", [2, 3])
def test_votes_are_the_pixels_that_point_into_the_margin(ndim):
    labels = two_objects((4, 24, 24)[-ndim:])
    part = Segmentation.collect(perfect_maps(labels), PredictionConfig(seed_threshold=0.5, foreground_threshold=0.3))
    center, margins, pixels = voters(part, 1)
    np.testing.assert_allclose(center[-2:], [4.5, 4.5])
    np.testing.assert_allclose(margins, 2.0)
    assert {tuple(pixel) for pixel in pixels} == {tuple(at) for at in np.argwhere(labels == 1)}


def test_closing_the_panel_while_it_runs(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    fake.gate.clear()
    panel.start()
    run = panel.current
    # The gate stays closed: only a stop ends the run. The panel itself lives on, as long as something refers to it.
    with qtbot.waitSignal(run.finished, timeout=WAIT):
        viewer.window.remove_dock_widget(panel)
    assert len(viewer.layers) == 1


def test_the_real_network(viewer, panel, qtbot):
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((40, 48)).astype(np.float32), name="noise")
    panel.start()
    finish(qtbot, panel)
    assert viewer.layers["noise labels"].data.shape == (40, 48)
    assert viewer.layers["noise seed map"].data.dtype == np.float32


def test_opening_the_panel_imports_no_pytorch():
    code = "import sys, embedseg_napari.viewer.segment.widget; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


def test_the_chosen_model_is_loaded_before_the_first_run(viewer, open_panel, advised, monkeypatch, tmp_path, qtbot):
    loaded = []
    load_model = model_module.load_model

    def load(path, device="auto", legacy=None):
        loaded.append(path)
        return load_model(path, device, legacy)

    monkeypatch.setattr(model_module, "load_model", load)
    panel = open_panel(PANEL)
    for name in ("nuclei-2d", "cells-phase-2d"):
        copy = shutil.copy(bundled_path(name), tmp_path)
        panel.model.choose(copy)
        qtbot.waitUntil(lambda copy=copy: Path(copy) in loaded, timeout=WAIT)
    n_loaded = len(loaded)
    viewer.add_image(np.random.default_rng(0).random((40, 48)).astype(np.float32), name="noise")
    panel.start()
    finish(qtbot, panel)
    assert "noise labels" in viewer.layers
    assert len(loaded) == n_loaded


def test_a_model_that_cannot_be_loaded_is_not_told_before_it_is_used(viewer, open_panel, tmp_path, qtbot):
    from napari.utils.notifications import notification_manager

    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"no model")
    models.remember(damaged)
    notification_manager.records.clear()
    panel = open_panel(PANEL)
    panel.model.choose(damaged)
    qtbot.wait(1500)
    assert not notification_manager.records
    viewer.add_image(np.zeros((24, 24)))
    panel.start()
    finish(qtbot, panel)
    assert "damaged.pth" in panel.status.text()


def test_a_volume_gets_a_model_of_volumes_until_one_is_asked_for(viewer, open_panel, monkeypatch, tmp_path):
    for ndim in (2, 3):
        config = ModelConfig(ndim=ndim, grid_spacing=(0.01,) * ndim)
        write_model_file(tmp_path / f"nuclei-{ndim}d", BranchedERFNet(ndim).state_dict(), config)
    write_model_file(tmp_path / "cells-2d", BranchedERFNet(2).state_dict(), ModelConfig())
    monkeypatch.setattr(known_models, "FOLDER", tmp_path)
    panel = open_panel(PANEL)
    assert panel.model.path.stem == "nuclei-2d"
    flat = viewer.add_image(np.zeros((24, 24)), name="flat")
    volume = viewer.add_image(np.zeros((8, 24, 24)), name="volume", axis_labels=("z", "y", "x"))
    panel.image.layer_box.choose(volume)
    assert panel.model.path.stem == "nuclei-3d"
    assert panel.run_button.isEnabled(), panel.status.text()
    panel.image.layer_box.choose(flat)
    assert panel.model.path.stem == "nuclei-2d"
    panel.model.choose(tmp_path / "cells-2d.embedseg")
    panel.image.layer_box.choose(volume)
    assert panel.model.path.stem == "cells-2d", "what was asked for stays"
    assert "Z" in panel.status.text()
