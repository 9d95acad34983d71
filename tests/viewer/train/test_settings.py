"""Settings of a training, and the name that its model gets."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.train.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("own_data")


def test_minutes_and_epochs_exclude_each_other(panel):
    settings = panel.settings
    settings.form.editors["epochs"].value = 3
    assert settings.config().minutes is None
    settings.form.editors["minutes"].value = 5
    assert (settings.config().minutes, settings.config().epochs) == (5, None)
    settings.preset.setCurrentText("paper")
    assert (settings.config().minutes, settings.config().epochs) == (None, 200)


@pytest.mark.parametrize(("kept", "shown"), [(7, 7), (0.5, 0.5), (None, 3), ("x", 3), (-1, 3), ([1], 3)])
def test_minutes_of_last_time_are_taken_up_if_they_can_be(qtbot, kept, shown):
    LastUsed("label").keep(minutes=kept)
    settings = TrainingSettings()
    qtbot.addWidget(settings)
    settings.begin_with("few", "label")
    assert (settings.config().minutes, settings.config().epochs) == (shown, None)
    settings.close_down()


def test_a_training_starts_from_the_copy_of_a_checkpoint_of_the_original(panel, checkpoint):
    panel.settings.choose_start(checkpoint)
    assert panel.settings.start_from() == models.library.find("worms").path.resolve()


def test_names_of_models_are_checked(ready):
    ready.output.name.setText("")
    ready.output.name.textEdited.emit("")
    assert "name" in ready.reason.text()
    assert not ready.train.isEnabled()


@pytest.mark.parametrize(
    ("name", "word"), [("x" * 300, "too long"), ("..", "Give the model a name"), ("a/b", "must not")]
)
def test_names_that_no_file_can_have(ready, name, word):
    ready.output.name.setText(name)
    ready.output.name.textEdited.emit(name)
    assert not ready.train.isEnabled()
    assert word in ready.reason.text()


def test_a_folder_that_cannot_be_written_is_found_before_the_training(ready, tmp_path):
    (tmp_path / "file").write_text("no folder")
    ready.output.folder = tmp_path / "file" / "models"
    ready.output.changed.emit()
    assert not ready.train.isEnabled()
    assert f"Nothing can be written in {tmp_path / 'file'}" in ready.reason.text()


def test_a_long_image_name_gives_a_name_that_fits(ready):
    ready.output.suggest("n" * 400)
    assert ready.output.problem() == ""


def test_a_name_that_another_panel_has_used_is_suggested_no_longer(ready, tiny_model_file):
    assert ready.output.name.text() == "cells"
    ready.output.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(tiny_model_file, ready.output.path())
    models.remember(ready.output.path())
    assert ready.output.name.text() == "cells_2"
    assert ready.train.isEnabled()
