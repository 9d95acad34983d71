"""What the panels have in common: they follow layers and theme, and let go of everything when they are closed."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Image
from napari.utils.notifications import show_info
from napari.utils.theme import get_theme
from npe2 import PluginManager
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from embedseg_napari.viewer.camera import keep_whole, shows_whole
from embedseg_napari.viewer.file_metadata import watch_layers
from embedseg_napari.viewer.layers import is_users
from embedseg_napari.viewer.stage import is_of_another, stage_of
from embedseg_napari.viewer.widgets.boxes import short
from embedseg_napari.viewer.widgets.dock_tabs import join_tabs, leave_room, raise_dock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from embedseg_napari.viewer.stage import Scene, Stage
    from embedseg_napari.viewer.widgets.layer_box import LayerBox

PLUGIN = "embedseg-napari"


class DockPanel(QWidget):
    """Base of the panels in napari's window.

    Parameters
    ----------
    viewer : napari viewer
        Whose window it is.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.is_closed = self.is_taken_out = False
        """Whether the panel was closed, and whether alone: the window stays."""
        self._is_placed = self._is_laid_out = False
        """Whether the panel has joined the tabs of the others, and has its width; later both are the user's."""
        self._is_roomy = len(viewer.layers) > 0
        """Whether the controls of layers have their width; later the panel's is the user's."""
        self._showed_all = shows_whole(viewer)
        """Whether nothing lay beyond the canvas before the panel took its share of the window."""
        self._is_behind = self._is_away = False
        """Whether the panel is behind others in the same tabs, or the user has hidden it."""
        self._was_front: bool | None = None
        """What the panel was told last."""
        self._told: set[str] = set()
        """Images (`unique_id`) of which it was said that they are hidden."""
        self.plot: Any = None
        """A plot in the colours of the viewer's theme, if there is one."""
        watch_layers(viewer)
        viewer.events.theme.connect(self.follow_theme)
        viewer.layers.events.inserted.connect(self._make_room)
        # By then Qt's side of the panel is gone; closing down uses only Python's.
        self.destroyed.connect(lambda *_: self.close_down())
        _panels.add(self)

    # What each panel does its own way

    def layer_boxes(self) -> Iterable[LayerBox]:
        """Boxes in which a layer is chosen."""
        raise NotImplementedError

    def release(self) -> None:
        """End what is running and follow nothing any longer: the panel is being closed, and may be gone already."""
        raise NotImplementedError

    def scene(self) -> Scene | None:
        """What is to be seen while the panel is in front; None where it does not mind."""
        return None

    def take_front(self, is_front: bool) -> None:
        """The panel came before others, whose layers give way to its own, or stepped behind them."""
        self._was_front = is_front
        if is_front:
            if self.scene() is None:
                # What the user shows and hides now is not meant for another panel.
                self.stage.rest()
                return
            if self.stage.owner is not self:
                # Which result is looked at depends on it.
                self.stage.hand_back()
            scene = self.scene()
            if scene is not None:
                self._show(scene)

    # What all do alike

    @property
    def stage(self) -> Stage:
        """What is seen in the viewer, for one panel after the other."""
        return stage_of(self.viewer)

    def show_scene(self) -> list[Layer]:
        """Show what the panel is about, unless it is behind others; the layers that were seen and are hidden now."""
        scene = self.scene()
        if scene is None:
            if self.stage.owner is self:
                self.stage.leave()
                self.stage.hand_back()
        elif self._was_front is not False:
            return self._show(scene)
        return []

    def _show(self, scene: Scene) -> list[Layer]:
        hidden, image = self.stage.show(self, scene), scene.image
        if image is not None:
            others = [one for one in hidden if isinstance(one, Image) and is_users(one)]
            others = [one for one in others if is_of_another(one, image, self.viewer.layers)]
            say_hidden("for now", (one for one in others if str(one.unique_id) not in self._told))
            self._told.update(str(one.unique_id) for one in others)
        return hidden

    @property
    def dock(self) -> QDockWidget | None:
        """The dock that napari has put the panel in."""
        dock = None if self.is_closed else self.parent()
        return dock if isinstance(dock, QDockWidget) else None

    @property
    def is_covered(self) -> bool:
        """Whether another panel of the plugin is in front of this one, in the same tabs."""
        window = None if self.dock is None else self.dock.parent()
        others = (panel for panel in _panels if panel is not self and panel.isVisible())
        return self._is_behind and any(panel.dock is not None and panel.dock.parent() is window for panel in others)

    def bring_forward(self) -> None:
        """Show the panel, before others in the same tabs."""
        dock = self.dock
        if dock is None:
            return
        if not self._is_placed:
            self._is_placed = True
            join_tabs(dock, [panel.dock for panel in _panels if panel is not self])
            dock.visibilityChanged.connect(self._note_visibility)
        raise_dock(dock)

    def open_beside(self, name: str) -> DockPanel:
        """Bring another panel of this window forward, and open it first where it is not open.

        Parameters
        ----------
        name : str
            Its name in the manifest.
        """
        window = self.parent().parent()
        for panel in _panels:
            dock = panel.dock
            if dock is not None and dock.parent() is window and dock.toggleViewAction().text().startswith(f"{name} ("):
                panel.bring_forward()
                return panel
        manifest = PluginManager.instance().get_manifest(PLUGIN)
        made = next(one for one in manifest.contributions.widgets or () if one.display_name == name).get_callable()
        opened: DockPanel = made(self.viewer)
        # By this title napari's menu knows a panel; `add_plugin_dock_widget` gives it another, and there would be two.
        self.viewer.window.add_dock_widget(opened, name=f"{name} ({manifest.display_name})")
        opened.bring_forward()
        return opened

    def showEvent(self, event: QShowEvent) -> None:
        """Leave room for the canvas, and come forward where napari's menu shows the panel again."""
        super().showEvent(event)
        if not self._is_laid_out:
            self._is_laid_out = True
            QTimer.singleShot(0, self._leave_room)
        if self._is_away:
            self._is_away = False
            QTimer.singleShot(0, self.bring_forward)

    def hideEvent(self, event: QHideEvent) -> None:
        """Come forward if the panel was behind others: napari's menu then hides what it was asked to show."""
        super().hideEvent(event)
        dock = self.dock
        if dock is None or not dock.isHidden():
            return
        self._is_away = True
        if self._is_behind:
            QTimer.singleShot(0, self.bring_forward)

    def _make_room(self, event: object = None) -> None:
        """Leave room anew with the first layer, whose controls are wider than what was there before."""
        if not self._is_roomy and self.isVisible():
            self._is_roomy = True
            QTimer.singleShot(0, self._leave_room)

    def _leave_room(self) -> None:
        dock = self.dock
        if dock is not None:
            leave_room(dock)
            if self._showed_all:
                QTimer.singleShot(0, lambda: keep_whole(self.viewer))

    def _note_visibility(self, is_visible: bool) -> None:
        dock = self.dock
        if dock is None:
            return
        if not dock.isHidden():
            self._is_behind = not is_visible
        if is_visible:
            # They give layers back first: of two tabs Qt may tell the one that comes before the one that goes.
            behind = dock.parent().tabifiedDockWidgets(dock)
            for panel in [panel for panel in _panels if panel.dock in behind]:
                panel._tell_front(False)
        self._tell_front(is_visible)

    def _tell_front(self, is_front: bool) -> None:
        if is_front != self._was_front:
            self._was_front = is_front
            self.take_front(is_front)

    def reset_choices(self, event: object = None) -> None:
        """List the layers anew; napari calls this when layers come, go, move or get another name."""
        if not self.is_closed:
            for box in self.layer_boxes():
                box.reset_choices()

    def follow_theme(self, event: object = None) -> None:
        """Give the plot the colours of the viewer's theme."""
        if self.plot is not None:
            theme = get_theme(self.viewer.theme)
            self.plot.set_colors(theme.background.as_hex(), theme.text.as_hex())

    def event(self, event: QEvent) -> bool:
        """Notice that napari has put the panel into a dock, or has closed it.

        To close it, napari takes it out of its dock and leaves the rest to memory.
        """
        if event.type() == QEvent.Type.ParentChange and self.dock is not None:
            # The dock has its place in the window by then.
            QTimer.singleShot(0, self.bring_forward)
        elif event.type() == QEvent.Type.ParentChange and self.parent() is None:
            for timer in self.findChildren(QTimer):
                timer.stop()
            self.is_taken_out = True
            self.close_down()
        return bool(super().event(event))

    def close_down(self) -> None:
        """Let go of everything; only the first time."""
        if not self.is_closed:
            self.is_closed = True
            self.viewer.events.theme.disconnect(self.follow_theme)
            self.viewer.layers.events.inserted.disconnect(self._make_room)
            for box in self.layer_boxes():
                box.close_down()
            self.release()
            self.stage.leave(self)
            self.stage.hand_back()


def say_hidden(when: str, layers: Iterable[Layer]) -> None:
    """Say which layers of the user's were hidden, if there are any; a notification shows some forty letters."""
    names = [layer.name for layer in layers]
    if names:
        show_info(f"Hidden {when}: {short(names[0]) if len(names) == 1 else f'{len(names)} layers'}.")


_panels: WeakSet[DockPanel] = WeakSet()


@atexit.register
def close_all() -> None:
    """Close down what a script has left open, while Qt's side of it still exists."""
    for panel in tuple(_panels):
        panel.close_down()
