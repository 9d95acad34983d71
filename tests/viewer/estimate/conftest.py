"""The Estimate panel on generated nuclei, and keys pressed in its window."""

from __future__ import annotations

import pytest
from judging_steps import PANEL
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox

from embedseg_napari.core.data.synthetic import nuclei


@pytest.fixture
def panel(open_panel):
    panel = open_panel(PANEL)
    panel.n_objects.setValue(3)
    panel.n_areas.setValue(2)
    panel.seed.setValue(1)
    return panel


@pytest.fixture
def layer(viewer):
    sample = nuclei((96, 128), diameter=14, seed=0)
    viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    return viewer.add_labels(sample.labels, name="found", scale=(0.5, 0.5))


@pytest.fixture
def press(viewer):
    """Press a key in the window, wherever the focus is."""

    def keys(text: str) -> None:
        for letter in text:
            QTest.keyClick(viewer.__wrapped__.window._qt_window, getattr(Qt.Key, f"Key_{letter}"))

    return keys


@pytest.fixture(autouse=True)
def agrees(monkeypatch):
    """Another sample may replace answers that are in no file: a dialog would wait for ever."""
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
