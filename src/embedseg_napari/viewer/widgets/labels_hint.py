"""Says that an image layer holds labels, and turns it into a Labels layer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from embedseg_napari.core.data.flatness import looks_like_labels
from embedseg_napari.viewer.as_labels import turn_into_labels
from embedseg_napari.viewer.layers import array_of, is_users
from embedseg_napari.viewer.widgets.boxes import Sentence, button
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.viewer.worker import BackgroundRun

logger = logging.getLogger(__name__)


class LabelsHint(QWidget):
    """A sentence and a button; hidden where a layer shows an image.

    Parameters
    ----------
    viewer : Viewer
        That holds the layer.
    """

    changed = Signal()
    """It speaks of another layer, or of none."""
    converted = Signal(object)
    """The Labels layer that came in the place of an image."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.layer: Image | None = None
        self._run: BackgroundRun | None = None
        self._is_wanted: Callable[[], bool] | None = None
        self.sentence = Sentence()
        self.button = button("Turn it into labels", "Make it a Labels layer, in the same place.", self.convert)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.button)
        self.hide()

    def look_at(self, layer: Image | None) -> None:
        """Say it of a layer that holds labels."""
        planes = None if layer is None else _planes(layer)
        if self._run is not None:
            self._run.detach()
            self._run = None
        if planes is None or isinstance(planes, np.ndarray):
            self._show(layer if planes is not None and looks_like_labels(planes) else None)
            return
        # What is read from a disk or computed is not waited for.
        self._show(None)

        def look(should_stop: Callable[[], bool]) -> Generator[None, None, bool]:
            yield None
            return looks_like_labels(planes)

        def take(is_labels: bool) -> None:
            self._show(layer if is_labels and layer in self.viewer.layers else None)

        self._run = run_in_background(look, on_result=take, on_error=_pass_over)

    def watch(self, is_wanted: Callable[[], bool]) -> None:
        """Say it also of other image layers, those there are and those that come, while labels are wanted."""
        self._is_wanted = is_wanted
        self.viewer.layers.events.inserted.connect(self._take_inserted)
        self.viewer.layers.events.removed.connect(self._take_removed)
        for layer in reversed(self.viewer.layers):
            self._notice(layer)

    def _notice(self, layer: Layer) -> None:
        is_open = self.layer is None and self._is_wanted is not None and self._is_wanted()
        if is_open and isinstance(layer, Image) and is_users(layer):
            self.look_at(layer)

    def _take_inserted(self, event: Any) -> None:
        self._notice(event.value)

    def _take_removed(self, event: Any) -> None:
        if event.value == self.layer:
            self._show(None)

    def close_down(self) -> None:
        """Look at nothing any longer."""
        if self._is_wanted is not None:
            self._is_wanted = None
            self.viewer.layers.events.inserted.disconnect(self._take_inserted)
            self.viewer.layers.events.removed.disconnect(self._take_removed)
        if self._run is not None:
            self._run.detach()
            self._run = None

    def _show(self, layer: Image | None) -> None:
        is_new, self.layer = layer != self.layer, layer
        if layer is not None:
            self.sentence.setText(f"{layer.name} looks like labels or a mask, not like an image.")
        self.setVisible(layer is not None)
        if is_new:
            self.changed.emit()

    def convert(self) -> None:
        """Put a Labels layer in the place of the layer."""
        layer = self.layer
        if layer is None or layer not in self.viewer.layers:
            return
        self.look_at(None)
        labels = turn_into_labels(self.viewer, layer)
        self.converted.emit(labels)


def _pass_over(error: Exception) -> None:
    """A layer whose pixels cannot be read says so where it is used."""
    logger.info("Whether a layer holds labels was not found out: %s", error)


def _planes(layer: Image) -> Any:
    """The pixels of a layer as planes; None where its colours differ, so that it shows a picture."""
    array = array_of(layer)
    if not layer.rgb:
        return array
    colours = np.asarray(array[..., :3]) if isinstance(array, np.ndarray) else None
    is_grey = colours is not None and bool((colours == colours[..., :1]).all())
    return array[..., 0] if is_grey else None
