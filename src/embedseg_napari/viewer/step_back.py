"""Layers that are fainter for a while, so that what lies over them is seen, and come back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer


class SteppedBack:
    """Layers whose opacity is lowered for now.

    Parameters
    ----------
    opacity : float
        Of layers that step back; fainter ones stay as they are.
    """

    def __init__(self, opacity: float) -> None:
        self.opacity = opacity
        self._earlier: list[tuple[Layer, float]] = []

    def hold(self, layers: Iterable[Layer]) -> None:
        """Let these layers be back, and no others: those of an earlier call come back."""
        wanted = list(layers)
        self._restore([layer for layer, _ in self._earlier if layer not in wanted])
        known = [layer for layer, _ in self._earlier]
        for layer in wanted:
            if layer not in known and layer.opacity > self.opacity:
                self._earlier.append((layer, layer.opacity))
                layer.opacity = self.opacity

    def release(self) -> None:
        """Bring all of them back; what the user has set meanwhile stays."""
        self._restore([layer for layer, _ in self._earlier])

    def _restore(self, layers: list[Layer]) -> None:
        for layer, earlier in self._earlier:
            if layer in layers and layer.opacity == self.opacity:
                layer.opacity = earlier
        self._earlier = [(layer, earlier) for layer, earlier in self._earlier if layer not in layers]
