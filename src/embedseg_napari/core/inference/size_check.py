"""Whether objects and pixels have a size that the model knows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.runs import runs_of
from embedseg_napari.core.files.units import unit_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import ModelConfig

OTHER_SCALE = 1.5
"""Pixels that differ in size from those in training by more than this factor are worth a word."""
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
    starts, values, lengths = runs_of(labels)
    inside = np.flatnonzero(values > 0)
    ids, row = np.unique(values[inside], return_inverse=True)
    *_, y, x = np.unravel_index(starts[inside], labels.shape)
    lower, upper = np.full((2, len(ids)), max(labels.shape)), np.zeros((2, len(ids)), np.int64)
    for axis, (first, after) in enumerate(((y, y + 1), (x, x + lengths[inside]))):
        np.minimum.at(lower[axis], row, first)
        np.maximum.at(upper[axis], row, after)
    is_whole = ((lower > 0) & (upper < np.array(labels.shape[-2:])[:, None])).all(0)
    widths = np.sqrt((upper - lower)[:, is_whole].prod(0))
    return float(np.median(widths)) if len(widths) >= LEAST_OBJECTS else None


def size_facts(
    config: ModelConfig, widths: Sequence[float | None], scale: float, spacing: Sequence[float] | None = None
) -> list[str]:
    """Sentences on sizes that are far from those in training.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    widths : sequence of float or None
        `usual_width` of the labels of each frame.
    scale : float
        Factor by which images were resized, beyond what the model always does.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x) in the unit of the model's.
    """
    return [fact for fact in (_other_objects(config, widths, scale), _other_pixels(config, spacing, scale)) if fact]


def _other_objects(config: ModelConfig, widths: Sequence[float | None], scale: float) -> str:
    """A sentence if the objects found are far from those in training."""
    sizes = config.object_sizes
    known_widths = [width for width in widths if width is not None]
    if not known_widths or len(sizes.mean) != config.ndim or min(sizes.mean) <= 0:
        return ""
    known = math.sqrt(sizes.mean[-1] * sizes.mean[-2])
    spread = math.sqrt(sizes.std[-1] * sizes.std[-2]) if len(sizes.std) == config.ndim else 0.0
    width = float(np.median(known_widths))
    # Widths spread like a log-normal distribution, of which mean and standard deviation are known.
    variance = math.log1p((spread / known) ** 2)
    distance = abs(math.log(width * scale / known) + variance / 2)
    if distance <= max(math.log(OTHER_SIZE), SPREAD * math.sqrt(variance)):
        return ""
    return f"The objects found are about {width:.0f} pixels wide, those the model learned {known:.0f} ± {spread:.0f}."


def _other_pixels(config: ModelConfig, spacing: Sequence[float] | None, scale: float) -> str:
    """A sentence if pixels are of another size than in training, as the network sees them."""
    if spacing is None or config.spacing is None or len(spacing) != config.ndim or min(spacing) <= 0:
        return ""
    seen = [step / scale for step in spacing]
    if max(max(a / b, b / a) for a, b in zip(seen, config.spacing, strict=True)) <= OTHER_SCALE:
        return ""
    there, here = (" x ".join(f"{step:.3g}" for step in steps) for steps in (config.spacing, seen))
    there = f"{there} {unit_words(config.spacing_unit)}".rstrip()
    these = "these" if scale == 1 else f"these, resized by {scale:.3g},"
    return f"The model was trained on pixels of {there}, {these} are {here}."
