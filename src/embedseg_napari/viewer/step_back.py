"""Layers that step back for a while, so that what lies over them is seen, and come back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from embedseg_napari.viewer.layers import (
    ANNOTATION,
    FOUND,
    LINES,
    PREVIEW,
    RESULT,
    SEGMENTED,
    is_users,
    shows_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import LayerList
    from napari.layers import Layer


def shows_found(layer: Layer) -> bool:
    """Whether a layer shows objects that a segmentation found, or their tracks."""
    return layer.metadata.get(RESULT) in (FOUND, LINES) and shows_objects(layer)


def is_drawn(layer: Layer) -> bool:
    """Whether a layer shows what was annotated, or a preview."""
    return ANNOTATION in layer.metadata or layer.metadata.get(RESULT) == PREVIEW


def shows_objects_or_drawn(layer: Layer) -> bool:
    """Whether a layer shows objects, also those of a preview, or what was annotated as a region."""
    return is_drawn(layer) or shows_objects(layer)


def meet(one: Layer, other: Layer) -> bool:
    """Whether two layers lie at the same place of the plane."""
    (low, high), (other_low, other_high) = (np.asarray(layer.extent.world)[:, -2:] for layer in (one, other))
    return bool((low < other_high).all() and (other_low < high).all())


def bring_up(layers: LayerList, image: Layer) -> None:
    """Bring an image above others that cover it, with what was found in it; what was found in others goes below it."""
    own = str(image.unique_id)
    below, above = list(layers)[: layers.index(image)], list(layers)[layers.index(image) + 1 :]
    for layer in reversed(below):
        if layer.metadata.get(SEGMENTED) == own:
            layers.move(layers.index(layer), layers.index(image) + 1)
    for layer in above:
        of = layer.metadata.get(SEGMENTED)
        covers = (isinstance(layer, Image) and is_users(layer) and _hides(layer)) if of is None else of != own
        if covers and meet(layer, image):
            layers.move(layers.index(layer), layers.index(image))


def _hides(image: Image) -> bool:
    """Whether nothing would be seen below an image."""
    return image.opacity == 1 and not str(image.blending).startswith(("additive", "minimum", "multiplicative"))


ASIDE = "embedseg-aside"
"""Key in the metadata of layers that are hidden because another panel shows something at their place."""


def give_way(layers: Iterable[Layer]) -> list[Layer]:
    """Hide those of these layers that are seen, until their panel lets them :func:`take_place`; those that were."""
    hidden = [layer for layer in layers if layer.visible]
    for layer in hidden:
        layer.metadata[ASIDE], layer.visible = True, False
    return hidden


def take_place(layers: Iterable[Layer]) -> list[Layer]:
    """Show those of these layers again that gave way; those that did."""
    back = [layer for layer in layers if layer.metadata.pop(ASIDE, False)]
    for layer in back:
        layer.visible = True
    return back


class Hidden:
    """Layers that are hidden for now, or those that are shown for now.

    Parameters
    ----------
    visible : bool
        What the layers are meanwhile.
    """

    def __init__(self, visible: bool = False) -> None:
        self._visible = visible
        self._layers: list[Layer] = []

    def __len__(self) -> int:
        """Number of layers that are hidden now."""
        return len(self._layers)

    def hold(self, layers: Iterable[Layer]) -> None:
        """Hide these layers too; those that the user has shown again since they were hidden stay."""
        for layer in list(layers):
            if layer not in self._layers and layer.visible != self._visible:
                self._layers.append(layer)
                layer.visible = self._visible

    def release(self) -> None:
        """Let all of them be as they were."""
        layers, self._layers = self._layers, []
        for layer in layers:
            layer.visible = not self._visible


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
