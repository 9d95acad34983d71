"""From a training to what its model finds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining
from segment_steps import PANEL, FakeRun, finish

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


@pytest.fixture
def run(monkeypatch, tiny_model_file):
    """Train a model of one channel, and stand in for the network that segments with it."""
    monkeypatch.setattr(FakeTraining, "model", tiny_model_file.read_bytes())
    fake = FakeRun()
    monkeypatch.setattr("embedseg_napari.viewer.segment.runs.segment", fake)
    monkeypatch.setattr("embedseg_napari.viewer.segment.advice_box.advise", lambda *_: iter(()))
    return fake


@pytest.mark.parametrize(("chosen", "seen"), [(1, 1), ("mean", "mean")])
@pytest.mark.parametrize("kind", ["channels", "colours", "volumes without names"])
def test_the_channel_that_was_learned_from_is_segmented(viewer, panel, blobs, qtbot, run, chosen, seen, kind):
    image, labels = blobs(3 if kind.startswith("volumes") else 2)
    planes = np.stack([np.zeros_like(image), image, image / 2])
    if kind == "colours":
        viewer.add_image(np.moveaxis(planes, 0, -1).astype(np.uint8), name="cells", rgb=True)
    else:
        names = {"axis_labels": ("c", "y", "x")} if kind == "channels" else {}
        viewer.add_image(planes, name="cells", **names)
    viewer.add_labels(labels, name="truth")
    (row,) = panel.pairs.rows
    row.channel.setCurrentIndex(row.channel.findData(chosen))
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    panel.train.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass
    # What is chosen since was not trained on.
    row.channel.setCurrentIndex(row.channel.findData(0))
    panel.progress.segment.click()
    segment = panel.open_beside(PANEL)
    if kind.startswith("volumes"):
        assert segment.image.axes.text() == "CZYX"
        assert segment.image.channel.currentData() == seen
        return
    finish(qtbot, segment)
    assert [job.channel for job in run.jobs] == [seen]
