"""Links that were corrected by hand, kept with the labels that were linked: they outlast the panel."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Labels, Layer


class KeptLinks:
    """What was corrected in the links of a Labels layer.

    Parameters
    ----------
    layer : Labels
        The layer that was linked.
    """

    def __init__(self, layer: Labels) -> None:
        self.corrections: tuple[dict[str, Any], ...] = ()
        """As `Tracks.corrections` has them."""
        self.in_file: tuple[dict[str, Any], ...] = ()
        """Those that are in a file."""
        self.is_stale = False
        """Whether other objects were found in the layer since."""
        self._shown: tuple[weakref.ReferenceType[Layer], ...] = ()
        # Napari keeps no more than a weak reference to who listens.
        layer.events.data.connect(self._take_other_objects)

    def _take_other_objects(self, event: object = None) -> None:
        self.is_stale = True

    def begin(self, corrections: Sequence[dict[str, Any]]) -> None:
        """The objects that are there now were linked, and corrected like this."""
        self.corrections, self.is_stale = tuple(corrections), False

    @property
    def would_be_lost(self) -> bool:
        """Whether there are corrections that no file holds."""
        return self.corrections not in ((), self.in_file)

    def take_shown(self, layers: Iterable[Layer | None] = ()) -> list[Layer]:
        """Remember which layers show the tracks, instead of those before, which are returned."""
        before = [layer for one in self._shown if (layer := one()) is not None]
        self._shown = tuple(weakref.ref(_itself(layer)) for layer in layers if layer is not None)
        return before


_kept: weakref.WeakKeyDictionary[Labels, KeptLinks] = weakref.WeakKeyDictionary()


def kept_links(layer: Labels) -> KeptLinks:
    """What is kept with a layer."""
    layer = _itself(layer)
    if layer not in _kept:
        _kept[layer] = KeptLinks(layer)
    return _kept[layer]


def _itself(layer: Any) -> Any:
    """The layer behind the short-lived proxy that plugins get from napari."""
    return getattr(layer, "__wrapped__", layer)
