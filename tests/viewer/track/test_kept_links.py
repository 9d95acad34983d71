"""Corrections of links outlast the panel, other labels, and the day."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox
from track_steps import track

from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked

PANEL = "EmbedSeg: Track"


def cut_one(panel) -> tuple[int, int]:
    """Correct a link; frame and number of the object that begins a track from then on."""
    tracks = panel.correct.corrected.tracks
    row = int(np.flatnonzero(tracks.parents >= 0)[-1])
    panel.correct.choose([row])
    panel.correct.cut()
    return int(tracks.frame[row]), int(tracks.label[row])


def begins(panel, place) -> bool:
    tracks = panel.correct.corrected.tracks
    return bool(tracks.parents[tracks.row_of(*place)] < 0)


@pytest.fixture
def asked(monkeypatch):
    """Questions, all of which are answered with no."""
    found: list[str] = []

    def question(*words):
        found.append(words[-1])
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    return found


def test_they_are_made_again_in_a_panel_that_is_opened_anew(panel, layer, viewer, open_panel, qtbot, asked) -> None:
    track(panel, qtbot)
    place = cut_one(panel)
    names = [one.name for one in viewer.layers if one != panel.layers.marks]
    viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    assert "1 correction of links of cells kept; press Track" in again.whose.text()
    again.recipe.copy_command()
    assert "corrections.json" in again.recipe.line.text()
    track(again, qtbot)
    assert begins(again, place)
    assert again.whose.text() == ""
    assert [one.name for one in viewer.layers if one != again.layers.marks] == names
    again.correct.undo()
    assert not begins(again, place)
    assert not asked


def test_a_copy_of_the_tracks_stays_where_the_labels_are_tracked_again(panel, layer, viewer, open_panel, qtbot) -> None:
    track(panel, qtbot)
    shown = panel.layers.labels
    copy = viewer.add_layer(type(shown).create(*shown.as_layer_data_tuple()))
    viewer.window.remove_dock_widget(panel)
    track(open_panel(PANEL), qtbot)
    assert copy in viewer.layers
    assert shown not in viewer.layers


def test_objects_found_anew_while_the_panel_is_closed_are_asked_about(
    panel, layer, viewer, open_panel, qtbot, asked
) -> None:
    track(panel, qtbot)
    cut_one(panel)
    viewer.window.remove_dock_widget(panel)
    layer.data = np.roll(layer.data, 1, axis=0)
    again = open_panel(PANEL)
    again.start()
    assert asked == ["Discard 1 correction of links? The labels changed since they were made."]
    assert again.controls.current is None


def test_they_stay_with_their_labels_while_others_are_tracked(panel, layer, viewer, qtbot, asked) -> None:
    panel.labels.choose(layer)
    track(panel, qtbot)
    place = cut_one(panel)
    others = viewer.add_labels(unlinked(dividing_cells(6, 4, 1, seed=3).labels), name="others")
    panel.labels.choose(others)
    track(panel, qtbot)
    assert panel.correct.corrected.n_steps == 0
    panel.labels.choose(layer)
    assert "1 correction of links of cells kept" in panel.whose.text()
    track(panel, qtbot)
    assert begins(panel, place)
    viewer.layers.remove(panel.layers.labels)
    track(panel, qtbot)
    assert begins(panel, place)
    assert not asked


def test_those_of_an_export_are_opened_for_the_same_labels(
    panel, layer, viewer, open_panel, qtbot, tmp_path, monkeypatch, asked
) -> None:
    track(panel, qtbot)
    place = cut_one(panel)
    panel.write(tmp_path / "tracks", "geff")
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    viewer.window.remove_dock_widget(panel)
    pixels = layer.data
    viewer.layers.clear()
    viewer.add_labels(pixels, name="next day", axis_labels=("t", "y", "x"))
    again = open_panel(PANEL)
    path = str(tmp_path / "tracks" / "corrections.json")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (path, ""))
    again.open.click()
    qtbot.waitUntil(lambda: again.controls.current is None, timeout=20_000)
    assert begins(again, place)
    assert "Corrections made again: 1 of 1." in again.controls.status.text()
    # They are in a file: others may take their place unasked.
    again.open.click()
    qtbot.waitUntil(lambda: again.controls.current is None, timeout=20_000)
    assert not asked
    cut_one(again)
    again.open.click()
    assert asked == ["Discard 2 corrections of links? Export… keeps them."]
    (tmp_path / "tracks" / "corrections.json").write_text("{}")
    again.open.click()
    assert "holds no corrections" in again.controls.status.text()
    assert again.correct.corrected.n_steps == 2
