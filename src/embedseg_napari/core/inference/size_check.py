"""Whether objects have a size that the model knows, and at which scale it would be surer of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.config import SCALES
from embedseg_napari.core.data.normalization import Prepared
from embedseg_napari.core.events import Message
from embedseg_napari.core.inference.network_pass import NetworkPass
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.inference.tiling import resolve_tile
from embedseg_napari.core.runs import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.networks.network import Trained

OTHER_SCALE = 1.5
"""Pixels that differ in size from those in training by more than this factor are worth a word."""
SURE, DOUBTFUL = 0.9, (0.2, 0.8)
"""Seediness of pixels that are clearly object, and of those in doubt."""
FACTORS = (1.0, 0.35, 0.5, 0.7, 1.4, 2.0, 2.8)
"""Scales that are tried, as parts of the present one."""
LEAST_CERTAINTY, CLEARLY = 0.4, 1.5
"""Certainty at a scale that is suggested, and how many times as much as now it must be (`docs/performance.md`)."""
FEW_OBJECTS = 3
"""With fewer, certainty says nothing."""
PART = {2: (512, 512), 3: (48, 128, 128)}
"""Pixels of the part that scales are tried on."""
MOST_PIXELS = 1 << 21
"""Pixels that the network is shown at one scale."""
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


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A scale at which a model is surer of what it sees, and how sure: parts of what may be objects, from 0 to 1."""

    scale: float
    certainty: float
    certainty_now: float


def certainty(seed_map: NDArray[np.float32]) -> float:
    """Part of the pixels that are clearly object, among those and the pixels in doubt; 0 where there are none.

    Parameters
    ----------
    seed_map : ndarray
        Seediness, from 0 to 1.
    """
    n_sure, n_doubtful = (seed_map > SURE).sum(), ((seed_map > DOUBTFUL[0]) & (seed_map < DOUBTFUL[1])).sum()
    return float(n_sure / (n_sure + n_doubtful + max(1.0, 1e-3 * seed_map.size)))


def suggest_scale(
    model: Trained, settings: PredictionConfig, image: Prepared, should_stop: Callable[[], bool]
) -> Suggestion | None:
    """Try other scales on a part of an image, and return the one at which the model is clearly surer, or None.

    The size of pixels says little: models know objects in pixels, and those of another specimen may have any size.
    Objects found say little too: a network splits what is too large for it into pieces of the size that it knows.

    Parameters
    ----------
    model : Model
        Network and what belongs to it.
    settings : PredictionConfig
        With the scale that the others are compared with.
    image : Prepared
        The image, ready for the network.
    should_stop : callable
        As for a prediction.
    """
    config, part = model.config, _busiest_part(image)
    tried: dict[float, float] = {}
    for factor in FACTORS:
        scale = float(f"{settings.scale * factor:.2g}") if factor != 1 else settings.scale
        n_pixels = math.prod(part.shape) * (config.reference_scale * scale) ** config.ndim
        if factor != 1 and not (SCALES[0] <= scale <= SCALES[1] and n_pixels <= MOST_PIXELS):
            continue
        tile, overlap = resolve_tile(config.ndim, None, None)
        plan = NetworkPass(model.network, config, part.shape, tile, overlap, settings.precision, False, scale)
        maps = drain(plan.run(part, 0, should_stop))
        n_objects = len(Segmentation.collect(maps, settings, should_stop).scores)
        tried[scale] = certainty(maps.seed_map) if n_objects >= FEW_OBJECTS else 0.0
    now = tried[settings.scale]
    best = max(tried, key=tried.__getitem__)
    if best == settings.scale or tried[best] < max(LEAST_CERTAINTY, CLEARLY * now):
        return None
    return Suggestion(best, tried[best], now)


def _busiest_part(image: Prepared) -> Prepared:
    """The part of an image, normalised, in which intensities differ most."""
    sides = [min(n, side) for n, side in zip(image.shape, PART[len(image.shape)], strict=True)]
    starts = [
        sorted({*range(0, n - side + 1, max(1, side // 2)), n - side})
        for n, side in zip(image.shape, sides, strict=True)
    ]
    windows = [
        tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*starts)
    ]

    def spread(window: tuple[slice, ...]) -> float:
        # Every third pixel is enough.
        values = image.values(tuple(slice(side.start, side.stop, 3) for side in window))
        return float(values.std())

    return Prepared.as_given(image.values(max(windows, key=spread)))


def size_message(
    config: ModelConfig,
    frames: Sequence[np.ndarray],
    scale: float,
    spacing: Sequence[float] | None = None,
    suggestion: Suggestion | None = None,
) -> Message | None:
    """What there is to say of sizes, or None. Only a scale that was tried is ever named.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    frames : sequence of ndarray of int, shape ((Z,) Y, X)
        Labels found.
    scale : float
        Factor by which images were resized, beyond what the model always does.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x) in the unit of the model's.
    suggestion : Suggestion, optional
        Of `suggest_scale`.
    """
    facts = [fact for fact in (_other_objects(config, frames, scale), _other_pixels(config, spacing, scale)) if fact]
    if suggestion is not None:
        now, then = (f"{100 * part:.0f} %" for part in (suggestion.certainty_now, suggestion.certainty))
        facts.append(
            f"Of what may be objects, the model is sure of {now} as it is and of {then} at the scale "
            f"{suggestion.scale:.2g} (tried on a part of the image): try the scale {suggestion.scale:.2g}."
        )
    elif facts:
        facts.append("If objects are missed or split, train a model on such images.")
    return Message(" ".join(facts), "warning") if facts else None


def _other_objects(config: ModelConfig, frames: Sequence[np.ndarray], scale: float) -> str:
    """A sentence if the objects found are far from those in training."""
    sizes = config.object_sizes
    widths = [width for labels in frames if (width := usual_width(labels)) is not None]
    if not widths or len(sizes.mean) != config.ndim or min(sizes.mean) <= 0:
        return ""
    known = math.sqrt(sizes.mean[-1] * sizes.mean[-2])
    spread = math.sqrt(sizes.std[-1] * sizes.std[-2]) if len(sizes.std) == config.ndim else 0.0
    width = float(np.median(widths))
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
    there, here = (" x ".join(f"{step:.3g}" for step in steps) for steps in (config.spacing, spacing))
    return f"The model was trained on pixels of {there} {config.spacing_unit or ''}".rstrip() + f", these are {here}."
