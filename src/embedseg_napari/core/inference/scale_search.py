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
from skimage.metrics import contingency_table

from embedseg_napari.core.config import SCALES
from embedseg_napari.core.data.normalization import Prepared
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
CLEARLY_MORE = 1.2
"""How many times as many objects, or pixels of objects, must stay at another scale (`docs/results.md`)."""
KEPT_PIXELS = 0.9
"""Part of the pixels of objects that must stay at a larger scale, or what is more are pieces (`docs/choices.md`)."""
FEW = 2.0
"""With fewer objects that stay, nothing is known of a scale."""
LEAST_CERTAINTY, KEPT_CERTAINTY = 0.005, 0.5
"""Certainty that a model must have to say anything of a scale, and part of the present one that it must keep."""
KNOWN = {2: 0.6, 3: 0.1}
"""Certainty of a model that knows the objects as they are; no other scale is tried then."""


@dataclass(frozen=True, slots=True)
class FoundScale:
    """The scale at which most objects stay."""

    scale: float
    before: float
    """The one that was given."""

    def advice(self, before: str = "") -> Advice:
        """Words for it where it was only tried, after a sentence on what was found."""
        scale = f"{self.scale:.2g}"
        seen = (
            f"{before} At the scale {scale} more of what is found in a part of the image is found in its mirror image, "
            "too"
        ).strip()
        text, changes = f"{seen}: try the scale {scale}.", {"scale": self.scale}
        return Advice(text, "warning", f"Use scale {scale}", changes=changes, observed=f"{seen}.")

    @property
    def words(self) -> str:
        """One sentence."""
        if self.scale == self.before:
            return (
                f"Scale {self.scale:.2g} is kept: other scales that were tried on a part of the image are not better."
            )
        return (
            f"Scale {self.scale:.2g} is taken instead of {self.before:.2g}: at it more of what is found in a part of "
            "the image is found in its mirror image, too."
        )


def find_scale(
    model: Trained, settings: PredictionConfig, image: Prepared, should_stop: Callable[[], bool]
) -> FoundScale:
    """Try larger and smaller scales than that of the settings on a part of an image.

    Where the model knows the objects as they are, none is tried. Else neighbouring scales are compared on the same
    part: the larger as long as clearly more objects stay there, then the smaller.

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
    first = FoundScale(settings.scale, settings.scale)
    now = Trial.of(model, settings, _part(model, image, settings.scale), settings.scale, should_stop)
    if certainty(now.maps.seed_map) >= KNOWN[model.config.ndim]:
        return first
    for step in (STEP, 1 / STEP):
        found, is_known = first, False
        for power in range(1, MOST_STEPS + 1):
            scale = float(f"{settings.scale * step**power:.2g}")
            if not SCALES[0] <= scale <= SCALES[1]:
                break
            part = _part(model, image, max(scale, found.scale))
            before, after = (Stable.of(model, settings, part, one, should_stop) for one in (found.scale, scale))
            is_known = is_known or before.tells or after.tells
            if after.is_better_than(before, is_larger=step > 1):
                found = FoundScale(scale, settings.scale)
            elif is_known:
                break
        if found.scale != settings.scale:
            return found
    return first


@dataclass(frozen=True, slots=True)
class Stable:
    """Objects that are found in a part of an image and in its mirror image; each counts as far as the two agree."""

    n: float
    n_pixels: float
    certainty: float
    """Of the model."""

    @property
    def tells(self) -> bool:
        """Whether it says anything of a scale."""
        return self.n >= FEW and self.certainty >= LEAST_CERTAINTY

    def is_better_than(self, before: Stable, *, is_larger: bool) -> bool:
        """Whether clearly more stays than at another scale, of which this one is a larger, or a smaller one.

        Small objects are missed, and large ones found in pieces. So at a larger scale more objects are to stay; those
        that were there before are not to fall to pieces, which cover less. At a smaller one more pixels are to stay.
        """
        if not self.tells or self.certainty < KEPT_CERTAINTY * before.certainty:
            return False
        if is_larger:
            return self.n >= CLEARLY_MORE * before.n and self.n_pixels >= KEPT_PIXELS * before.n_pixels
        return self.n_pixels >= CLEARLY_MORE * before.n_pixels

    @classmethod
    def of(
        cls, model: Trained, settings: PredictionConfig, part: Prepared, scale: float, should_stop: Callable[[], bool]
    ) -> Stable:
        """Segment a part and its mirror image at a scale."""
        mirrored = Prepared.as_given(np.ascontiguousarray(_mirrored(part.values(), part.shape)))
        one, other = (Trial.of(model, settings, image, scale, should_stop) for image in (part, mirrored))
        shared = contingency_table(one.found.labels, _mirrored(other.found.labels, part.shape)).tocoo()
        sizes, mirrored_sizes = (np.asarray(shared.sum(axis)).ravel() for axis in (1, 0))
        is_pair = (shared.row > 0) & (shared.col > 0)
        row, column, n_shared = shared.row[is_pair], shared.col[is_pair], shared.data[is_pair]
        iou = n_shared / (sizes[row] + mirrored_sizes[column] - n_shared)
        agreement = np.clip((iou - SAME) / (1 - SAME), 0, None)
        return cls(float(agreement.sum()), float(agreement @ sizes[row]), certainty(one.maps.seed_map))


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


def _mirrored(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Reversed along all axes of space."""
    return np.flip(array, tuple(range(-len(shape), 0)))
