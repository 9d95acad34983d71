"""Which prediction a Labels layer shows: as long as the layer lives, its maps are at hand for other thresholds."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels

    from embedseg_napari.core.inference.segmentation import Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where the labels of a layer come from."""

    segmentation: Segmentation
    model_path: Path
    """File of the model that made it."""


class News:
    """Tells panels that a layer got a segmentation."""

    remembered = Signal()


news = News()
"""The one that all panels share."""

_origins: weakref.WeakKeyDictionary[Labels, Origin] = weakref.WeakKeyDictionary()


def remember(layer: Labels, segmentation: Segmentation, model_path: Path) -> None:
    """Keep the segmentation that a layer shows, instead of an earlier one."""
    _origins[_itself(layer)] = Origin(segmentation, model_path)
    news.remembered.emit()


def forget(layer: Labels) -> None:
    """Keep no segmentation for a layer that shows more than one run found."""
    if _origins.pop(_itself(layer), None) is not None:
        news.remembered.emit()


def _itself(layer: Labels) -> Labels:
    """The layer behind the short-lived proxy that plugins get from napari."""
    return getattr(layer, "__wrapped__", layer)


def origin_of(layer: Labels | None) -> Origin | None:
    """The segmentation that a layer shows, if a panel made it and its maps were kept."""
    return None if layer is None else _origins.get(_itself(layer))
