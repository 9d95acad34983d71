"""Advice after a run, and the button that follows it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from segment_steps import WAIT, finish, settle

from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.events import Advice, Message
from embedseg_napari.core.model.known_models import bundled_path, models_folder, start_path
from embedseg_napari.viewer.model_list import models


def test_a_message_is_read_whole_in_the_panel(viewer, panel, fake, qtbot):
    text = "A sentence of more than forty letters, which no notification would show to its end. " * 3
    fake.messages = [Message("Dead pixels.", "warning"), Advice(text.strip(), "warning")]
    viewer.add_image(np.zeros((24, 24)))
    panel.start()
    finish(qtbot, panel)
    assert panel.advice.notes.text() == "Dead pixels."
    assert panel.advice.sentence.text() == f"Image: {text.strip()}"
    assert panel.advice.sentence.wordWrap()
    assert not panel.advice.isHidden()
    assert panel.advice.button.isHidden()
    # The notes do not say which image they are of.
    first = viewer.layers["Image"]
    viewer.add_image(np.zeros((24, 24)), name="other")
    assert panel.advice.notes.isHidden()
    assert not panel.advice.sentence.isHidden()
    viewer.layers.selection.active = first
    assert not panel.advice.notes.isHidden()
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
    # Pressed after another image was chosen, it still is about its own, and so is the scale.
    before = panel.scale.value()
    other = viewer.add_image(np.zeros((24, 24)), name="other")
    advised.said.clear()
    panel.advice.button.click()
    finish(qtbot, panel)
    assert fake.jobs[-1].changes["scale"] == 2
    assert panel.results.selection.layer == image
    assert panel.scale.value() == 2
    panel.image.layer_box.choose(other)
    assert panel.scale.value() == before
    panel.image.layer_box.choose(image)
    advised.said.append(Advice("Try it.", "warning", "Use scale 3", "", {"scale": 3.0}))
    for leave in (lambda: panel.model.choose_named("cells-phase-2d"), lambda: viewer.layers.remove(image)):
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


def test_another_model_gets_the_channels_that_it_was_tried_on(viewer, panel, fake, advised, qtbot):
    viewer.add_image(np.zeros((3, 24, 24)), name="cells", axis_labels=("c", "y", "x"))
    said = Advice("Try cells.", "warning", "Try cells-phase-2d", "cells-phase-2d", channel="mean")
    advised.said.append(said)
    panel.model.choose_named("nuclei-histology-2d")
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[-1].channel == "all"
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    advised.said.clear()
    panel.advice.button.click()
    finish(qtbot, panel)
    assert (fake.jobs[-1].model, fake.jobs[-1].channel) == (bundled_path("cells-phase-2d"), "mean")


def test_a_model_of_ones_own_is_one_press_away(viewer, panel, fake, advised, qtbot):
    models_folder().mkdir(parents=True, exist_ok=True)
    mine = shutil.copy(bundled_path("nuclei-2d"), models_folder() / "mine.embedseg")
    models.refresh()
    viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.said.append(Advice("Try mine.", "warning", "Try mine", "mine"))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    advised.said.clear()
    panel.advice.button.click()
    finish(qtbot, panel)
    assert fake.jobs[-1].model == mine


@pytest.mark.parametrize("is_there", [True, False])
def test_a_model_that_was_made_outside_the_viewer_is_listed_anew(viewer, panel, fake, advised, qtbot, is_there):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.said.append(Advice("Try mine.", "warning", "Try mine", "mine"))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    advised.said.clear()
    mine = models_folder() / "mine.embedseg"
    if is_there:
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundled_path("nuclei-2d"), mine)
    panel.advice.button.click()
    if is_there:
        finish(qtbot, panel)
        assert fake.jobs[-1].model == panel.model.path == mine
    else:
        assert panel.current is None
        assert "mine" in panel.status.text()
        assert len(fake.jobs) == 1


def test_a_model_that_is_made_only_to_be_trained_on_is_not_taken_for_the_chosen_one(panel):
    before = panel.model.path
    with pytest.raises(ModelError, match="start-2d"):
        panel.model.choose_named("start-2d")
    assert panel.model.path == before


def test_a_scale_that_a_person_sets_stays_for_other_images(viewer, panel):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.settings.scale_for(image, 2.0)
    panel.scale.setValue(1.5)
    viewer.add_image(np.zeros((24, 24)), name="other")
    assert panel.scale.value() == 1.5


def test_an_image_that_no_model_knows_is_one_press_away_from_being_labelled(viewer, panel, fake, advised, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    advised.said.append(Advice("The model is unsure.", "warning", "Open Label & Train", labels=True))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.button.isHidden(), timeout=WAIT)
    assert panel.advice.sentence.text() == "cells: The model is unsure."
    # What stands on a button is shown as it is, not as the mark of a key.
    assert panel.advice.button.text().replace("&&", "&") == "Open Label & Train"
    viewer.add_image(np.zeros((24, 24)), name="other")
    panel.advice.button.click()
    label = panel.open_beside("EmbedSeg: Label & Train")
    assert label.annotation.image.layer() == image
    assert len(fake.jobs) == 1
    # Not from the model that does not know them, though the image was segmented with it.
    assert label.settings.start_from() == start_path(2)
    assert "few labels" in label.settings.why.text()


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


def test_the_panel_says_that_it_checks_until_that_is_over(viewer, panel, fake, advised, qtbot):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    for end in (advised.gate.set, lambda: viewer.layers.remove(image)):
        advised.gate.clear()
        panel.start()
        finish(qtbot, panel)
        assert panel.status.text().endswith("Checking…")
        end()
        qtbot.waitUntil(lambda: not panel.status.text().endswith("Checking…"), timeout=WAIT)
    assert not panel.advice.is_looking


def test_results_that_were_hidden_are_shown_where_they_are_asked_for(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.results.labels.visible = False
    panel.start()
    finish(qtbot, panel)
    assert panel.results.labels.visible


@pytest.mark.parametrize("is_looking", [False, True])
def test_what_was_said_of_a_run_that_found_nothing_goes_with_it(
    viewer, panel, fake, advised, qtbot, monkeypatch, is_looking
):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.advice.is_looking, timeout=WAIT)
    monkeypatch.setattr("segment_steps.two_objects", lambda shape: np.zeros(shape, np.int32))
    advised.said.append(Advice("No object was found.", "warning", "Use scale 2", "", {"scale": 2.0}))
    if is_looking:
        advised.gate.clear()
    panel.start()
    finish(qtbot, panel)
    if not is_looking:
        qtbot.waitUntil(lambda: not panel.advice.is_looking, timeout=WAIT)
        assert not panel.advice.isHidden()
    panel.threshold_box.undo_button.click()
    settle(qtbot, panel)
    assert panel.advice.isHidden()
    assert not panel.advice.is_looking
    assert panel.status.text() == "2 objects."


def test_what_was_said_of_another_image_stays_where_a_result_is_shown_again(
    viewer, panel, fake, advised, qtbot, monkeypatch
):
    image = viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    with monkeypatch.context() as patch:
        patch.setattr("segment_steps.two_objects", lambda shape: np.zeros(shape, np.int32))
        panel.start()
        finish(qtbot, panel)
    viewer.add_image(np.zeros((24, 24)), name="other")
    advised.said.append(Advice("Try it.", "warning", "Use scale 2", "", {"scale": 2.0}))
    panel.start()
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: panel.advice.advice is not None, timeout=WAIT)
    viewer.layers.selection.active = image
    panel.threshold_box.undo_button.click()
    settle(qtbot, panel)
    assert panel.results.labels.data.max() == 2
    assert panel.advice.sentence.text().startswith("other: ")
