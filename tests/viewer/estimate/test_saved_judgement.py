"""Judgements in files: saved, gone on with, refused, and not discarded unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from judging_steps import draw, wait
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from embedseg_napari.viewer.estimate.widget import FORMATS


def test_a_judgement_is_saved_and_gone_on_with(panel, layer, viewer, qtbot, press, tmp_path, monkeypatch):
    draw(panel, qtbot)
    press("RW")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "mine"), next(iter(FORMATS))))
    panel.save.click()
    path = tmp_path / "mine.json"
    assert json.loads(path.read_text())["sample"]["seed"] == 1
    text = panel.result.text()
    panel.seed.setValue(2)
    draw(panel, qtbot)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    panel.open.click()
    wait(panel, qtbot)
    assert panel.result.text() == text
    assert panel.judge.progress.text() == "2 of 5"
    press("R")
    assert [answer.right for answer in panel.judgement.answers] == [True, False, True]
    # A name without an ending asked about no file that is there.
    panel.save.click()
    assert "exists already" in panel.controls.status.text()
    panel.write(path)
    assert len(json.loads(path.read_text())["answers"]) == 3
    panel.copy.click()
    assert QApplication.clipboard().text() == panel.result.text()


@pytest.mark.parametrize(
    ("kind", "typed", "written"),
    [
        ("Table", "cells.estimate.json", "cells.estimate.csv"),
        ("Judgement", "cells.csv", "cells.json"),
        ("Judgement", "cells.v2", "cells.v2.json"),
    ],
)
def test_the_format_that_is_chosen_is_written(panel, layer, qtbot, press, tmp_path, monkeypatch, kind, typed, written):
    draw(panel, qtbot)
    press("R")
    chosen = next(text for text in FORMATS if kind in text)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / typed), chosen))
    panel.save.click()
    assert [path.name for path in tmp_path.iterdir()] == [written]
    assert (tmp_path / written).read_text().startswith("{" if kind == "Judgement" else "kind,")
    panel.save.click()
    assert "exists already" in panel.controls.status.text(), "the dialog asked about another name"


@pytest.mark.parametrize("other", ["changed", "smaller"])
def test_a_judgement_of_other_labels_is_refused(panel, layer, viewer, qtbot, press, tmp_path, other):
    draw(panel, qtbot)
    press("R")
    panel.write(tmp_path / "a.json")
    layer.data = np.where(layer.data == 1, 0, layer.data) if other == "changed" else layer.data[:50]
    panel.go_on(tmp_path / "a.json")
    wait(panel, qtbot)
    reason = "objects differ" if other == "changed" else "has 50 x 128 (YX)"
    assert reason in panel.controls.status.text()
    assert not panel.judge.is_judging
    assert not panel.pause.isEnabled(), "the earlier sample is of other labels, too"


def test_a_file_that_is_none_leaves_the_judgement_as_it_was(panel, layer, viewer, qtbot, press, tmp_path):
    draw(panel, qtbot)
    press("R")
    (tmp_path / "a.json").write_text("{}")
    panel.go_on(tmp_path / "a.json")
    assert "no saved judgement" in panel.controls.status.text()
    press("W")
    assert [answer.right for answer in panel.judgement.answers] == [True, False]


def test_answers_that_are_in_no_file_are_not_discarded_unasked(panel, layer, qtbot, press, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[-1]))
    draw(panel, qtbot)
    press("RW")
    judgement = panel.judgement
    panel.controls.run_button.click()
    assert panel.judgement is judgement
    assert asked == ["Discard 2 answers? They were not saved since the last one was given."]
    panel.write(tmp_path / "judged.json")
    draw(panel, qtbot)
    assert panel.judgement is not judgement
    assert len(asked) == 1
