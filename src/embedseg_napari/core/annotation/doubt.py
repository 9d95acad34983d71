"""Which predicted objects a person should look at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from embedseg_napari.core.config import ObjectSizes
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps


@dataclass(frozen=True, slots=True)
class Doubt:
    """One place to look at."""

    label: int
    """Id in the segmentation; 0 for a missed object."""
    score: float
    """0 (sure) to 1 (surely wrong): roughly the probability that the object is wrong."""
    reasons: dict[str, float]
    """Terms of the score, each 0 to 1: ``"seed"``, ``"views"``, ``"contested"``, ``"size"``; or ``"missed"``."""
    center: tuple[float, ...]
    """Pixels (z, y, x)."""
    box: tuple[slice, ...]
    """Bounding box, axes (z, y, x)."""
    kind: Literal["object", "missed"] = "object"
    pixels: tuple[np.ndarray, ...] | None = None
    """Of a missed object: its indices, for `edits.paint_object` and `edits.paint_background`."""


def rank_doubt(
    segmentation: Segmentation,
    views: Sequence[EmbeddingMaps | np.ndarray] | None = None,
    reference_sizes: ObjectSizes | None = None,
    *,
    annotation: np.ndarray | None = None,
) -> list[Doubt]:
    """Rank predicted objects, and places where one may be missed, by doubt.

    Parameters
    ----------
    segmentation : Segmentation
        Of one image (no time-lapse), with its maps.
    views : sequence of EmbeddingMaps or label images, optional
        What the network makes of the same image seen otherwise, mapped back; see `disagreeing_views`.
    reference_sizes : ObjectSizes, optional
        Sizes that objects should have; default: the predicted ones among each other.
    annotation : ndarray of int, shape ((Z,) Y, X), optional
        Places that are mostly annotated already, as objects or background, are left out.

    Returns
    -------
    list of Doubt
        Most doubtful first.

    Raises
    ------
    SettingsError
        If the segmentation is a time-lapse or its maps were not kept.
    """
    raise NotImplementedError


def image_doubt(doubts: Sequence[Doubt]) -> float:
    """Return how doubtful a whole image is, 0 to 1: the next image to look at is the one with the largest."""
    raise NotImplementedError
