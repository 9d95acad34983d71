"""A box to choose a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from embedseg_napari.viewer.tiff_metadata import watch_layers
from embedseg_napari.viewer.widgets.boxes import ChoiceBox

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer


class LayerBox(ChoiceBox):
    """A list of the viewer's layers of one kind that follows additions, removals and new names.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are listed.
    kind : type of Layer
        Layers of this kind.
    nothing : str, optional
        First entry that stands for no layer.
    is_wanted : callable, optional
        Layers for which it returns False are not listed.
    """

    layer_changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        nothing: str | None = None,
        is_wanted: Callable[[Layer], bool] | None = None,
    ) -> None:
        super().__init__()
        self.viewer, self.kind, self.nothing, self.is_wanted = viewer, kind, nothing, is_wanted
        self.layers: list[Layer | None] = []
        self.chosen: Layer | None = None
        watch_layers(viewer)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self.refresh)
        self.currentIndexChanged.connect(self._choose)
        self.refresh()

    def disconnect_viewer(self) -> None:
        """Stop following the viewer."""
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.disconnect(self.refresh)

    def refresh(self, event: object = None) -> None:
        """List the layers anew, keeping the choice if it is still there."""
        layers: list[Layer | None] = [None] if self.nothing is not None else []
        layers += [
            layer
            for layer in reversed(self.viewer.layers)
            if isinstance(layer, self.kind) and (self.is_wanted is None or self.is_wanted(layer))
        ]
        names = [self.nothing if layer is None else layer.name for layer in layers]
        if layers == self.layers and names == [self.itemText(i) for i in range(self.count())]:
            return
        self.blockSignals(True)
        self.clear()
        self.layers = layers
        self.addItems([str(name) for name in names])
        if self.chosen in layers:
            self.setCurrentIndex(layers.index(self.chosen))
        self.blockSignals(False)
        self._choose()

    def _choose(self) -> None:
        now = self.layers[self.currentIndex()] if 0 <= self.currentIndex() < len(self.layers) else None
        # Equal, not the same: plugins get a proxy of each layer.
        if now is None or self.chosen is None or now != self.chosen:
            self.chosen = now
            self.layer_changed.emit()

    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.chosen

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer; one that is not listed is passed over."""
        if layer in self.layers:
            self.setCurrentIndex(self.layers.index(layer))
