"""Whether the objects found are of a size that the model knows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.config import SCALES
from embedseg_napari.core.events import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import ModelConfig

LEAST_OBJECTS = 5
"""Fewer say nothing."""
OTHER_SIZE = 1.8
"""Objects whose usual width differs from that in training by more than this factor are worth a warning, unless sizes in
training spread wider."""
SPREAD = 2.5
"""Standard deviations of the logarithm of width that the usual objects of an image may lie from those in training; sets
of many kinds of images, such as dsb2018 with nuclei of 9 to 65 pixels, have some that far out."""


def usual_width(labels: np.ndarray) -> float | None:
    """Median over objects of their width: the root of extent along Y times extent along X, in pixels.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Objects that the border cuts are left out.

    Returns
    -------
    float or None
        None where there are too few objects.
    """
    from scipy.ndimage import find_objects

    widths = []
    for box in find_objects(labels):
        if box is None:
            continue
        plane = list(zip(box, labels.shape, strict=True))[-2:]
        if all(side.start > 0 and side.stop < n for side, n in plane):
            widths.append(math.sqrt(math.prod(side.stop - side.start for side, _ in plane)))
    return float(np.median(widths)) if len(widths) >= LEAST_OBJECTS else None


def compare_sizes(config: ModelConfig, frames: Sequence[np.ndarray], scale: float) -> Message | None:
    """A warning if the objects found are far from those in training, or None.

    Parameters
    ----------
    config : ModelConfig
        Of the model; without object sizes there is nothing to compare.
    frames : sequence of ndarray of int, shape ((Z,) Y, X)
        Labels.
    scale : float
        Factor by which images were resized, beyond what the model always does.
    """
    sizes = config.object_sizes
    widths = [width for labels in frames if (width := usual_width(labels)) is not None]
    if not widths or len(sizes.mean) != config.ndim or min(sizes.mean) <= 0:
        return None
    known = math.sqrt(sizes.mean[-1] * sizes.mean[-2])
    spread = math.sqrt(sizes.std[-1] * sizes.std[-2]) if len(sizes.std) == config.ndim else 0.0
    width = float(np.median(widths))
    # Widths spread like a log-normal distribution, of which mean and standard deviation are known.
    variance = math.log1p((spread / known) ** 2)
    distance = abs(math.log(width * scale / known) + variance / 2)
    if distance <= max(math.log(OTHER_SIZE), SPREAD * math.sqrt(variance)):
        return None
    return Message(
        f"The objects found are about {width:.0f} pixels wide, those the model learned {known:.0f} ± {spread:.0f}. "
        f"If they are wrong,{scale_advice(known / width)} train a model on such images.",
        "warning",
    )


def scale_advice(scale: float) -> str:
    """Words that name a scale to try, if it changes anything and the setting takes it."""
    is_of_use = SCALES[0] <= scale <= SCALES[1] and abs(math.log(scale)) > math.log(1.1)
    return f" try the scale {scale:.2g}, or" if is_of_use else ""
