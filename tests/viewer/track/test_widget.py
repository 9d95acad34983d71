"""The Track panel, opened through the manifest and driven by its buttons, keys and clicks."""

from __future__ import annotations

import json
import shlex
import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPointF
from qtpy.QtGui import QEnterEvent
from qtpy.QtWidgets import QApplication, QMessageBox
from track_steps import click, track

from embedseg_napari.cli import main
from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.files.tiff import read_image, write_labels

PANEL = "EmbedSeg: Track"


@pytest.mark.usefixtures("whole_window")
def test_objects_keep_their_number_and_colour(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    tracks, shown, lines = panel.correct.corrected.tracks, panel.layers.labels, panel.layers.lines
    assert tracks.spacing == (0.5, 0.5)
    assert not layer.visible
    for t in range(6):
        assert np.array_equal(shown.data[t], tracks.relabel(layer.data[t], t))
    assert lines.graph == tracks.graph()
    assert len(lines.data) == len(tracks)
    assert tuple(lines.scale) == tuple(shown.scale) == (1, 0.5, 0.5)
    assert "3 divisions in 6 frames" in panel.controls.status.text()


def test_the_labels_that_are_selected_are_proposed_and_no_plane(viewer, open_panel):
    found = viewer.add_labels(np.ones((4, 9, 9), int), name="found")
    viewer.add_labels(np.ones((4, 9, 9), int), name="truth")
    viewer.add_labels(np.ones((9, 9), int), name="plane")
    viewer.layers.selection.active = found
    assert open_panel(PANEL).labels.layer() == found


def test_tracks_are_shown_on_their_movie_and_nothing_else_lies_there(panel, layer, viewer, qtbot) -> None:
    place = {"scale": (1, 0.5, 0.5), "axis_labels": ("t", "y", "x"), "units": ("s", "um", "um")}
    movie = viewer.add_image(np.random.default_rng(0).random(layer.data.shape), name="movie", visible=False, **place)
    frame = viewer.add_image(np.ones(layer.data.shape[1:]), name="one frame", scale=(0.5, 0.5), units=("um", "um"))
    older = viewer.add_labels(np.ones_like(layer.data), name="older", **place)
    panel.labels.choose(layer)
    panel.labels.changed.emit(layer)
    assert panel.image.layer() == movie
    track(panel, qtbot)
    assert movie.visible
    assert panel.layers.labels.visible
    assert viewer.layers.index(movie) > viewer.layers.index(frame)
    assert not older.visible
    viewer.layers.remove(panel.layers.labels)
    assert layer.visible
    panel.stage.leave(panel)
    assert (movie.visible, older.visible) == (False, True)


def test_tracks_step_aside_for_objects_that_are_found_anew(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    old = panel.layers.labels, panel.layers.lines, panel.layers.marks
    layer.data = np.zeros_like(layer.data)
    assert not any(one.visible for one in old)
    assert layer.visible
    assert "press Track again" in panel.controls.status.text()


@pytest.mark.parametrize("is_open", [True, False])
def test_the_only_time_lapse_and_its_image_are_chosen(viewer, open_panel, is_open) -> None:
    """Whichever comes first: the panel, the labels or the image."""
    if is_open:
        panel = open_panel(PANEL)
    movie = viewer.add_labels(np.ones((4, 20, 30), int), name="movie", axis_labels=("t", "y", "x"))
    image = viewer.add_image(np.zeros((4, 20, 30)), name="its image", axis_labels=("t", "y", "x"))
    viewer.add_image(np.zeros((20, 30)), name="another image")
    viewer.add_labels(np.ones((20, 30), int), name="a plane")
    if not is_open:
        panel = open_panel(PANEL)
    assert (panel.labels.layer(), panel.image.layer()) == (movie, image)
    panel.image.choose(None)
    viewer.add_points(name="something else")
    assert panel.image.layer() is None, "a choice stays"


def test_tracked_labels_are_not_tracked_again(panel, layer, viewer, open_panel, qtbot) -> None:
    track(panel, qtbot)
    viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    assert again.labels.layers == [layer]


def test_a_second_run_takes_the_place_of_the_first(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    names = [one.name for one in viewer.layers]
    track(panel, qtbot)
    assert [one.name for one in viewer.layers] == names
    assert panel.labels.layer() == layer


def test_planes_that_are_depth_are_no_frames(viewer, open_panel):
    volume = viewer.add_labels(np.ones((4, 9, 9), int), name="nuclei", axis_labels=("z", "y", "x"))
    panel = open_panel(PANEL)
    panel.labels.choose(volume)
    assert not panel.controls.run_button.isEnabled()
    assert "nuclei: has the axes ZYX, and time must be the first" in panel.controls.status.text()


@pytest.mark.usefixtures("whole_window")
def test_volumes_over_time(panel, viewer, qtbot) -> None:
    movie = dividing_cells(6, 4, 1, ndim=3, radius=5.0)
    viewer.add_labels(unlinked(movie.labels), name="volumes")
    track(panel, qtbot)
    click(viewer, panel, 2)
    assert panel.correct.chosen == [2]
    assert panel.layers.lines.data.shape[1] == 5
    panel.correct.go_on()


def test_what_cannot_be_linked_is_said(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    panel.correct.choose([0, 1])
    panel.correct.link()
    assert "one frame" in panel.correct.line.text()
    panel.correct.choose([])
    panel.correct.cut()
    assert "Choose an object" in panel.correct.line.text()


@pytest.mark.parametrize("format", ["ctc", "geff"])
def test_corrections_are_saved_with_the_export(panel, layer, qtbot, tmp_path, format) -> None:
    track(panel, qtbot)
    row = int(np.flatnonzero(panel.correct.corrected.tracks.parents >= 0)[0])
    panel.correct.choose([row])
    panel.correct.cut()
    panel.write(tmp_path / "out", format)
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert f"Saved {tmp_path / 'out'}" in panel.controls.status.text()
    saved = json.loads((tmp_path / "out/corrections.json").read_text())["corrections"]
    assert saved == [json.loads(json.dumps(one)) for one in panel.correct.corrected.tracks.corrections]


def test_saving_can_be_stopped(panel, layer, qtbot, tmp_path, monkeypatch) -> None:
    def never_done(*_, should_stop, **__):
        while not should_stop():
            time.sleep(0.01)
        raise Stopped("stopped")

    track(panel, qtbot)
    monkeypatch.setattr("embedseg_napari.viewer.track.widget.write_tracks", never_done)
    panel.write(tmp_path / "out", "ctc")
    panel.controls.cancel_button.click()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert panel.controls.status.text() == "Stopped."
    assert panel.export.isEnabled()


def test_a_folder_that_exists_is_left_alone(panel, layer, qtbot, tmp_path) -> None:
    track(panel, qtbot)
    panel.write(tmp_path, "ctc")
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert "exists already" in panel.controls.status.text()
    assert not list(tmp_path.iterdir())


def test_labels_that_changed_are_tracked_again_first(panel, layer, qtbot) -> None:
    track(panel, qtbot)
    layer.data = np.roll(layer.data, 1, axis=0)
    assert "press Track again" in panel.controls.status.text()
    assert not panel.export.isEnabled()
    assert not panel.correct.isEnabled()
    track(panel, qtbot)
    assert panel.export.isEnabled()


def test_corrections_outlast_a_stroke_and_another_run(panel, layer, qtbot) -> None:
    track(panel, qtbot)
    tracks = panel.correct.corrected.tracks
    rows = np.flatnonzero((tracks.frame == 3) & (tracks.parents >= 0))[:2]
    for row in rows:
        panel.correct.choose([int(row)])
        panel.correct.cut()
    gone = int(rows[1])
    pixels = np.nonzero(layer.data == 0)
    layer.data_setitem(tuple(axis[:1] for axis in pixels), 99)
    # Keys come although buttons are grey.
    panel.correct.choose([0])
    panel.correct.undo()
    assert panel.correct.corrected.n_steps == 2
    layer.undo()
    track(panel, qtbot)
    again = panel.correct.corrected.tracks
    assert panel.correct.corrected.n_steps == 2
    assert "Corrections made again: 2 of 2." in panel.controls.status.text()
    assert (again.parents[[again.row_of(3, int(tracks.label[row])) for row in rows]] < 0).all()
    for t in range(6):
        assert np.array_equal(panel.layers.labels.data[t], again.relabel(layer.data[t], t))
    # One of the objects is drawn anew, with another number.
    where = np.nonzero((layer.data == tracks.label[gone]) & (np.arange(6) == 3)[:, None, None])
    layer.data_setitem(where, 98)
    track(panel, qtbot)
    assert panel.correct.corrected.n_steps == 1
    assert "Corrections made again: 1 of 2." in panel.controls.status.text()


def test_corrections_are_given_up_only_when_that_is_meant(panel, layer, viewer, qtbot, monkeypatch, tmp_path) -> None:
    track(panel, qtbot)
    panel.correct.choose([len(panel.correct.corrected.tracks) - 1])
    panel.correct.cut()
    corrected, asked, answer = panel.correct.corrected, [], QMessageBox.StandardButton.No

    def question(*words):
        asked.append(words[-1])
        return answer

    monkeypatch.setattr(QMessageBox, "question", question)
    layer.data = np.roll(layer.data, 1, axis=0)
    panel.start()
    assert panel.controls.current is None
    assert panel.correct.corrected is corrected
    assert not panel.export.isEnabled()
    assert asked == ["Discard 1 correction of links? The labels changed since they were made."]
    answer = QMessageBox.StandardButton.Yes
    track(panel, qtbot)
    assert panel.correct.corrected.n_steps == 0
    # Those in a file are not asked about.
    panel.correct.choose([len(panel.correct.corrected.tracks) - 1])
    panel.correct.cut()
    panel.write(tmp_path / "tracks", "ctc")
    qtbot.waitUntil(lambda: panel.controls.current is None)
    layer.data = np.roll(layer.data, 1, axis=0)
    track(panel, qtbot)
    assert len(asked) == 2


@pytest.mark.parametrize("n", [2, 4])
def test_a_few_frames_without_names_are_frames_and_no_channels(panel, viewer, qtbot, n) -> None:
    viewer.add_labels(np.ones((n, 20, 20), int), name="few")
    track(panel, qtbot)
    assert f"1 track, 0 divisions in {n} frames" in panel.controls.status.text()


def test_labels_that_are_no_time_lapse_are_refused(panel, viewer, qtbot) -> None:
    panel.labels.choose(viewer.add_labels(np.ones((9, 9), int), name="plane"))
    panel.start()
    assert "plane" in panel.controls.status.text()
    assert panel.controls.current is None


def test_a_run_that_is_stopped_leaves_layers_as_they_were(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    kept = panel.correct.corrected
    panel.start()
    panel.controls.current.pause()
    panel.controls.cancel()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert panel.correct.corrected is kept
    assert panel.export.isEnabled()


def test_layers_that_are_removed_are_let_go(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    viewer.layers.remove(panel.layers.labels)
    assert not panel.export.isEnabled()
    assert panel.correct.corrected is None
    track(panel, qtbot)
    assert panel.export.isEnabled()


def test_labels_on_the_disk_are_read_when_they_are_looked_at(panel, viewer, qtbot) -> None:
    import dask.array

    movie = dividing_cells(12, 6, 3, seed=2)
    given = unlinked(movie.labels)
    viewer.add_labels(dask.array.from_array(given, chunks=(1, -1, -1)), name="stored", axis_labels=("t", "y", "x"))
    track(panel, qtbot)
    tracks, shown = panel.correct.corrected.tracks, panel.layers.labels
    assert not isinstance(shown.data, np.ndarray)
    panel.correct.choose([int(np.flatnonzero(tracks.frame == 3)[0])])
    panel.correct.cut()
    now = panel.correct.corrected.tracks
    assert np.array_equal(np.asarray(shown.data[4]), now.relabel(given[4], 4))


def test_the_command_gives_the_tracks_of_the_panel(panel, viewer, qtbot, tmp_path, layer) -> None:
    path = tmp_path / "some movie" / "labels.tif"
    write_labels(path, layer.data, "TYX", (0.5, 0.5), "um")
    viewer.layers.remove(layer)
    panel.recipe.copy_command()
    assert "Labels layer" in notification_manager.records[-1].message
    viewer.add_labels(read_image(path, labels=True).array, name="painted", axis_labels=("t", "y", "x"))
    panel.recipe.copy_command()
    assert "Save painted" in notification_manager.records[-1].message
    viewer.layers.clear()
    read = read_image(path, labels=True)
    opened = viewer.add_labels(
        read.array,
        name="opened",
        scale=(1, 0.5, 0.5),
        axis_labels=("t", "y", "x"),
        units=("s", "um", "um"),
        metadata={"path": str(path)},
    )
    opened.fill((0, 0, 0), 99)
    panel.recipe.copy_command()
    assert "opened changed since it was saved" in panel.recipe.line.text()
    opened.undo()
    panel.gap.setValue(1)
    panel.distance.setValue(30)
    track(panel, qtbot)
    tracks = panel.correct.corrected.tracks
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert ended.value.code in (0, None)
    rows = np.loadtxt(path.parent / "tracks" / "res_track.txt", dtype=int, ndmin=2)
    assert len(rows) == len(tracks.rows()) > 1
    row = int(np.flatnonzero(tracks.parents >= 0)[0])
    panel.correct.choose([row])
    panel.correct.cut()
    panel.recipe.copy_command()
    assert "corrections.json" in notification_manager.records[-1].message


def test_what_was_tracked_is_said_to_be_gone(viewer, open_panel, qtbot) -> None:
    movie = dividing_cells(6, 4, 1, seed=2).labels
    layer = viewer.add_labels(movie, name="cells", axis_labels=("t", "y", "x"))
    viewer.add_labels(movie, name="others", axis_labels=("t", "y", "x"))
    panel = open_panel("EmbedSeg: Track")
    panel.labels.choose(layer)
    panel.start()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    viewer.layers.remove(layer)
    assert panel.controls.status.text() == "What was tracked was removed, and its links with it."
    assert not panel.correct.isVisible()


def test_what_is_undone_in_the_hidden_labels_is_noticed_when_the_mouse_comes(panel, layer, qtbot) -> None:
    layer.paint((0, 5, 5), int(layer.data.max()) + 1)
    track(panel, qtbot)
    assert not layer.visible
    layer.undo()
    middle = QPointF(9, 9)
    QApplication.sendEvent(panel, QEnterEvent(middle, middle, middle))
    assert panel.controls.status.text() == "The labels changed since they were linked; press Track again."
    assert not panel.export.isEnabled()


def test_measurements_of_tracked_labels_are_out_of_date_with_a_correction(panel, layer, open_panel, qtbot) -> None:
    track(panel, qtbot)
    measure = open_panel("EmbedSeg: Measure")
    measure.labels.choose(panel.layers.labels)
    measure.start()
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    panel.correct.choose([len(panel.correct.corrected.tracks) - 1])
    panel.correct.cut()
    assert measure.controls.status.text() == "The labels changed since they were measured; press Measure again."


def test_links_of_labels_that_are_chosen_no_longer_say_whose_they_are(panel, layer, viewer, qtbot) -> None:
    panel.labels.choose(layer)
    track(panel, qtbot)
    assert panel.whose.text() == ""
    others = viewer.add_labels(layer.data, name="others", axis_labels=("t", "y", "x"))
    panel.labels.choose(others)
    assert panel.whose.text() == "This is of cells; for others, press Track."
    layer.name = "first"
    assert panel.whose.text() == "This is of first; for others, press Track."
    panel.labels.choose(layer)
    assert panel.whose.text() == ""
    panel.labels.choose(others)
    viewer.layers.remove(layer)
    assert panel.whose.text() == ""


def test_the_command_tracks_a_movie_of_volumes_of_one_plane(panel, viewer, layer, qtbot, tmp_path) -> None:
    flat, place = layer.data[:, None], {"axis_labels": ("t", "z", "y", "x"), "scale": (1, 3, 0.5, 0.5)}
    write_labels(tmp_path / "labels.tif", flat, "TZYX", (3, 0.5, 0.5), "um")
    viewer.layers.clear()
    viewer.add_labels(
        flat, name="flat", units=("s", *["um"] * 3), metadata={"path": str(tmp_path / "labels.tif")}, **place
    )
    track(panel, qtbot)
    panel.recipe.copy_command()
    assert panel.recipe.line.isHidden(), panel.recipe.line.text()
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(QApplication.clipboard().text())[1:])
    assert ended.value.code in (0, None)
    rows = (tmp_path / "tracks" / "res_track.txt").read_text().splitlines()
    assert len(rows) == len(panel.correct.corrected.tracks.rows())
