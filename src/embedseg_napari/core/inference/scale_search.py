"""The scale of an image, found by trying: at the right one most objects stay where they are in its mirror image.

A model knows objects of some size in pixels. Shown larger or smaller ones it splits, merges or misses them, and does so
differently in the mirror image, for nothing in what it learned says how. How sure it is says less: objects that it
misses do not make it unsure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.config import SCALES
from embedseg_napari.core.data.normalization import Prepared
from embedseg_napari.core.evaluation.matching import overlaps
from embedseg_napari.core.events import Advice
from embedseg_napari.core.inference.trial import Trial, busiest, certainty

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.networks.network import Trained

STEP = math.sqrt(2)
"""From one scale that is tried to the next."""
MOST_STEPS = 3
"""Up, and down."""
MOST_PIXELS = {2: 1 << 20, 3: 5 << 17}
"""Pixels that the network is shown at one scale: about a hundred nuclei of a volume, four hundred of an image."""
SAME = 0.5
"""IoU above which an object of the image and one of its mirror image are the same; at 1 the object counts fully."""
CLEARLY_MORE, FEWEST_MORE = 1.2, 1.0
"""How many times as many objects must stay at another scale, and how many more (`docs/results.md`)."""
KEPT_CERTAINTY = 0.75
"""Part of its certainty that the model must keep at another scale."""
KNOWN = {2: 0.6, 3: 0.1}
"""Certainty of a model that knows the objects as they are; no other scale is tried then."""


@dataclass(frozen=True, slots=True)
class FoundScale:
    """The scale at which most objects stay."""

    scale: float
    before: float
    """The one that was given."""
    n_stable: float
    n_stable_before: float
    """Objects that stay at the found scale and at the one tried before it, in the same part of the image."""

    def advice(self, before: str = "") -> Advice:
        """Words for it where it was only tried, after a sentence on what was found."""
        scale = f"{self.scale:.2g}"
        seen = (
            f"{before} At the scale {scale} {self.n_stable:.0f} objects of a part of the image are found in its mirror "
            f"image too, instead of {self.n_stable_before:.0f}"
        ).strip()
        text, changes = f"{seen}: try the scale {scale}.", {"scale": self.scale}
        return Advice(text, "warning", f"Use scale {scale}", changes=changes, observed=f"{seen}.")

    @property
    def words(self) -> str:
        """One sentence."""
        if self.scale == self.before:
            return f"Scale {self.scale:.2g} is kept: at no other are clearly more objects found in the mirror image too."
        return (
            f"Scale {self.scale:.2g} is taken instead of {self.before:.2g}: there {self.n_stable:.0f} objects of a "
            f"part of the image are found in its mirror image too, not {self.n_stable_before:.0f}."
        )


def find_scale(
    model: Trained, settings: PredictionConfig, image: Prepared, should_stop: Callable[[], bool]
) -> FoundScale:
    """Try larger and smaller scales than that of the settings on a part of an image.

    Neighbouring scales are compared on the same part, the larger as long as clearly more objects stay there, then the
    smaller.

    Parameters
    ----------
    model : Model
        Network and what belongs to it.
    settings : PredictionConfig
        With the scale to begin with, and the thresholds.
    image : Prepared
        One frame, ready for the network.
    should_stop : callable
        As for a prediction.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    first = FoundScale(settings.scale, settings.scale, 0, 0)
    for step in (STEP, 1 / STEP):
        found, n_known = first, 0.0
        for power in range(1, MOST_STEPS + 1):
            scale = float(f"{settings.scale * step**power:.2g}")
            if not SCALES[0] <= scale <= SCALES[1]:
                break
            part = _part(model, image, max(scale, found.scale))
            n_before, sure_before = _stability(model, settings, part, found.scale, should_stop)
            if sure_before >= KNOWN[model.config.ndim]:
                break
            n, sure = _stability(model, settings, part, scale, should_stop)
            n_known = max(n_known, n_before, n)
            is_better = n >= max(CLEARLY_MORE * n_before, n_before + FEWEST_MORE)
            if is_better and sure >= KEPT_CERTAINTY * sure_before:
                found = FoundScale(scale, settings.scale, n, n_before)
            elif n_known >= FEWEST_MORE:
                break
        if found.scale != settings.scale:
            return found
    return first


def _part(model: Trained, image: Prepared, scale: float) -> Prepared:
    """The busiest part of an image that is quickly tried at a scale: a square or cube, as far as the image goes."""
    ndim = model.config.ndim
    most = MOST_PIXELS[ndim] / (model.config.reference_scale * scale) ** ndim
    side, left = 0.0, len(image.shape)
    # What a short axis does not use the longer ones share.
    for n in sorted(image.shape):
        side = max(side, most ** (1 / left))
        most, left = most / min(n, side), left - 1
    return Prepared.as_given(image.values(busiest(image, [max(8, int(side))] * ndim)))


def _stability(
    model: Trained, settings: PredictionConfig, part: Prepared, scale: float, should_stop: Callable[[], bool]
) -> tuple[float, float]:
    """Objects found in a part that are found in its mirror image too, and how certain the model is."""
    mirrored = Prepared.as_given(np.ascontiguousarray(_mirrored(part.values(), part.shape)))
    one, other = (Trial.of(model, settings, image, scale, should_stop) for image in (part, mirrored))
    iou = overlaps(one.found.labels, _mirrored(other.found.labels, part.shape)).iou
    return float(((iou[iou > SAME] - SAME) / (1 - SAME)).sum()), certainty(one.maps.seed_map)


def _mirrored(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Reversed along all axes of space."""
    return np.flip(array, tuple(range(-len(shape), 0)))
