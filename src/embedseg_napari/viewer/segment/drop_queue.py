"""Images that were dropped on the viewer and wait to be segmented, one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from embedseg_napari.viewer.layers import is_users

if TYPE_CHECKING:
    from napari.viewer import Viewer


class DropQueue(QObject):
    """Image layers inserted into a viewer while the queue is open.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are watched.
    """

    next_wanted = Signal()
    """An image may be waiting; whoever is free takes it."""

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.is_open = False
        self._waiting: deque[Image] = deque()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.next_wanted)
        viewer.layers.events.inserted.connect(self._take_inserted)

    def open(self, is_open: bool) -> None:
        """Take in what is inserted from now on, or no more."""
        self.is_open = is_open

    @property
    def is_waiting(self) -> bool:
        """Whether images wait."""
        return bool(self._waiting)

    def take(self) -> Image | None:
        """The next image that is still in the viewer."""
        while self._waiting:
            layer = self._waiting.popleft()
            if layer in self.viewer.layers:
                return layer
        return None

    def ask(self) -> None:
        """Announce the next image once Qt is free again."""
        # The layer's own metadata is completed by others that listen to the same event.
        self._timer.start()

    def clear(self) -> None:
        """Forget the images that wait."""
        self._waiting.clear()

    def close_down(self) -> None:
        """Follow the viewer no longer."""
        self.clear()
        self.viewer.layers.events.inserted.disconnect(self._take_inserted)

    def _take_inserted(self, event: Any) -> None:
        layer = event.value
        if self.is_open and isinstance(layer, Image) and is_users(layer):
            self._waiting.append(layer)
            self.ask()
