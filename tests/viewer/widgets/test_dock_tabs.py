"""Panels share one place of the window as tabs, and leave room for the canvas."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QPushButton, QTabBar

from embedseg_napari.viewer.camera import shows_whole

PANELS = {"Segment": "Segment", "Train": "Train", "Evaluate": "Evaluate", "Label": "Label & Train"}
"""Names of the panels by the words of their tabs."""
LEAST_CANVAS = 700


def window_of(panel) -> QMainWindow:
    return panel.dock.parent()


def tabs_of(panel) -> set[str]:
    return {dock.windowTitle() for dock in window_of(panel).tabifiedDockWidgets(panel.dock)}


def is_in_front(panel) -> bool:
    return panel.isVisible() and not panel.visibleRegion().isEmpty()


@pytest.fixture
def opened(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1366, 768)
    panels = {}
    for name, whole in PANELS.items():
        _, panels[name] = viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {whole}")
        qtbot.waitUntil(lambda name=name: is_in_front(panels[name]), timeout=20000)
    return panels


def test_panels_are_tabs_by_their_short_names_and_the_newest_is_in_front(opened):
    for name, panel in opened.items():
        assert tabs_of(panel) == set(PANELS) - {name}
        assert is_in_front(panel) == (name == "Label")
        # The window's menu keeps the whole name.
        assert panel.dock.toggleViewAction().text().startswith(f"EmbedSeg: {PANELS[name]}")
    bars = [[bar.tabText(i) for i in range(bar.count())] for bar in window_of(panel).findChildren(QTabBar)]
    assert list(PANELS) in bars
    found = (bar for bar in window_of(panel).findChildren(QTabBar) if bar.isVisible() and bar.count() == len(PANELS))
    bar = next(bar for bar in found if bar.parent() is window_of(panel))
    names = [bar.fontMetrics().horizontalAdvance(bar.tabText(i)) for i in range(bar.count())]
    assert all(bar.tabRect(i).width() >= width for i, width in enumerate(names))


def test_a_panel_steps_back_before_another_comes(opened, qtbot, monkeypatch):
    left, right = opened["Segment"], opened["Label"]
    told = []
    for panel in (left, right):
        monkeypatch.setattr(panel, "take_front", lambda is_front, panel=panel: told.append((panel, is_front)))
    for panel in (left, right):
        panel.bring_forward()
        qtbot.waitUntil(lambda panel=panel: is_in_front(panel), timeout=20000)
    qtbot.waitUntil(lambda: (right, True) in told)
    assert told == [(right, False), (left, True), (left, False), (right, True)]


def test_the_canvas_keeps_its_width_and_panels_their_controls(opened, qtbot):
    for panel in opened.values():
        panel.bring_forward()
        qtbot.waitUntil(lambda panel=panel: is_in_front(panel), timeout=20000)
        canvas = window_of(panel).centralWidget()
        assert canvas.width() >= LEAST_CANVAS
        assert panel.width() >= panel.minimumSizeHint().width()


@pytest.mark.parametrize("name", PANELS)
def test_the_canvas_keeps_its_width_when_the_first_layers_come(make_napari_viewer_proxy, qtbot, name):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1366, 768)
    _, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {PANELS[name]}")
    qtbot.waitUntil(lambda: is_in_front(panel), timeout=20000)
    viewer.add_image(np.zeros((24, 24)), name="cells")
    viewer.add_labels(np.zeros((24, 24), int), name="cells labels")
    for button in panel.findChildren(QPushButton):
        # Those that come later must not widen the panel.
        button.setVisible(True)
    qtbot.waitUntil(lambda: window_of(panel).centralWidget().width() >= LEAST_CANVAS, timeout=20000)
    assert panel.width() >= panel.minimumSizeHint().width()


def test_a_panel_behind_others_comes_forward_when_its_menu_is_clicked(opened, qtbot):
    segment = opened["Segment"]
    # As napari's menu does.
    segment.dock.setVisible(not segment.dock.isVisible())
    qtbot.waitUntil(lambda: is_in_front(segment), timeout=20000)
    segment.dock.setVisible(not segment.dock.isVisible())
    qtbot.wait(50)
    assert segment.dock.isHidden()
    segment.dock.setVisible(not segment.dock.isVisible())
    qtbot.waitUntil(lambda: is_in_front(segment), timeout=20000)


def test_what_the_user_has_moved_stays_where_it_is(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    _, first = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Segment")
    qtbot.waitUntil(lambda: is_in_front(first), timeout=20000)
    window_of(first).addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, first.dock)
    _, second = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Evaluate")
    qtbot.waitUntil(lambda: is_in_front(second), timeout=20000)
    assert tabs_of(second) == set()
    assert isinstance(second.dock, QDockWidget)
    assert window_of(first).dockWidgetArea(first.dock) == Qt.DockWidgetArea.LeftDockWidgetArea


def click_in_menu(viewer, name):
    """Choose a panel in Plugins > EmbedSeg."""
    menu = viewer.__wrapped__.window.plugins_menu
    menu.aboutToShow.emit()
    (ours,) = [action.menu() for action in menu.actions() if action.text() == "EmbedSeg"]
    ours.aboutToShow.emit()
    (action,) = [action for action in ours.actions() if action.text().startswith(f"EmbedSeg: {name} ")]
    action.trigger()


@pytest.mark.parametrize("comes_first", ["menu", "button"])
def test_a_panel_opened_by_another_is_the_one_of_the_menu(make_napari_viewer_proxy, qtbot, comes_first):
    viewer = make_napari_viewer_proxy(show=True)
    _, train = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Train")
    qtbot.waitUntil(lambda: is_in_front(train), timeout=20000)
    if comes_first == "menu":
        click_in_menu(viewer, "Segment")
    segment = train.open_beside("EmbedSeg: Segment")
    qtbot.waitUntil(lambda: is_in_front(segment), timeout=20000)
    train.bring_forward()
    if comes_first == "button":
        click_in_menu(viewer, "Segment")
        qtbot.waitUntil(lambda: is_in_front(segment), timeout=20000)
    assert tabs_of(train) == {"Segment"}


def test_six_tabs_have_room_and_an_image_stays_whole_beside_them(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1366, 768)
    viewer.add_image(np.zeros((300, 400)))
    viewer.reset_view()
    can_tell = shows_whole(viewer)
    _, first = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Segment")
    qtbot.waitUntil(lambda: is_in_front(first), timeout=20000)
    if can_tell:
        qtbot.waitUntil(lambda: shows_whole(viewer), timeout=20000)
    for name in ("Label & Train", "Train", "Evaluate", "Estimate", "Measure"):
        panel = first.open_beside(f"EmbedSeg: {name}")
        qtbot.waitUntil(lambda panel=panel: is_in_front(panel), timeout=20000)
    bars = (bar for bar in window_of(first).findChildren(QTabBar) if bar.isVisible() and bar.count() == 6)
    bar = next(bar for bar in bars if bar.parent() is window_of(first))
    assert sum(bar.tabRect(i).width() for i in range(6)) <= bar.width()
