from __future__ import annotations

import shutil
import zipfile

import pytest
from magicgui.widgets import Dialog
from qtpy.QtWidgets import QFileDialog, QInputDialog, QLabel, QMessageBox

from embedseg_napari.core.model.known_models import bundled_path, models_folder
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.models.manager import export_target

PANEL = "EmbedSeg: Segment"


@pytest.fixture
def panel(open_panel):
    return open_panel(PANEL)


@pytest.fixture
def manager(panel, qtbot):
    manager = panel.model.open_manager()
    yield manager
    manager.close()


@pytest.fixture
def answer(monkeypatch):
    """Answer the question for a new name."""

    def say(text: str, is_given: bool = True) -> None:
        monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (text, is_given))

    return say


def names(manager) -> list[str]:
    return [manager.list.item(row).text() for row in range(manager.list.count())]


def shown(panel) -> list[str]:
    return [panel.model.box.itemText(index) for index in range(panel.model.box.count())]


def test_the_manager_opens_from_the_panel_and_shows_the_card(manager):
    assert names(manager)[0].endswith("(bundled)")
    assert manager.chosen.is_bundled
    assert not manager.rename.isEnabled()
    assert not manager.delete.isEnabled()
    texts = [label.text() for label in manager.card.findChildren(QLabel)]
    assert "unet, 2D" in texts
    assert any("CC0" in text for text in texts)


def test_a_person_writes_what_a_model_is_for(manager, answer, monkeypatch):
    assert not manager.describe.isEnabled(), "a bundled model stays as it is"
    answer("mine")
    manager.duplicate.click()
    before = manager.chosen.config()

    def write(dialog, description: str, is_given: bool) -> bool:
        assert dialog.native.windowTitle() == "Describe mine"
        assert dialog.asdict() == {"description": before.description, "license": before.license}
        dialog["description"].value = description
        dialog["license"].value = " MIT "
        return is_given

    monkeypatch.setattr(Dialog, "exec", lambda dialog: write(dialog, "Not kept.", False))
    manager.describe.click()
    assert manager.chosen.config() == before
    monkeypatch.setattr(Dialog, "exec", lambda dialog: write(dialog, "Yeast, 60x.\n", True))
    manager.describe.click()
    assert manager.status.text() == "The description of mine is saved."
    after = manager.chosen.config()
    assert (after.description, after.license) == ("Yeast, 60x.", "MIT")
    assert after.prediction == before.prediction
    texts = [label.text() for label in manager.card.findChildren(QLabel)]
    assert "Yeast, 60x." in texts


def test_a_model_is_copied_renamed_and_deleted_and_the_panel_follows(manager, panel, answer, monkeypatch):
    gone = []
    monkeypatch.setattr("send2trash.send2trash", lambda paths: [gone.append(p) or p.unlink() for p in paths])
    answer("mine")
    manager.duplicate.click()
    assert manager.chosen.name == "mine"
    assert "mine" in shown(panel)
    assert panel.model.path == bundled_path("nuclei-2d"), "what a person chose stays"
    panel.model.box.setCurrentText("mine")
    answer("ours")
    manager.rename.click()
    assert manager.status.text() == "mine is now ours."
    assert panel.model.path == models_folder() / "ours.embedseg", "a renamed model stays chosen"
    assert "mine" not in shown(panel)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    manager.delete.click()
    assert "ours" in names(manager)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    manager.delete.click()
    assert "ours" not in names(manager)
    assert "ours" not in shown(panel)
    assert panel.model.path is not None
    assert gone == [models_folder() / "ours.embedseg"]


def test_what_is_refused_is_said_in_the_window(manager, answer):
    answer("a/b")
    manager.duplicate.click()
    assert "must not contain" in manager.status.text()
    answer("mine", is_given=False)
    manager.duplicate.click()
    assert "mine" not in names(manager)


def test_checkpoints_are_imported_and_packages_exported(manager, panel, golden, tmp_path, monkeypatch, qtbot):
    source = shutil.copy(golden("legacy_2d.pth"), tmp_path / "worms.pth")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(tmp_path / "no.pth"), str(source)], ""))
    manager.take_in.click()
    assert not manager.take_in.isEnabled(), "one job at a time"
    qtbot.waitUntil(lambda: "Imported: worms." in manager.status.text(), timeout=60_000)
    assert "no such file" in manager.status.text()
    assert panel.model.path == models_folder() / "worms.embedseg"
    # What it found is said before its thread is over, and until then nothing else can begin.
    qtbot.waitUntil(manager.hand_out.isEnabled)
    manager.list.setCurrentRow(names(manager).index("worms"))
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), "bioimage.io package (*.zip)")
    )
    manager.hand_out.click()
    qtbot.waitUntil(lambda: "Exported to" in manager.status.text(), timeout=60_000)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "rdf.yaml" in archive.namelist()
    qtbot.waitUntil(manager.hand_out.isEnabled)


def test_a_list_that_changes_leaves_settings_alone(manager, panel, answer):
    panel.scale.setValue(0.5)
    panel.thresholds.numbers["seed_threshold"].setValue(0.7)
    answer("mine")
    manager.duplicate.click()
    assert panel.scale.value() == 0.5
    assert panel.thresholds.values()["seed_threshold"] == 0.7


def test_a_file_is_not_replaced_unasked(manager, tmp_path, monkeypatch, qtbot):
    (tmp_path / "cells.v2.embedseg").write_bytes(b"precious")
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "cells.v2"), "Model file (*.embedseg)")
    )
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words) or QMessageBox.StandardButton.No)
    manager.hand_out.click()
    assert asked
    assert (tmp_path / "cells.v2.embedseg").read_bytes() == b"precious"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    manager.hand_out.click()
    qtbot.waitUntil(lambda: "Exported to" in manager.status.text(), timeout=60_000)
    assert (tmp_path / "cells.v2.embedseg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "suffix", "name"),
    [
        ("a", ".zip", "a.zip"),
        ("a.embedseg", ".zip", "a.zip"),
        ("a.v2", ".embedseg", "a.v2.embedseg"),
        ("a.ZIP", ".zip", "a.ZIP"),
    ],
)
def test_the_kind_that_is_chosen_decides(text, suffix, name):
    assert export_target(text, suffix).name == name


@pytest.mark.parametrize("way", ["close", "parent"])
def test_a_closed_manager_follows_no_longer(panel, way, monkeypatch):
    manager = panel.model.open_manager()
    told = []
    monkeypatch.setattr(type(manager), "refresh", lambda self, *_: told.append(self))
    models.refresh()
    assert told == [manager]
    if way == "close":
        manager.close()
    else:
        panel.close_down()
    models.refresh()
    assert told == [manager]
