"""A preview appears one layer at a time, while the viewer answers; the end of a training shows the rest at once."""

from __future__ import annotations

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QObject

from embedseg_napari.viewer.preview.layer_by_layer import LayerByLayer


class View:
    """Shows nothing, and says what it was asked to show."""

    def __init__(self) -> None:
        self.shown = []

    def steps(self, event):
        for number in range(3):
            self.shown.append((event, number))
            yield

    def end_steps(self):
        while self.shown:
            self.shown.pop()
            yield


@pytest.fixture
def made(qtbot):
    owner, view, told = QObject(), View(), []
    return owner, view, LayerByLayer(view, owner, lambda: told.append(len(view.shown))), told


def test_layers_come_one_after_the_other(made, qtbot):
    _, view, gradually, told = made
    gradually.show("a")
    assert view.shown == [("a", 0)]
    qtbot.waitUntil(lambda: not gradually.isActive(), timeout=5000)
    assert view.shown == [("a", 0), ("a", 1), ("a", 2)]
    assert told == [1, 2, 3, 3]


def test_a_newer_preview_takes_the_place_of_one_that_is_not_finished(made, qtbot):
    _, view, gradually, _ = made
    gradually.show("a")
    gradually.show("b")
    gradually.finish()
    assert view.shown == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]
    qtbot.wait(60)
    assert len(view.shown) == 4


def test_layers_go_one_after_the_other(made, qtbot):
    _, view, gradually, _ = made
    gradually.show("a")
    gradually.end()
    assert view.shown == [("a", 0), ("a", 1)]
    qtbot.waitUntil(lambda: not gradually.isActive(), timeout=5000)
    assert view.shown == []


def test_what_is_cancelled_is_not_shown(made, qtbot):
    _, view, gradually, _ = made
    gradually.show("a")
    gradually.cancel()
    gradually.finish()
    qtbot.wait(60)
    assert view.shown == [("a", 0)]
