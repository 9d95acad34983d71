"""The panel as a whole: what it says, runs that end or are ended, and models that are loaded ahead."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluate_steps import press
from label_steps import begin, queue_of
from napari.utils.notifications import notification_manager
from segment_steps import PANEL, WAIT, finish, two_objects

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.model import model as model_module
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.model.model_file import write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.viewer.label.review_box import HERE
from embedseg_napari.viewer.label.time_points import take_frame
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.preview.preview import LABELS
from embedseg_napari.viewer.stage import Scene
from embedseg_napari.viewer.worker import RunState


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


def test_cancel_leaves_the_viewer_as_it_was(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    fake.gate.clear()
    panel.start()
    qtbot.waitUntil(lambda: "Tile" in panel.progress.format(), timeout=WAIT)
    panel.cancel_button.click()
    # By an event that was on its way.
    panel.controls.say("Segmenting on cpu…")
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


@pytest.mark.usefixtures("whole_window")
def test_segment_on_drop(viewer, panel, fake, qtbot):
    panel.on_drop.setChecked(True)
    viewer.add_image(np.zeros((24, 24)), name="one")
    viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: "two centres" in viewer.layers and panel.current is None, timeout=WAIT)
    assert "one centres" in viewer.layers
    assert len(fake.jobs) == 2


def test_removing_the_image_stops_its_run(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    fake.gate.clear()
    panel.start()
    # The gate stays closed: only a stop ends the run.
    viewer.layers.remove(image)
    assert panel.current is None or panel.current.state is RunState.STOPPING
    finish(qtbot, panel)
    assert not viewer.layers


def test_other_images_that_were_dropped_are_segmented_when_the_first_is_removed(viewer, panel, fake, qtbot):
    panel.on_drop.setChecked(True)
    fake.gate.clear()
    one = viewer.add_image(np.zeros((24, 24)), name="one")
    viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: panel.runs.layer == one and panel.current is not None, timeout=WAIT)
    viewer.layers.remove(one)
    fake.gate.set()
    qtbot.waitUntil(lambda: "two centres" in viewer.layers and panel.current is None, timeout=5000)


def test_closing_the_panel_while_it_runs(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)))
    fake.gate.clear()
    panel.start()
    run = panel.current
    # The gate stays closed: only a stop ends the run. The panel itself lives on, as long as something refers to it.
    with qtbot.waitSignal(run.finished, timeout=WAIT):
        viewer.window.remove_dock_widget(panel)
    assert len(viewer.layers) == 1


@pytest.mark.usefixtures("whole_window")
def test_the_real_network(viewer, panel, qtbot):
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((40, 48)).astype(np.float32), name="noise")
    panel.start()
    finish(qtbot, panel)
    assert viewer.layers["noise labels"].data.shape == (40, 48)
    assert viewer.layers["noise seed map"].data.dtype == np.float32


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
    damaged = tmp_path / "damaged.embedseg"
    write_model_file(damaged, BranchedERFNet(3).state_dict(), ModelConfig(ndim=2))
    models.remember(damaged)
    notification_manager.records.clear()
    panel = open_panel(PANEL)
    panel.model.choose(damaged)
    qtbot.wait(1500)
    assert not notification_manager.records
    viewer.add_image(np.zeros((24, 24)))
    panel.start()
    finish(qtbot, panel)
    assert "damaged.embedseg" in panel.status.text()


def seen(viewer):
    return {layer.name for layer in viewer.layers if layer.visible}


def test_other_objects_give_way_to_a_result(viewer, panel, fake, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    viewer.add_labels(np.ones((24, 24), int), name="truth")
    viewer.add_labels(np.ones((24, 24), int), name="elsewhere", translate=(100, 0))
    viewer.layers.selection.active = image
    panel.start()
    finish(qtbot, panel)
    assert seen(viewer) == {"cells", "cells labels", "cells centres", "elsewhere"}
    # Who shows them again sees them, also while sliders move.
    viewer.layers["truth"].visible = True
    panel.thresholds.sliders["seed_threshold"].setValue(0.8)
    qtbot.waitUntil(lambda: panel.is_settled, timeout=WAIT)
    assert "truth" in seen(viewer)


def test_an_image_that_is_chosen_is_seen_with_what_was_found_in_it(viewer, panel, fake, qtbot):
    for name in ("one", "two"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        panel.start()
        finish(qtbot, panel)
    viewer.add_image(np.zeros((24, 24)), name="three")
    box = panel.image.layer_box.native
    for name, top in (("one", "one labels"), ("three", "three"), ("two", "two labels")):
        box.setCurrentText(name)
        box.activated.emit(box.currentIndex())
        others = {"one", "two", "three"} - {name}
        assert viewer.layers.index(top) >= viewer.layers.index(name) > max(map(viewer.layers.index, others))
        assert viewer.layers.selection.active == viewer.layers[top]


def test_an_image_of_another_size_is_seen_alone_and_the_other_comes_back(viewer, panel, fake, qtbot):
    notification_manager.records.clear()
    viewer.add_image(np.zeros((60, 60)), name="one")
    truth = viewer.add_labels(np.ones((60, 60), int), name="truth", visible=False)
    panel.start()
    finish(qtbot, panel)
    first = seen(viewer)
    viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: seen(viewer) == {"two"})
    assert [record.message for record in notification_manager.records] == ["Hidden for now: one."]
    panel.start()
    finish(qtbot, panel)
    assert seen(viewer) == {"two", "two labels", "two centres"}
    viewer.layers.selection.active = viewer.layers["one"]
    qtbot.waitUntil(lambda: seen(viewer) == first)
    assert not truth.visible
    # What is shown by hand stays while this image is looked at.
    viewer.layers["two"].visible = True
    panel.take_front(is_front=True)
    assert "two" in seen(viewer)


def test_an_image_of_another_size_that_is_opened_during_a_run_is_spared(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((60, 60)), name="one")
    fake.gate.clear()
    panel.start()
    two = viewer.add_image(np.zeros((24, 24)), name="two")
    fake.gate.set()
    finish(qtbot, panel)
    assert two.visible
    assert viewer.layers.selection.active == two


def test_centres_of_edited_labels_stay_hidden_with_them(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    viewer.layers["cells labels"].data[:2, :2] = 9
    panel.start()
    finish(qtbot, panel)
    panel.take_front(is_front=True)
    assert seen(viewer) == {"cells", "cells labels [1]", "cells centres [1]"}


def test_labels_of_a_movie_and_of_its_frame_are_not_seen_together(viewer, panel, fake, qtbot):
    movie = viewer.add_image(np.zeros((3, 24, 24)), name="film", axis_labels=("t", "y", "x"))
    panel.start()
    finish(qtbot, panel)
    frame = take_frame(viewer, movie, 1)
    for image, name in ((frame, "film t=1"), (movie, "film"), (frame, "film t=1")):
        viewer.layers.selection.active = image
        panel.start()
        finish(qtbot, panel)
        found = {layer for layer in seen(viewer) if layer.endswith(("labels", "centres"))}
        assert found == {f"{name} labels", f"{name} centres"}
        assert seen(viewer) - found == {name}, "the other image would cover it"


def test_labels_at_tuned_thresholds_give_way_to_what_was_found(viewer, panel, open_panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    found = panel.results.labels
    evaluate = open_panel("EmbedSeg: Evaluate")
    evaluate.source.choose(viewer.add_labels(two_objects((24, 24)), name="truth"), found)
    evaluate.tabs.setCurrentWidget(evaluate.thresholds)
    for button in (evaluate.thresholds.find, evaluate.thresholds.show_labels):
        press(button, evaluate, qtbot)
    tuned = viewer.layers["cells labels tuned"]
    assert tuned.visible
    panel.take_front(True)
    assert (found.visible, tuned.visible) == (True, False)
    evaluate.take_front(True)
    assert tuned.visible


def test_the_brush_stays_in_hand_while_another_panel_is_in_front(viewer, label_panel, panel, fake, qtbot, blobs):
    begin(viewer, label_panel, blobs)
    panel.image.layer_box.choose(viewer.layers["cells"])
    panel.start()
    finish(qtbot, panel)
    label_panel.take_front(is_front=True)
    label_panel.annotation.layers.labels.mode = "paint"
    panel.take_front(is_front=True)
    label_panel.take_front(is_front=True)
    assert label_panel.annotation.layers.labels.mode == "paint"


def test_a_movie_whose_frame_is_annotated_takes_turns_with_it(viewer, label_panel, panel, fake, qtbot):
    movie = viewer.add_image(np.zeros((3, 24, 24)), name="film", axis_labels=("t", "y", "x"))
    label_panel.annotation.image.choose(movie)
    label_panel.annotation.annotate.click()
    painted = seen(viewer)
    assert painted == {"film t=1", "film t=1 annotation"}
    panel.bring_forward()
    panel.image.layer_box.choose(movie)
    panel.start()
    finish(qtbot, panel)
    found = {"film", "film labels", "film centres"}
    assert seen(viewer) == found
    label_panel.take_front(is_front=True)
    assert seen(viewer) == painted
    panel.take_front(is_front=True)
    assert seen(viewer) == found


def test_before_anything_is_found_the_image_is_seen_without_what_is_painted(viewer, label_panel, panel, blobs):
    begin(viewer, label_panel, blobs)
    cells = viewer.layers["cells"]
    viewer.add_labels(np.ones(cells.data.shape, int), name="truth")
    over = viewer.add_image(np.zeros(cells.data.shape), name="over")
    panel.image.layer_box.choose(cells)
    panel.take_front(is_front=True)
    assert seen(viewer) == {"cells", "truth", "over"}
    assert viewer.layers.index(over) < viewer.layers.index(cells)


def test_what_is_painted_and_what_was_found_take_turns(viewer, label_panel, panel, fake, qtbot, blobs):
    begin(viewer, label_panel, blobs)
    label_panel.review.begin(queue_of(viewer.layers["cells"].data.shape, 0.5))
    label_panel.review.go_on()
    painted = seen(viewer)
    assert {"cells annotation", LABELS, HERE} <= painted
    panel.bring_forward()
    assert seen(viewer) == painted
    panel.image.layer_box.choose(viewer.layers["cells"])
    panel.start()
    finish(qtbot, panel)
    found = {"cells", "cells labels", "cells centres"}
    assert seen(viewer) == found
    for front, shown in ((label_panel, painted), (panel, found), (label_panel, painted)):
        front.take_front(is_front=True)
        assert seen(viewer) == shown


def test_a_model_that_a_training_has_made_is_listed_and_leaves_the_chosen_one_alone(panel, tiny_model_file, tmp_path):
    chosen = panel.model.path
    panel.tta.setChecked(not panel.tta.isChecked())
    before = panel.tta.isChecked()
    trained = tmp_path / "trained.embedseg"
    trained.write_bytes(tiny_model_file.read_bytes())
    models.remember(trained, is_wanted=False)
    assert "trained" in [panel.model.box.itemText(index) for index in range(panel.model.box.count())]
    assert (panel.model.path, panel.tta.isChecked()) == (chosen, before)
    panel.take_over(trained, None)
    assert panel.model.path == trained.resolve()


def test_the_number_of_objects_is_said_again_when_the_model_that_found_them_is_back(
    viewer, panel, fake, qtbot, tmp_path
):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    mine, words = panel.model.path, panel.status.text()
    other = tmp_path / "other.embedseg"
    other.write_bytes(mine.read_bytes())
    panel.model.choose(other)
    assert panel.status.text() == ""
    panel.model.choose(mine)
    assert panel.status.text() == words.split(" in ")[0] + "."


def test_what_the_scene_of_another_panel_selects_leaves_the_chosen_image_alone(viewer, panel, fake, qtbot):
    for name in ("one", "two"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        panel.start()
        finish(qtbot, panel)
    one, two = viewer.layers["one labels"], viewer.layers["two labels"]
    viewer.layers.selection.active = one
    panel.take_front(False)
    panel.stage.show(panel.image, Scene(viewer.layers["two"], [two], gives_way=lambda layer: layer == one))
    assert viewer.layers.selection.active == two
    assert panel.image.layer == viewer.layers["one"]
    assert panel.results.labels == one
    # The user's own choice counts there, too.
    viewer.layers.selection.active = viewer.layers["two"]
    assert panel.image.layer == viewer.layers["two"]
