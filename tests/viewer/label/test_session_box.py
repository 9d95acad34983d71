"""What is said of the session in the Label & Train panel."""

from __future__ import annotations

from datetime import datetime

import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint
from napari.utils.notifications import notification_manager

from embedseg_napari.viewer.label import session_box

pytestmark = pytest.mark.usefixtures("own_data")


def test_the_time_is_that_of_the_last_writing_also_where_an_image_is_left(label_panel, add_image, monkeypatch):
    class Clock(datetime):
        hour_now = 3

        @classmethod
        def now(cls, tz=None):
            return cls(2026, 5, 4, cls.hour_now, 50, 14)

    monkeypatch.setattr(session_box, "datetime", Clock)
    panel = label_panel
    one, other = add_image("one"), add_image("two", shift=3)
    annotate(panel, one)
    paint(panel, 2)
    panel.autosave.save_now()
    assert panel.sessions.line.text() == "Session one: saved at 03:50:14."
    Clock.hour_now = 4
    paint(panel, 1, row=4)
    annotate(panel, other)
    assert panel.sessions.line.text() == "Session one: saved at 04:50:14."


@pytest.mark.parametrize("way", ["save", "save_now"])
def test_where_the_folder_is_gone_the_line_says_that_nothing_is_saved(label_panel, add_image, tmp_path, qtbot, way):
    panel = label_panel
    annotate(panel, add_image("one"))
    paint(panel, 2)
    save = getattr(panel.autosave, way)
    with qtbot.waitSignal(panel.autosave.saved, timeout=20000):
        panel.autosave.save()
    line, folder = panel.sessions.line, panel.autosave.session.folder
    assert "saved at" in line.text()
    paint(panel, 1, row=4)
    folder.rename(tmp_path / "aside")
    with qtbot.waitSignal(panel.autosave.failed, timeout=20000):
        save()
    gone = "The folder of session one is gone, and nothing is saved: put it back, or press New session."
    assert line.text() == gone
    assert panel.sessions.new.isEnabled()
    panel.sessions.set_training(True)
    assert line.text() == gone.replace(", or press New session", "")
    assert not panel.sessions.new.isEnabled()
    panel.sessions.set_training(False)
    assert line.text() == gone
    (tmp_path / "aside").rename(folder)
    with qtbot.waitSignal(panel.autosave.saved, timeout=20000):
        save()
    assert "saved at" in line.text()
    notification_manager.records.clear()


def test_a_round_of_another_session_is_told_of_no_longer(label_panel, add_image, qtbot):
    panel, progress = label_panel, label_panel.progress
    first, second = add_image("first"), add_image("second", shift=3)
    annotate(panel, first)
    paint(panel, 4)
    panel.autosave.save_now()
    panel.sessions.new.click()
    annotate(panel, second)
    paint(panel, 4)
    panel.train.click()
    qtbot.waitUntil(lambda: not panel.is_training, timeout=20000)
    assert "is saved" in progress.outcome.text()
    assert progress.segment.isVisibleTo(panel)
    # Another image of this session changes nothing of it, nor does a look at one of none.
    panel.annotation.image.choose(first)
    assert progress.segment.isVisibleTo(panel)
    panel.sessions.again.click()
    assert panel.autosave.session.folder.name == "first"
    for part in (progress.segment, progress.go_on, progress.outcome, progress.bar):
        assert not part.isVisibleTo(panel)
    assert progress.status.text() == "No round since the session was changed."
    assert panel.saved is None
    # A round of this one is told of again.
    panel.train.click()
    assert progress.bar.isVisibleTo(panel)
    qtbot.waitUntil(lambda: not panel.is_training, timeout=20000)
    assert progress.segment.isVisibleTo(panel)
    assert panel.trained_on == first
