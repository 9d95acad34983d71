"""What is said of the session in the Label & Train panel."""

from __future__ import annotations

import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint
from napari.utils.notifications import notification_manager

pytestmark = pytest.mark.usefixtures("own_data")


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
