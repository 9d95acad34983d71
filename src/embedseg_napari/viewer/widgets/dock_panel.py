"""What the panels have in common: they follow layers and theme, and let go of everything when they are closed."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from embedseg_napari.viewer.tiff_metadata import watch_layers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.viewer import Viewer

    from embedseg_napari.viewer.widgets.layer_box import LayerBox


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
        self.is_closed = False
        self.plot: Any = None
        """A plot in the colours of the viewer's theme, if there is one."""
        watch_layers(viewer)
        viewer.events.theme.connect(self.follow_theme)
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

    # What all do alike

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
        """Notice that napari has closed the panel: it takes it out of its dock and leaves the rest to memory."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            for timer in self.findChildren(QTimer):
                timer.stop()
            self.close_down()
        return bool(super().event(event))

    def close_down(self) -> None:
        """Let go of everything; only the first time."""
        if not self.is_closed:
            self.is_closed = True
            self.viewer.events.theme.disconnect(self.follow_theme)
            for box in self.layer_boxes():
                box.close_down()
            self.release()


_panels: WeakSet[DockPanel] = WeakSet()


@atexit.register
def close_all() -> None:
    """Close down what a script has left open, while Qt's side of it still exists."""
    for panel in tuple(_panels):
        panel.close_down()
