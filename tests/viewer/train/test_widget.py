"""The Train panel, opened through the manifest and driven by its buttons."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining
from qtpy.QtWidgets import QLabel, QScrollArea

from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.model.known_models import bundled_path, start_path
from embedseg_napari.viewer.layers import ANNOTATION, FOUND, PREVIEW, RESULT
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.preview.embeddings import EMBEDDINGS, MARGINS, OFFSETS, TRUTH
from embedseg_napari.viewer.preview.preview import LABELS, SEEDS
from embedseg_napari.viewer.stage import Scene, stage_of
from embedseg_napari.viewer.train import panel as training_events
from embedseg_napari.viewer.widgets.editors import control_of

PANEL = "EmbedSeg: Train"

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


def is_ready(panel):
    return lambda: panel.train.isEnabled()


def finish(panel, qtbot):
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def test_an_empty_viewer_says_what_is_missing(panel):
    assert not panel.train.isEnabled()
    assert "Open an image" in panel.reason.text()
    assert panel.train.toolTip() == panel.reason.text()


def test_layers_are_found_checked_and_ready(viewer, ready):
    row = ready.pairs.rows[0]
    assert (row.image.layer().name, row.labels.layer().name) == ("cells", "truth")
    assert "6" in ready.check.text.text()
    assert ready.output.name.text() == "cells"
    viewer.layers["cells"].name = "nuclei"
    assert row.image.current_choice == "nuclei"


def test_a_fault_of_the_data_disables_train_with_the_reason(viewer, ready, qtbot):
    viewer.layers["truth"].data = np.zeros_like(viewer.layers["truth"].data)
    qtbot.waitUntil(lambda: "label some objects" in ready.reason.text(), timeout=20000)
    assert not ready.train.isEnabled()
    viewer.layers.remove("truth")
    assert "Add a Labels layer" in ready.reason.text()


def sentences_about(panel, words):
    return [label.text() for label in panel.findChildren(QLabel) if not label.isHidden() and words in label.text()]


def test_what_is_wrong_is_said_once(viewer, ready, qtbot):
    viewer.layers["truth"].data = np.ones((8, 8), np.int32)
    qtbot.waitUntil(lambda: "8 x 8" in ready.reason.text(), timeout=20000)
    assert not ready.train.isEnabled()
    assert len(sentences_about(ready, "8 x 8")) == 1


def test_of_several_pairs_the_one_that_does_not_fit_is_marked(viewer, ready, blobs, qtbot):
    image, labels = blobs(2)
    viewer.add_image(image, name="more cells")
    viewer.add_labels(labels, name="more truth")
    first, second = ready.pairs.rows[0], ready.pairs.add_row()
    viewer.layers["more truth"].data = np.ones((8, 8), np.int32)
    qtbot.waitUntil(lambda: "8 x 8" in ready.reason.text(), timeout=20000)
    assert second.complaint.text() == ready.reason.text()
    assert not second.complaint.isHidden()
    assert first.complaint.isHidden()
    second.removed.emit()
    qtbot.waitUntil(is_ready(ready), timeout=20000)


def test_a_setting_that_does_not_fit_disables_train(ready, qtbot):
    line = control_of(ready.settings.form.editors["crop_size"])
    line.setText("100, 100")
    line.editingFinished.emit()
    assert "Crop size" in ready.reason.text()
    assert not ready.train.isEnabled()


def test_training_shows_curves_and_previews_and_lists_the_model(viewer, ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    ready.train.click()
    assert not ready.stop.isHidden()
    assert ready.train.isHidden()
    qtbot.waitUntil(lambda: SEEDS in viewer.layers, timeout=20000)
    assert viewer.layers[LABELS].data.max() == 1
    assert len(viewer.layers[SEEDS].data) == 1
    ready.stop.click()
    finish(ready, qtbot)
    qtbot.waitUntil(lambda: SEEDS not in viewer.layers, timeout=20000)
    assert len(ready.progress.plot.epochs) == 1
    assert "left" not in ready.progress.bar.text()
    # Who presses Train again goes on; the panel says why.
    assert ready.settings.start_from() == ready.saved.path
    assert "stopped can go on" in ready.settings.why.text()
    # The preview went with the training, unless it is asked for.
    assert [layer.name for layer in viewer.layers] == ["cells", "truth"]
    ready.preview.keep.click()
    assert viewer.layers["labels of cells at step 1"].data.max() == 1
    assert ready.saved.path.exists()
    assert ready.saved.path in [model.path for model in models.all()]
    assert not ready.train.isHidden()
    # The next model gets a name of its own, and previews are not offered for training.
    assert ready.output.name.text() == "cells_2"
    assert ready.pairs.rows[0].labels.layer().name == "truth"
    ready.progress.go_on.click()
    assert ready.settings.start_from() == ready.saved.path
    # Other data are none that it can go on from.
    ready.settings.choose_start(ready.saved.path, "the training that was stopped can go on from it")
    ready.from_folder.click()
    assert ready.settings.start_from() != ready.saved.path


def test_what_is_previewed_unasked_follows_what_is_trained_on(ready, viewer):
    preview, config = ready.preview, ready.request().config
    preview.begin(config, learns_from_layers=True)
    assert preview.image.layer() == viewer.layers["cells"]
    preview.begin(config, learns_from_layers=False)
    assert preview.image.layer() is None
    other = viewer.add_image(np.zeros((64, 64)), name="other")
    preview.image.choose(other)
    preview.begin(config, learns_from_layers=True)
    assert preview.image.layer() == other


def test_few_labels_start_from_what_the_command_line_starts_from(ready, qtbot):
    settings = ready.settings
    assert settings.start_from() is None
    settings.preset.setCurrentText("few")
    assert settings.start_from() == start_path(2) == Path(ready.request().start_from)
    assert "few labels" in settings.why.text()
    qtbot.waitUntil(ready.train.isEnabled, timeout=20000)
    settings.form.editors["architecture"].value = "branched-erfnet"
    assert settings.start_from() is None
    assert "start-2d" in settings.why.text()
    settings.preset.setCurrentText("paper")
    assert settings.start_from() is None
    assert settings.why.isHidden()


def test_what_a_person_starts_from_stays(ready):
    ready.settings.start.setCurrentText("cells-phase-2d")
    ready.settings.preset.setCurrentText("few")
    assert ready.settings.start_from() == bundled_path("cells-phase-2d")
    ready.settings.start.setCurrentIndex(0)
    ready.settings.preset.setCurrentText("fast")
    ready.settings.preset.setCurrentText("few")
    assert ready.settings.start_from() is None


@pytest.mark.parametrize("ndim", [2, 3])
def test_only_models_for_such_images_are_offered(viewer, panel, blobs, qtbot, ndim):
    image, labels = blobs(ndim)
    viewer.add_image(image, name="cells", axis_labels="zyx"[-ndim:])
    viewer.add_labels(labels, name="truth", axis_labels="zyx"[-ndim:])
    qtbot.waitUntil(lambda: panel.ndim == ndim, timeout=20000)
    offered = [panel.settings.start.itemText(i) for i in range(panel.settings.start.count())]
    assert ("nuclei-3d" in offered) == (ndim == 3)
    assert ("nuclei-2d" in offered) == ("start-2d" in offered) == (ndim == 2)


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("ndim", [2, 3])
def test_embeddings_come_and_go_with_their_switch(viewer, panel, blobs, qtbot, monkeypatch, ndim):
    image, labels = blobs(ndim)
    viewer.add_image(image, name="cells", axis_labels="zyx"[-ndim:])
    viewer.add_labels(labels, name="truth")
    qtbot.waitUntil(is_ready(panel), timeout=20000)
    assert not panel.preview.embeddings_on.isChecked()
    assert panel.preview.hint.isHidden()
    panel.preview.embeddings_on.setChecked(True)
    monkeypatch.setattr(FakeTraining, "waits", True)
    panel.train.click()
    names = [TRUTH, MARGINS, OFFSETS, EMBEDDINGS]
    qtbot.waitUntil(lambda: EMBEDDINGS in viewer.layers, timeout=20000)
    assert all(name in viewer.layers for name in names)
    assert len(viewer.layers[MARGINS].data) == labels.max()
    assert "◆" in panel.preview.hint.text()
    assert ("3D" in panel.preview.hint.text()) == (ndim == 3)
    # Nothing of it is offered for training.
    assert [layer.name for layer in panel.pairs.rows[0].labels.layers] == ["truth"]
    panel.preview.embeddings_on.setChecked(False)
    assert not any(name in viewer.layers for name in names)
    assert LABELS in viewer.layers
    assert panel.preview.hint.isHidden()
    panel.stop.click()
    finish(panel, qtbot)


def test_an_image_that_is_not_trained_on_has_no_embeddings(viewer, ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    other = viewer.add_image(np.zeros((64, 64)), name="other")
    ready.preview.embeddings_on.setChecked(True)
    ready.preview.image.choose(other)
    ready.train.click()
    qtbot.waitUntil(lambda: LABELS in viewer.layers, timeout=20000)
    assert EMBEDDINGS not in viewer.layers
    assert not ready.preview.hint.isHidden()
    assert "No true objects are known for other" in ready.preview.hint.text()
    ready.stop.click()
    finish(ready, qtbot)


def test_stop_keeps_the_model(ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    ready.train.click()
    qtbot.waitUntil(lambda: bool(ready.progress.plot.losses), timeout=20000)
    ready.stop.click()
    finish(ready, qtbot)
    assert ready.saved.stopped
    assert "stopped" in ready.progress.bar.format()


def test_pause_and_resume(ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    ready.train.click()
    ready.pause.click()
    qtbot.waitUntil(lambda: ready.pause.text() == "Resume", timeout=20000)
    n = len(ready.progress.plot.losses)
    ready.pause.click()
    assert ready.pause.text() == "Pause"
    assert "paused" not in ready.progress.bar.format()
    qtbot.waitUntil(lambda: len(ready.progress.plot.losses) > n, timeout=20000)
    ready.stop.click()
    finish(ready, qtbot)


@pytest.mark.parametrize("failure", [RuntimeError("CUDA out of memory"), ComputeError("The device is gone.")])
def test_a_failure_is_told_and_the_panel_can_be_used_again(ready, qtbot, monkeypatch, failure):
    told = []
    monkeypatch.setattr(training_events, "report_error", told.append)
    monkeypatch.setattr(FakeTraining, "failure", failure)
    ready.train.click()
    finish(ready, qtbot)
    assert isinstance(told[0], ComputeError)
    assert ready.progress.bar.format() == "failed"
    assert not ready.train.isHidden()
    monkeypatch.setattr(FakeTraining, "failure", None)
    qtbot.waitUntil(is_ready(ready), timeout=20000)
    ready.train.click()
    finish(ready, qtbot)
    assert ready.saved is not None


def test_removing_layers_while_training_is_harmless(viewer, ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    ready.train.click()
    qtbot.waitUntil(lambda: LABELS in viewer.layers, timeout=20000)
    viewer.layers.clear()
    ready.preview.view.update_part()
    ready.stop.click()
    finish(ready, qtbot)
    assert ready.saved.path.exists()


def test_closing_the_panel_while_training_keeps_the_model(viewer, ready, qtbot, monkeypatch):
    monkeypatch.setattr(FakeTraining, "waits", True)
    ready.train.click()
    qtbot.waitUntil(lambda: bool(ready.progress.plot.losses) and SEEDS in viewer.layers, timeout=20000)
    background, path = ready.background, ready.job.request.output
    with qtbot.waitSignal(background.finished, timeout=20000):
        viewer.window.remove_dock_widget(ready)
    assert [layer.name for layer in viewer.layers] == ["cells", "truth"]
    assert path.exists()
    assert path in [model.path for model in models.all()]
    # Nothing of the panel follows the viewer any more.
    viewer.add_labels(np.zeros((4, 4), np.int32))
    viewer.theme = "light"


def test_train_can_be_pressed_right_after_the_minutes_were_written(ready):
    ready.settings.form.set_values({"minutes": 0.5})
    assert ready.train.isEnabled()
    ready.train.click()
    assert ready.is_training
    assert ready.job.request.config.minutes == 0.5


@pytest.mark.usefixtures("whole_window")
def test_train_from_layers_for_real(viewer, open_panel, blobs, qtbot):
    panel = open_panel(PANEL)
    image, labels = blobs(2)
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="truth")
    panel.settings.form.set_values({"epochs": 1, "steps_per_epoch": 2, "crop_size": (32, 32), "batch_size": 1})
    panel.preview.embeddings_on.setChecked(True)
    qtbot.waitUntil(is_ready(panel), timeout=60000)
    panel.train.click()
    with qtbot.waitSignal(panel.background.finished, timeout=120000):
        pass
    assert panel.saved.steps == 2
    assert Path(panel.saved.path).exists()
    panel.preview.keep.click()
    margins = [layer for layer in viewer.layers if layer.name.startswith("margins of cells at step")]
    assert len(margins[0].data) == labels.max()
    assert "torch" in sys.modules


def test_the_recipe_stays_in_sight_beside_train(ready):
    assert not [area for area in ready.findChildren(QScrollArea) if area.isAncestorOf(ready.recipe)]
    assert not ready.recipe.isHidden()


def test_only_its_own_layers_come_back_with_the_panel(viewer, ready, qtbot):
    image = viewer.layers["cells"]
    other = viewer.add_labels(np.ones(image.data.shape, int), name="old", metadata={RESULT: PREVIEW})
    viewer.layers["truth"].metadata[ANNOTATION] = str(image.unique_id)
    ready.train.click()
    assert not other.visible
    assert viewer.layers["truth"].visible
    stage_of(viewer).show(ready.pairs, Scene(image, [other]))
    assert not viewer.layers["truth"].visible
    ready.take_front(is_front=True)
    assert viewer.layers["truth"].visible
    assert not other.visible
    finish(ready, qtbot)


def test_the_pair_is_seen_that_is_learned_from(viewer, ready):
    image, truth = viewer.layers["cells"], viewer.layers["truth"]
    found, beside = (
        viewer.add_labels(np.ones(image.data.shape, int), name=name, metadata={RESULT: FOUND}, translate=at)
        for name, at in (("found", (0, 0)), ("beside", (0, 900)))
    )
    over = viewer.add_image(np.ones(image.data.shape), name="over")
    ready.take_front(is_front=True)
    assert (truth.visible, found.visible, beside.visible) == (True, False, True)
    assert viewer.layers.index(over) < viewer.layers.index(image) < viewer.layers.index(truth)
    found.visible = True
    ready.take_front(is_front=True)
    assert found.visible, "the user has shown it"
    ready.pairs.rows[0].labels.choose(found)
    assert (truth.visible, found.visible) == (False, True)


def test_nothing_is_seen_of_previews_that_are_being_taken_away(viewer, ready):
    view, labels = ready.preview.view, viewer.add_labels(np.ones((8, 8), int), name="preview: labels")
    view.previews.layers["labels"] = labels
    points = viewer.add_points(np.ones((3, 2)), name="preview: embeddings")
    view.embeddings.previews.layers["points"] = points
    steps = view.end_steps()
    next(steps)
    assert labels.opacity == points.opacity == 0
    assert points in viewer.layers
    for _ in steps:
        pass
    assert view.keep()
    assert viewer.layers[-1].opacity > 0


def test_a_hand_over_shows_the_whole_image(viewer, ready, qtbot, monkeypatch):
    ready.train.click()
    finish(ready, qtbot)
    camera = getattr(viewer, "scene", viewer).camera
    viewer.reset_view()
    whole = camera.zoom
    camera.zoom, camera.center = 9 * whole, (0, 0)
    shown = []
    monkeypatch.setattr(
        ready,
        "open_beside",
        lambda name: type("Panel", (), {"take_over": lambda *_: None, "start": lambda _: shown.append(camera.zoom)})(),
    )
    ready.progress.segment.click()
    assert shown == [pytest.approx(whole)]
