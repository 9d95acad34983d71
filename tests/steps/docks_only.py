"""A viewer with docks for panels, without the canvas, layer controls and menus of napari, which take long to build.

Keys do what they do in napari's window.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import napari.viewer
from app_model.backends.qt import qkey2modelkey, qmods2modelmods
from app_model.types import KeyBinding
from napari.components import ViewerModel
from napari.layers import Layer
from napari.settings import get_settings
from napari.utils._proxies import PublicOnlyProxy
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import KeymapHandler
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QKeyEvent


class DocksOnlyViewer(napari.viewer.Viewer):
    """Napari's viewer, whose window holds nothing but docks; close it when it is done with."""

    def __init__(self) -> None:
        ViewerModel.__init__(self)
        PluginManager.instance().discover()
        self._window = DockWindow(self)

    def close(self) -> None:
        """Close its panels and remove its layers."""
        self.window.close()
        self.layers.clear()


class KeyWindow(QMainWindow):
    """Gives keys to the layer that is selected, and to the viewer."""

    def __init__(self, viewer: DocksOnlyViewer) -> None:
        super().__init__()
        self._viewer, self._handler = viewer, KeymapHandler()
        bind_keys_of_layers()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        active = self._viewer.layers.selection.active
        self._handler.keymap_providers = [self._viewer] if active is None else [active, self._viewer]
        self._handler.press_key(binding(event))

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        self._handler.release_key(binding(event))


@cache
def bind_keys_of_layers() -> None:
    """Let the keys of napari's layers, such as that for undo, do what its window lets them do: for all viewers."""
    for name, shortcuts in get_settings().shortcuts.shortcuts.items():
        if issubclass(action_manager._actions[name].keymapprovider, Layer):
            action_manager.unbind_shortcut(name)
            for shortcut in shortcuts:
                action_manager.bind_shortcut(name, shortcut)


def binding(event: QKeyEvent) -> KeyBinding:
    """What napari calls the keys of an event."""
    return KeyBinding.from_int(qmods2modelmods(event.modifiers()) | qkey2modelkey(event.key()))


class DockWindow:
    """Stands in for napari's window as far as panels and their tests use it."""

    def __init__(self, viewer: DocksOnlyViewer) -> None:
        self._viewer = viewer
        self._qt_window = KeyWindow(viewer)
        self._qt_window.setCentralWidget(QWidget())
        self._qt_viewer = SimpleNamespace(canvas=SimpleNamespace(native=self._qt_window.centralWidget()))
        self.resize(1366, 768)

    @property
    def dock_widgets(self) -> dict[str, QWidget]:
        return {dock.objectName(): dock.widget() for dock in self._docks()}

    def _docks(self) -> list[QDockWidget]:
        return self._qt_window.findChildren(QDockWidget)

    def add_plugin_dock_widget(self, plugin: str, name: str, tabify: bool = False) -> tuple[QDockWidget, QWidget]:
        """Open a widget of a manifest, or return the one that is open."""
        title = f"{name} ({plugin})"
        for dock in self._docks():
            if dock.objectName() == title:
                return dock, dock.widget()
        manifest = PluginManager.instance().get_manifest(plugin)
        found = (one for one in manifest.contributions.widgets or () if one.display_name == name)
        make: Callable[..., QWidget] = next(found).get_callable()
        widget = make(PublicOnlyProxy(self._viewer))
        return self.add_dock_widget(widget, name=title), widget

    def add_dock_widget(self, widget: QWidget, *, name: str, **_: Any) -> QDockWidget:
        dock = QDockWidget(name)
        dock.setObjectName(name)
        dock.setWidget(widget)
        self._qt_window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        if hasattr(widget, "reset_choices"):
            events = self._viewer.layers.events
            for event in (events.inserted, events.removed, events.reordered, events.renamed):
                event.connect(widget.reset_choices)
        return dock

    def remove_dock_widget(self, widget: QWidget | str) -> None:
        """Take out the dock of a widget, or all."""
        for dock in self._docks():
            if widget in ("all", dock.widget()):
                if dock.widget() is not None:
                    dock.widget().setParent(None)
                self._qt_window.removeDockWidget(dock)
                dock.setParent(None)
                dock.deleteLater()

    def resize(self, width: int, height: int) -> None:
        self._qt_window.resize(width, height)

    def close(self) -> None:
        self._qt_window.close()
        self._qt_window.deleteLater()
