"""The annotation on the disk while it is painted, seen from a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from fake_training import FakeTraining
from label_steps import PANEL, annotate, choose_in_list, paint, stored

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.session.folder import list_sessions
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.label.autosave import Autosave
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

PAINTER = """
import napari
import numpy as np
from qtpy.QtCore import QTimer

viewer = napari.Viewer(show=False)
_, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Label & Train")
viewer.add_image(np.random.default_rng(0).random((64, 64)).astype("float32"), name="cells")
panel.annotation.annotate.click()
layer = panel.annotation.layers.labels
painted = 0


def paint():
    global painted
    layer.data_setitem((np.array([painted // 64]), np.array([painted % 64])), 1)
    painted += 1


def tell(snapshot):
    print(int((snapshot.labels == 1).sum()), flush=True)


panel.autosave.saved.connect(tell)
# As often as a person's strokes and the panel's own saving, in a hurry.
panel.autosave.save_soon.setTimeout(100)
strokes = QTimer()
strokes.timeout.connect(paint)
strokes.start(10)
napari.run()
"""


CLOSER = """
import sys

import napari
import numpy as np

viewer = napari.Viewer(show=False)
_, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Label & Train")
viewer.add_image(np.zeros((64, 64), np.float32), name="cells")
panel.annotation.annotate.click()
layers = panel.annotation.layers
layers.labels.data_setitem((np.array([3, 4]), np.array([5, 5])), 1)
layers.accept([1])
layers.regions.show(np.ones((64, 64), bool))
if sys.argv[1] == "viewer":
    viewer.close()
elif sys.argv[1] == "window":
    viewer.window._qt_window.close()
"""


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def layers(layer_viewer):
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((32, 32), np.float32), name="cells"))
    layers.make()
    return layers


@pytest.fixture
def panel(endless_panel):
    return endless_panel


@contextmanager
def full_disk():
    """As long as it lasts, nothing can be written."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_loses_no_more_than_the_last_interval(own_data):
    script = own_data / "paint.py"
    script.write_text(PAINTER, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            told = [int(process.stdout.readline()) for _ in range(3)]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
    (folder,) = list_sessions(own_data / "embedseg-napari" / "sessions")
    with AnnotationSession.open(folder) as session:
        found = int((session.load_annotation("cells").labels == 1).sum())
        assert session.load_image("cells").array.shape == (64, 64)
    assert told == sorted(set(told))
    assert found >= told[-1] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.thorough
def test_a_killed_process_loses_no_image_that_was_left(own_data):
    script = own_data / "paint.py"
    second = """
viewer.add_image(np.random.default_rng(1).random((64, 64)).astype("float32"), name="others")
layer.data_setitem((np.arange(64), np.arange(64)), 7)
panel.annotation.image.choose(viewer.layers["others"])
panel.annotation.annotate.click()
layer = panel.annotation.layers.labels
"""
    head, rest = PAINTER.split("painted = 0\n\n", 1)
    script.write_text(f"{head}{second}painted = 0\n\n{rest}", encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            told = [int(process.stdout.readline()) for _ in range(2)]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
    (folder,) = list_sessions(own_data / "embedseg-napari" / "sessions")
    with AnnotationSession.open(folder) as session:
        assert session.image_names == ["cells", "others"]
        assert (session.load_annotation("cells").labels == 7).sum() == 64
        assert (session.load_annotation("others").labels == 1).sum() >= told[-1] > 0


@pytest.mark.parametrize(
    "way", [*(pytest.param(way, marks=pytest.mark.thorough) for way in ("viewer", "window")), "nothing"]
)
def test_a_script_that_paints_and_closes_at_once_loses_nothing(own_data, way):
    script = own_data / "close.py"
    script.write_text(CLOSER, encoding="utf-8")
    # Qt may crash when it takes down what nobody closed, on a busy machine; by then all must be on the disk.
    subprocess.run([sys.executable, str(script), way], check=False, timeout=120)
    (folder,) = list_sessions(own_data / "embedseg-napari" / "sessions")
    with AnnotationSession.open(folder) as session:
        annotation = session.load_annotation("cells")
    assert np.argwhere(annotation.labels == 1).tolist() == [[3, 5], [4, 5]]
    assert annotation.regions.all()
    assert annotation.accepted_ids == {1}


def test_an_untouched_annotation_leaves_nothing_on_the_disk(layers, qtbot):
    autosave = Autosave(layers)
    autosave.save()
    autosave.close()
    assert list_sessions(autosave.folder) == []


def test_only_what_changed_is_written(layers, qtbot):
    autosave = Autosave(layers)
    layers.labels.data_setitem((np.array([1]), np.array([1])), 1)
    with qtbot.waitSignal(autosave.saved, timeout=10000):
        autosave.save()
    file = next(autosave.session.folder.glob("annotations/*/*.npz"))
    before = file.stat().st_mtime_ns, file.stat().st_ino
    layers.labels.refresh()
    writing = autosave.writing
    autosave.save()
    autosave.close()
    assert autosave.writing is writing
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize("way", ["another image", "no layers"])
def test_what_is_let_go_of_is_saved_first(layers, layer_viewer, qtbot, way):
    autosave = Autosave(layers)
    layers.labels.data_setitem((np.array([1]), np.array([1])), 1)
    if way == "another image":
        layers.watch(layer_viewer.add_image(np.zeros((8, 8)), name="other"))
    else:
        layer_viewer.layers.clear()
    # It is on the disk although the session is still open.
    assert next(autosave.folder.glob("*/annotations/*/*.npz")).is_file()
    autosave.session.close()
    (folder,) = list_sessions(autosave.folder)
    with AnnotationSession.open(folder) as session:
        assert session.load_annotation("cells").labels.sum() == 1


def test_a_second_session_of_one_image_gets_a_folder_of_its_own(layers, qtbot):
    autosave = Autosave(layers)
    for label in (1, 2):
        layers.labels.data_setitem((np.array([label]), np.array([1])), label)
        autosave.close()
    assert sorted(folder.name for folder in list_sessions(autosave.folder)) == ["cells", "cells_2"]
    assert autosave.matching("cells".__eq__, (32, 32))[0].name == "cells_2"
    assert autosave.matching("cells".__eq__, (16, 32)) == []


def test_a_stack_of_tiffs_is_copied(layer_viewer, qtbot, tmp_path):
    from embedseg_napari.core.files.tiff import write_image

    planes = np.arange(192, dtype=np.float32).reshape(3, 8, 8)
    paths = [str(tmp_path / f"z{z}.tif") for z in range(3)]
    for path, plane in zip(paths, planes, strict=True):
        write_image(path, plane, "YX")
    (image,) = layer_viewer.open(paths, stack=True, plugin="napari")
    image.axis_labels = ("z", "y", "x")
    layers = AnnotationLayers(layer_viewer)
    layers.watch(image)
    layers.make()
    autosave = Autosave(layers)
    layers.labels.data_setitem((np.array([1]), np.array([1]), np.array([1])), 1)
    assert autosave.close()
    (folder,) = list_sessions(autosave.folder)
    with AnnotationSession.open(folder) as session:
        (name,) = session.image_names
        np.testing.assert_array_equal(session.load_image(name).array, planes)
        assert session.load_annotation(name).labels.sum() == 1


def test_an_image_of_a_tiff_is_remembered_by_its_file(layer_viewer, qtbot, tmp_path):
    from embedseg_napari.core.files.tiff import write_image

    path = tmp_path / "cells.tif"
    write_image(path, np.arange(64, dtype=np.float32).reshape(8, 8), "YX")
    (image,) = layer_viewer.open(str(path), plugin="napari")
    layers = AnnotationLayers(layer_viewer)
    layers.watch(image)
    layers.make()
    autosave = Autosave(layers)
    layers.labels.data_setitem((np.array([1]), np.array([1])), 1)
    autosave.close()
    (folder,) = list_sessions(autosave.folder)
    with AnnotationSession.open(folder) as session:
        assert session.image("cells").source.path == str(path)


@pytest.mark.parametrize("where", ["in front", "elsewhere"])
def test_what_was_painted_while_no_panel_was_open_is_learned_and_saved(
    viewer, panel, open_panel, add_image, qtbot, where
):
    one = annotate(panel, add_image("one"))
    paint(panel, 2)
    expected = {"one": 3}
    if where == "elsewhere":
        annotate(panel, add_image("two", shift=9))
        paint(panel, 1)
        expected["two"] = 1
    panel.autosave.save_now()
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    one.data_setitem((np.array([9]), np.array([9])), 7)
    again = open_panel(PANEL)
    again.train.click()
    qtbot.waitUntil(lambda: bool(again.progress.plot.losses), timeout=20000)
    assert {name: image.annotation.counts().n_objects for name, image in again.job.learned.items()} == expected
    again.stop.click()
    with qtbot.waitSignal(again.background.finished, timeout=20000):
        pass
    again.autosave.close()
    assert stored(folder) == expected


def test_a_panel_that_is_opened_again_writes_only_what_changed(viewer, panel, open_panel, add_image):
    for name, shift in (("one", 0), ("two", 9)):
        annotate(panel, add_image(name, shift=shift))
        paint(panel, 2)
    panel.annotation.layers.regions.show_whole()
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    files = sorted(folder.glob("annotations/*/*.npz"))
    before = [(file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    again = open_panel(PANEL)
    assert again.autosave.save_now()
    assert [(file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before


def test_a_panel_that_is_opened_while_its_round_is_finished_goes_on(
    viewer, panel, open_panel, add_image, qtbot, monkeypatch
):
    is_free, save = threading.Event(), FakeTraining._save
    monkeypatch.setattr(FakeTraining, "_save", lambda *args: is_free.wait(20) and save(*args))
    annotate(panel, add_image("one"))
    paint(panel, 3)
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    session = again.autosave.session
    assert (session.folder, session.rounds) == (folder, ())
    paint(again, 1, row=4)
    with qtbot.waitSignal(again.autosave.round_ended, timeout=20000):
        is_free.set()
    assert again.sessions.rounds.text().startswith("Round 1")
    assert again.settings.start_from() == session.model_path(1)
    viewer.window.remove_dock_widget(again)
    assert stored(folder) == {"one": 4}
    assert list_sessions(folder.parent) == [folder]


def test_what_cannot_be_saved_when_it_is_left_is_kept_until_it_can(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    paint(panel, 1, row=4)
    with full_disk():
        annotate(panel, add_image("two", shift=9))
        paint(panel, 1)
        viewer.layers.remove("one annotation")
        panel.sessions.new.click()
        assert panel.autosave.session.folder == folder
        with pytest.raises(DataError, match="cannot be saved"):
            panel.navigator.restore(1)
        panel.train.click()
        assert not panel.is_training
        # It comes back as it was left.
        choose_in_list(panel, "one")
        assert panel.annotation.counts.n_objects == 3
    panel.sessions.new.click()
    assert panel.autosave.session is None
    assert stored(folder) == {"one": 3, "two": 1}


def test_a_session_that_cannot_begin_begins_when_it_can(layers, layer_viewer, qtbot):
    autosave = Autosave(layers)
    layers.labels.data_setitem((np.array([1]), np.array([1])), 1)
    with full_disk():
        layer_viewer.layers.clear()
        assert not autosave.save_now()
    assert autosave.close()
    assert stored(autosave.folder / "cells") == {"cells": 1}
