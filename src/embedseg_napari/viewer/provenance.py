"""Which prediction a Labels layer shows: as long as the layer lives, its maps are at hand for other thresholds."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels

    from embedseg_napari.core.inference.added_region import Placed
    from embedseg_napari.core.inference.segmentation import Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where the labels of a layer come from."""

    segmentation: Segmentation
    model_path: Path
    """File of the model that made it; of several, the last."""
    parts: tuple[Placed, ...] = ()
    """What it was put together from, the latest last, placed in its labels; none where one run found all."""

    @property
    def has_maps(self) -> bool:
        """Whether its maps were kept; those of what was put together are not."""
        return all(one.kept_maps is not None for one in self.segmentation.frames or (self.segmentation,))


class News:
    """Tells panels that a layer got a segmentation."""

    remembered = Signal()


news = News()
"""The one that all panels share."""

_origins: weakref.WeakKeyDictionary[Labels, Origin] = weakref.WeakKeyDictionary()


def remember(layer: Labels, segmentation: Segmentation, model_path: Path, parts: tuple[Placed, ...] = ()) -> None:
    """Keep the segmentation that a layer shows, instead of an earlier one."""
    _origins[_itself(layer)] = Origin(segmentation, model_path, parts)
    news.remembered.emit()


def _itself(layer: Labels) -> Labels:
    """The layer behind the short-lived proxy that plugins get from napari."""
    return getattr(layer, "__wrapped__", layer)


def origin_of(layer: Labels | None) -> Origin | None:
    """The segmentation that a layer shows, if a panel made it."""
    return None if layer is None else _origins.get(_itself(layer))


def maps_of(layer: Labels | None) -> Origin | None:
    """The same, if its maps are at hand."""
    origin = origin_of(layer)
    return origin if origin is not None and origin.has_maps else None
