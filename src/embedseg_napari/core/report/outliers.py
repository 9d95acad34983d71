"""Images that stand out among those of a folder, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.report.entry import Entry

LEAST_IMAGES = 8
"""Fewer are too few to tell what is usual."""
MOST = 3.5
"""Robust z-score from which an image stands out, as Iglewicz and Hoaglin advise."""
MAD_OF_NORMAL = 0.6745
"""Median absolute deviation of a normal distribution with standard deviation 1."""
FEW_OBJECTS = 5
"""Of fewer, the share at the border says nothing."""
RARELY_EMPTY = 0.1
"""Where fewer images than this part have no objects, these stand out."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image stands out."""

    what: str
    """Such as ``"few objects"``."""
    words: str
    """Its value, and what is usual."""
    z: float
    """Robust z-score; infinite where the image has no objects and most have."""


@dataclass(frozen=True, slots=True)
class _Quality:
    low: str
    """What a low value means; empty where it is none to look at."""
    high: str
    value: Callable[[Entry], float | None]
    words: Callable[[float], str]
    least_scale: float
    """What counts as spread at least, so that nothing stands out among images that are nearly alike."""
    is_ratio: bool
    """Whether values are compared by their ratios."""


def number(value: float) -> str:
    """Write a number with three digits, and no exponent where it can be read without."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share."""
    return f"{100 * share:.0f} %"


def _border(entry: Entry) -> float | None:
    return entry.at_border if entry.objects and entry.objects.n >= FEW_OBJECTS else None


QUALITIES = (
    _Quality("few objects", "many objects", lambda e: e.n_objects, number, 0.1, True),
    _Quality("small objects", "large objects", lambda e: e.median_size, number, 0.1, True),
    _Quality("unsure", "", lambda e: e.score, lambda v: f"{v:.3f}", 0.005, False),
    _Quality("dark", "bright", lambda e: e.brightness, number, 0.1, True),
    _Quality("", "many objects at the border", _border, percent, 0.05, False),
)
UNITS = {
    "few objects": "objects",
    "many objects": "objects",
    "small objects": "pixels at the median",
    "large objects": "pixels at the median",
    "unsure": "mean score",
    "dark": "mean brightness",
    "bright": "mean brightness",
    "many objects at the border": "of the objects",
}


def outliers(entries: Sequence[Entry]) -> dict[int, list[Reason]]:
    """Which images stand out, those farthest from the others first, and why: the strongest reason of each first.

    Values are compared by robust z-scores: their distance from the median in units of the median absolute deviation;
    counts, sizes and brightness by ratios.

    Returns
    -------
    dict of int to list of Reason
        By place in `entries`; empty where there are too few images to compare.
    """
    found: dict[int, list[Reason]] = {}
    if len(entries) < LEAST_IMAGES:
        return found
    empty = {i for i, entry in enumerate(entries) if entry.objects and not entry.objects.n}
    if len(empty) < RARELY_EMPTY * len(entries):
        words = f"all but {len(empty)} of {len(entries)} images have some"
        found = {i: [Reason("no objects", words, -np.inf)] for i in empty}
    for quality in QUALITIES:
        for i, reason in _standing_out([quality.value(entry) for entry in entries], quality):
            if not (i in empty and reason.what == "few objects" and i in found):
                found.setdefault(i, []).append(reason)
    for reasons in found.values():
        reasons.sort(key=lambda reason: -abs(reason.z))
    return dict(sorted(found.items(), key=lambda item: -abs(item[1][0].z)))


def _standing_out(values: Sequence[float | None], quality: _Quality) -> list[tuple[int, Reason]]:
    places = [i for i, value in enumerate(values) if value is not None]
    known = np.array([value for value in values if value is not None], float)
    if len(known) < LEAST_IMAGES:
        return []
    is_ratio = quality.is_ratio and known.min() >= 0
    scaled = np.log(known + (known.min() == 0)) if is_ratio else known
    # Values that may be negative have no scale of their own to measure a least spread by.
    z = _robust_z(scaled, quality.least_scale if is_ratio or not quality.is_ratio else 0.0)
    lower, upper = (quality.words(float(value)) for value in np.quantile(known, (0.25, 0.75), method="nearest"))
    usual = f"half of the images have {lower} to {upper}" if lower != upper else f"most images have {lower}"
    found = []
    for i, value, distance in zip(places, known, z, strict=True):
        what = quality.low if distance < 0 else quality.high
        if what and abs(distance) >= MOST:
            words = f"{quality.words(float(value))} {UNITS[what]}; {usual} (robust z {distance:.1f})"
            found.append((i, Reason(what, words.replace("(robust z -", "(robust z \N{MINUS SIGN}"), float(distance))))
    return found


def _robust_z(values: NDArray[np.float64], least_scale: float) -> NDArray[np.float64]:
    away = values - np.median(values)
    scale = max(float(np.median(np.abs(away))) / MAD_OF_NORMAL, least_scale)
    z: NDArray[np.float64] = away / scale if scale else np.zeros_like(away)
    return z
