"""The Train panel, opened through the manifest, with a training that takes no time."""

from __future__ import annotations

import pytest
from fake_training import FakeTraining

PANEL = "EmbedSeg: Train"


@pytest.fixture
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(FakeTraining, "score", 0.6)


@pytest.fixture
def panel(viewer, open_panel, monkeypatch):
    pytest.importorskip("pyqtgraph")
    from embedseg_napari.viewer.train import widget as train_widget

    monkeypatch.setattr(train_widget, "TrainingJob", FakeTraining)
    return open_panel(PANEL)


@pytest.fixture
def ready(viewer, panel, blobs, qtbot):
    image, labels = blobs(2)
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="truth")
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    return panel
