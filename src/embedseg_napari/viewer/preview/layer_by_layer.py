"""Shows a preview one layer at a time: napari takes a while for each, and the viewer answers in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtCore import QObject

    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.viewer.preview.preview import TrainingView

PAUSE = 20
"""Milliseconds between two layers, in which the canvas is drawn and the user is heard."""


class LayerByLayer(QTimer):
    """Shows previews in a view, and takes them away.

    Parameters
    ----------
    view : TrainingView
        What shows them.
    on_layer : callable, optional
        Called after each layer.
    parent : QObject
        The panel.
    """

    def __init__(self, view: TrainingView, parent: QObject, on_layer: Callable[[], object] = lambda: None) -> None:
        super().__init__(parent)
        self.view, self.on_layer = view, on_layer
        self._steps: Iterator[None] = iter(())
        self.setInterval(PAUSE)
        self.timeout.connect(self._go_on)

    def show(self, event: PreviewReady) -> None:
        """Show a preview; what is not shown yet of an earlier one is left out."""
        self._begin(self.view.steps(event))

    def end(self) -> None:
        """Show the rest at once, then take all layers away."""
        self.finish()
        self._begin(self.view.end_steps())

    def _begin(self, steps: Iterator[None]) -> None:
        self._steps = steps
        self._go_on()
        self.start()

    def finish(self) -> None:
        """Do at once what is left to do."""
        while self.isActive():
            self._go_on()

    def cancel(self) -> None:
        """Leave out the rest."""
        self.stop()
        self._steps = iter(())

    def _go_on(self) -> None:
        try:
            next(self._steps)
        except StopIteration:
            self.stop()
        self.on_layer()
