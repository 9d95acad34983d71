"""Annotations whose panel was closed, or whose session was deleted while they were in the viewer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import PANEL, annotate, paint, stored
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.session.folder import list_sessions
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.label.autosave import retained
from embedseg_napari.viewer.label.handed_on import SESSION, save_all
from embedseg_napari.viewer.widgets.dock_panel import close_all

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


def said(words):
    return sum(words in record.message for record in notification_manager.records)


@pytest.fixture
def lost(panel, add_image):
    """Folder of a session of two images that was deleted; what was painted since is in front."""
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    shutil.rmtree(folder)
    paint(panel, 2, row=4)
    notification_manager.records.clear()
    return folder


def test_what_is_annotated_begins_another_session_where_the_folder_is_gone(viewer, panel, lost):
    panel.sessions.new.click()
    assert said("is gone; what is annotated is saved in one_2 now") == 1
    assert not said("put it back")
    assert {"one annotation", "two annotation"} <= {layer.name for layer in viewer.layers}
    paint(panel, 1, row=8)
    panel.sessions.new.click()
    assert panel.autosave.session is None
    (folder,) = list_sessions(lost.parent)
    assert stored(folder) == {"one": 2, "two": 4}


def test_what_the_new_session_cannot_take_at_once_is_tried_again(panel, lost, monkeypatch):
    save, failed = AnnotationSession.save_annotation, []

    def save_annotation(self, name, *args):
        if name == "two" and self.folder != lost and not failed:
            failed.append(name)
            raise DataError("The disk is full for a moment.")
        return save(self, name, *args)

    monkeypatch.setattr(AnnotationSession, "save_annotation", save_annotation)
    panel.sessions.new.click()
    assert failed
    panel.sessions.new.click()
    (folder,) = list_sessions(lost.parent)
    assert stored(folder) == {"one": 2, "two": 3}


def test_annotations_that_are_not_in_front_are_saved_as_well(viewer, panel, lost, add_image):
    annotate(panel, add_image("three", shift=5))
    panel.sessions.new.click()
    folder = panel.autosave.session.folder
    assert said(f"is saved in {folder.name} now") == 1
    panel.sessions.new.click()
    assert stored(folder) == {"one": 2, "two": 3}


def test_nothing_is_lost_where_another_session_is_resumed(panel, lost, add_image):
    panel.sessions.new.click()
    panel.sessions.new.click()
    (other,) = list_sessions(lost.parent)
    annotate(panel, add_image("three", shift=5))
    paint(panel, 1)
    assert panel.autosave.save_now()
    shutil.rmtree(panel.autosave.session.folder)
    paint(panel, 1, row=4)
    panel.sessions.resume_wanted.emit(other)
    assert panel.autosave.session.folder == other
    (third,) = (one for one in list_sessions(lost.parent) if one != other)
    assert stored(third) == {"three": 2}


def test_a_panel_that_is_closed_saves_what_was_in_a_folder_that_is_gone(viewer, panel, open_panel, lost):
    viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    assert not said("holds no session")
    assert not said("put it back")
    assert again.autosave.session.folder != lost
    viewer.window.remove_dock_widget(again)
    (folder,) = list_sessions(lost.parent)
    assert stored(folder) == {"one": 2, "two": 3}


def test_a_session_that_is_deleted_while_no_panel_is_open_is_missed_once(viewer, panel, open_panel, lost):
    panel.sessions.new.click()
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    shutil.rmtree(folder)
    again = open_panel(PANEL)
    assert said("is gone; what is annotated begins another session") == 1
    assert not any(SESSION in layer.metadata for layer in viewer.layers)
    folder = again.autosave.session.folder
    assert again.autosave.close()
    assert stored(folder) == {"one": 2, "two": 3}


@pytest.mark.parametrize("use", ["train", "export", "recipe"])
def test_what_was_in_a_folder_that_is_gone_is_learned_and_exported(
    viewer, panel, add_image, qtbot, tmp_path, monkeypatch, use
):
    for name, shift in (("one", 0), ("two", 9)):
        annotate(panel, add_image(name, shift=shift))
        paint(panel, 3)
    assert panel.autosave.save_now()
    lost = panel.autosave.session.folder
    shutil.rmtree(lost)
    if use == "train":
        panel.settings.choose_start(None)
        panel.train.click()
        assert panel.is_joined
        panel.stop.click()
        qtbot.waitUntil(lambda: not panel.is_training, timeout=20_000)
    elif use == "export":
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(tmp_path / "exported"))
        panel.sessions.export.click()
        qtbot.waitUntil(lambda: said("Exported: 2 images."), timeout=20_000)
    else:
        assert str(panel.autosave.folder / "one_2") in panel.make_recipe().command
    folder = panel.autosave.session.folder
    assert folder != lost
    assert panel.autosave.close()
    assert stored(folder) == {"one": 3, "two": 3}


def test_what_was_painted_last_is_saved_when_python_ends(panel, lost):
    save_all()
    (folder,) = list_sessions(lost.parent)
    panel.autosave.end()
    assert stored(folder) == {"two": 3}


def test_what_was_deleted_when_all_was_saved_stays_deleted_when_python_ends(panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    shutil.rmtree(folder)
    save_all()
    close_all()
    assert panel.is_closed
    assert not list_sessions(folder.parent)


def test_what_was_deleted_when_all_was_saved_begins_anew_when_only_the_panel_is_closed(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    assert panel.autosave.save_now()
    shutil.rmtree(panel.autosave.session.folder)
    viewer.window.remove_dock_widget(panel)
    (folder,) = list_sessions(panel.autosave.folder)
    assert stored(folder) == {"one": 2}


def test_that_a_folder_is_gone_is_said_once_by_itself(panel, lost):
    for _ in range(3):
        panel.autosave.save_now(again=False)
    assert said("put it back") == 1
    # Whoever asks is told.
    assert not panel.autosave.save_now()
    assert said("put it back") == 2


def test_a_session_that_was_offered_and_deleted_is_offered_no_longer(viewer, panel, lost):
    panel.sessions.new.click()
    panel.sessions.new.click()
    panel.annotation.image.choose(viewer.layers["one"])
    assert panel.sessions.found is not None
    shutil.rmtree(panel.sessions.found)
    panel.sessions.refresh()
    assert panel.sessions.again.isHidden()


@pytest.fixture
def away(panel, add_image):
    """Takes away the disk that sessions are on, as a network share goes, and brings it back; "one" is on it."""
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    assert panel.autosave.save_now()
    sessions = panel.autosave.folder
    notification_manager.records.clear()
    return Away(sessions, sessions.with_name("elsewhere"))


class Away:
    def __init__(self, sessions, elsewhere):
        self.sessions, self.elsewhere = sessions, elsewhere

    def __enter__(self):
        self.sessions.rename(self.elsewhere)
        self.sessions.write_text("")

    def __exit__(self, *exception):
        self.sessions.unlink()
        self.elsewhere.rename(self.sessions)


@pytest.mark.parametrize("others", [[], ["one_2"]])
def test_a_session_whose_disk_is_away_for_a_moment_stays_open(panel, away, others):
    for name in others:
        shutil.copytree(away.sessions / "one", away.sessions / name)
    with away:
        paint(panel, 2, row=4)
        panel.sessions.new.click()
        assert said("stays open, because what is painted cannot be saved") == 1
    assert panel.autosave.save_now()
    assert panel.autosave.session.folder == away.sessions / "one"
    assert panel.autosave.close()
    assert {folder.name for folder in list_sessions(away.sessions)} == {"one", *others}
    assert stored(away.sessions / "one") == {"one": 2, "two": 3}


def test_a_session_stays_open_too_where_nothing_is_in_front(viewer, panel, away):
    panel.annotation.image.choose(None)
    with away:
        panel.sessions.new.click()
    assert panel.autosave.session.folder == away.sessions / "one"
    assert {folder.name for folder in list_sessions(away.sessions)} == {"one"}


def test_what_is_begun_while_the_disk_is_away_has_a_folder_of_its_own(viewer, panel, add_image, away):
    panel.sessions.new.click()
    with away:
        annotate(panel, viewer.layers["one"])
        paint(panel, 1)
        assert not panel.autosave.save_now()
    assert panel.autosave.close()
    assert stored(away.sessions / "one") == {"one": 2, "two": 1}
    assert stored(away.sessions / "one_2") == {"one": 1}


def test_a_panel_opened_while_the_disk_is_away_leaves_it_to_the_next_to_go_on(viewer, panel, open_panel, away):
    viewer.window.remove_dock_widget(panel)
    with away:
        viewer.window.remove_dock_widget(open_panel(PANEL))
        assert said("holds no session") == 1
    again = open_panel(PANEL)
    assert again.autosave.session.folder == away.sessions / "one"


def test_what_is_annotated_of_an_image_that_was_closed_is_saved_as_well(viewer, panel, lost):
    del viewer.layers["one"]
    panel.sessions.new.click()
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    assert stored(folder) == {"one": 2, "two": 3}
    assert "one annotation" not in viewer.layers


def test_an_annotation_stays_in_the_viewer_whose_image_is_known_no_longer(viewer, panel, lost):
    del viewer.layers["one"]
    del panel.autosave.pictures["one"]
    panel.sessions.new.click()
    assert said("The annotation of one is in the viewer only") == 1
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    assert stored(folder) == {"two": 3}
    assert "one annotation" in viewer.layers


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((5, 24, 32), {"axis_labels": ("z", "y", "x")}),
        ((2, 24, 32), {"axis_labels": ("c", "y", "x")}),
        ((24, 32, 2), {"axis_labels": ("y", "x", "c")}),
        ((24, 32, 3), {"rgb": True}),
    ],
)
def test_an_image_of_any_kind_that_was_closed_is_saved_with_its_annotation(viewer, panel, rng, shape, options):
    data = rng.integers(0, 255, shape, dtype=np.uint8)
    annotate(panel, viewer.add_image(data, name="one", **options))
    labels = panel.annotation.layers.labels
    labels.data_setitem(tuple(np.array([n // 2]) for n in labels.data.shape), 1)
    assert panel.autosave.save_now()
    before = panel.autosave.session.load_annotation("one")
    shutil.rmtree(panel.autosave.session.folder)
    del viewer.layers["one"]
    panel.sessions.new.click()
    session = panel.autosave.session
    assert np.array_equal(session.load_annotation("one").labels, before.labels)
    assert before.labels.any()


def test_no_session_begins_in_a_folder_that_a_training_still_has_to_write_into(viewer, panel, lost):
    done = retained(panel.autosave.session)
    panel.sessions.new.click()
    panel.sessions.new.click()
    annotate(panel, viewer.layers["one"])
    paint(panel, 1)
    assert panel.autosave.save_now()
    assert panel.autosave.session.folder == lost.with_name("one_3")
    done()
    assert panel.autosave.close()
    assert not lost.exists()


def test_a_panel_closed_while_the_disk_is_away_is_gone_on_with_once_it_is_back(viewer, panel, open_panel, away):
    with away:
        viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    assert again.autosave.session.folder == away.sessions / "one"
