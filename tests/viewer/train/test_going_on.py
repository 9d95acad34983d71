"""What *Start from* proposes after a training was stopped."""

from __future__ import annotations

import pytest

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


def train(panel, qtbot, *, is_stopped: bool):
    FakeTraining.waits = is_stopped
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    panel.train.click()
    if is_stopped:
        panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass
    return panel.saved.path


@pytest.fixture
def stopped(ready, qtbot, monkeypatch, tiny_model_file):
    """The panel, and the model of a training that was stopped, which is proposed."""
    monkeypatch.setattr(FakeTraining, "waits", True)
    monkeypatch.setattr(FakeTraining, "model", tiny_model_file.read_bytes())
    path = train(ready, qtbot, is_stopped=True)
    assert ready.settings.start_from() == path
    return ready, path


def test_a_model_whose_training_went_on_and_finished_is_proposed_no_longer(stopped, qtbot):
    panel, path = stopped
    again = train(panel, qtbot, is_stopped=True)
    assert panel.settings.start_from() == again != path
    train(panel, qtbot, is_stopped=False)
    assert panel.settings.start_from() not in (path, again)
    assert "stopped" not in panel.settings.why.text()


def test_for_other_images_a_model_whose_training_was_stopped_is_not_proposed(stopped, viewer, blobs):
    panel, path = stopped
    image, labels = blobs(2)
    more = [viewer.add_image(image, name="more"), viewer.add_labels(labels, name="more truth")]
    row = panel.pairs.add_row()
    for box, layer in zip((row.image, row.labels), more, strict=True):
        box.choose(layer)
    assert panel.settings.start_from() == path
    row = panel.pairs.rows[0]
    for box, layer in zip((row.image, row.labels), more, strict=True):
        box.choose(layer)
    assert panel.settings.start_from() != path
    assert "stopped" not in panel.settings.why.text()


def test_what_a_person_chose_stays_for_other_images(stopped, viewer):
    panel, path = stopped
    panel.progress.go_on.click()
    panel.pairs.rows[0].labels.choose(viewer.add_labels(viewer.layers["truth"].data, name="others"))
    assert panel.settings.start_from() == path
