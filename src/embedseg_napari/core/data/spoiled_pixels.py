"""Pixels that show nothing of the sample: hot pixels, cosmic rays, dead lines, values that are no numbers, padding."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.percentiles import percentiles
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SAMPLE = 1 << 24
"""Images with more pixels per channel are measured on a regular subsample of about this many."""
FAR = 3.0
"""Ranges of the image by which a pixel differs from those around it if it is no part of what is seen."""
LINE_DIFFERS = 0.25
"""Ranges by which a line of pixels differs from its neighbours if it is dead or hot."""
WHOLE_LINE = 0.95
"""Part of such a line that differs to the same side; what the sample shows does not go that straight."""
WIDEST_LINE, AROUND = 3, 7
"""Lines side by side that may be dead, and lines that they are compared with."""
MOST_LINES = WIDEST_LINE / AROUND
"""Part of the lines beyond which they are what is to be seen."""
CUT = 4
"""Pixels at which a line of one value differs from its neighbours on both sides if it cuts through what is seen."""
LONG_ENOUGH = 16
"""Lines, and pixels on each, from which on that is no chance."""
MOST_BRIGHT = 0.05
"""Part of an image beyond which very bright pixels are what is to be seen."""
DARK, BRIGHT, BETWEEN = 0.25, 0.5, 0.02
"""Very bright pixels are no part of the sample (a scale bar, light at a corner) if all others are below the first part
of the brightest, and hardly any, compared with them, between it and the second: what a lens shows has edges."""
LEAST_RELATED = 0.3
"""Correlation of neighbouring pixels from which on the others show more than noise."""
CORRELATED = 1 << 20
"""Pixels, in whole rows, that this is measured on."""
PER_LINE = 512
"""Pixels of each line that are looked at."""
AT_CORNER = 8
"""Pixels along each axis, at a corner, that are alike where an image is padded with another value than 0."""
LEAST_PADDING = 0.01
"""Part of the image below which padding does no harm."""
SOLID, LARGE = 0.99, 0.3
"""Part of its bounding box that the image within padding fills, or of the whole; objects on a background that was set
to zero do neither."""

SLAB = 1 << 22
"""Pixels of a large image that are counted at a time."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """How much of one or more images shows nothing of the sample."""

    n_not_finite: int = 0
    """Values that are no numbers, or infinite."""
    n_far: int = 0
    """Single values far from all around them."""
    n_glare: int = 0
    """Values of sharp spots that are far brighter than all else."""
    n_lines: int = 0
    """Rows, columns or planes that are dead or hot."""
    n_padding: int = 0
    """Pixels of one value around the image proper."""

    def __add__(self, other: Spoiled) -> Spoiled:
        return Spoiled(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        """Sentences for the user; empty where nothing is spoiled."""
        kinds = [
            (self.n_not_finite, "value that is no finite number", "values that are no finite numbers"),
            (self.n_far, "hot or dead pixel", "hot or dead pixels"),
            (self.n_glare, "pixel of glare", "pixels of glare"),
            (self.n_lines, "dead or hot line", "dead or hot lines"),
        ]
        found = [f"{n} {one if n == 1 else many}" for n, one, many in kinds if n]
        sentences = [f"Taken as missing, and filled in from around: {', '.join(found)}."] if found else []
        if self.n_padding:
            sentences.append(f"{count(self.n_padding, 'pixel')} of one value around the image taken as padding.")
        return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class Mended:
    """An image whose spoiled pixels are filled in.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        The array that was given if nothing is missing.
    outside : ndarray of bool, shape (C, (Z,) Y, X), or None
        Padding, and larger parts of a channel that show nothing.
    found : Spoiled
        What was found.
    """

    image: np.ndarray
    outside: NDArray[np.bool_] | None = None
    found: Spoiled = Spoiled()


def sample(channel: np.ndarray) -> np.ndarray:
    """A regular subsample of a channel, of as many axes."""
    step = max(1, round((channel.size / SAMPLE) ** (1 / channel.ndim)))
    return channel[(slice(None, None, step),) * channel.ndim]


def mend(image: np.ndarray, low: float, high: float, *, numbers_only: bool = False) -> Mended:
    """Find pixels that show nothing of the sample, and fill them in with the median of the pixels around them.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        Any real type.
    low, high : float
        Percentiles between which the sample has its range.
    numbers_only : bool
        Take every finite number as it is.
    """
    padding = None if numbers_only else find_padding(image)
    outside = None if padding is None else np.broadcast_to(padding, image.shape)
    found = Spoiled(n_padding=0 if padding is None else int(padding.sum()))
    mended = image
    for c, channel in enumerate(image):
        if channel.dtype == bool:
            continue
        filled, unreached, more = _mend_channel(channel, padding, None if numbers_only else (low, high))
        found += more
        if filled is channel:
            continue
        if mended is image:
            mended = image.copy()
        mended[c] = filled
        if unreached is not None:
            # What one channel lacks may be seen in another.
            if outside is None:
                outside = np.zeros(image.shape, bool)
            elif not outside.flags.writeable:
                # So far all channels share one.
                outside = outside.copy()
            outside[c] |= unreached
    return Mended(mended, outside, found)


def _mend_channel(
    channel: np.ndarray, padding: NDArray[np.bool_] | None, percentiles: tuple[float, float] | None
) -> tuple[np.ndarray, NDArray[np.bool_] | None, Spoiled]:
    """The channel filled in, what of it shows nothing far and wide, and what was found; None: finite numbers stay."""
    missing = np.zeros(channel.shape, bool)
    if not np.issubdtype(channel.dtype, np.integer):
        missing = ~np.isfinite(channel)
    n_not_finite = int(missing.sum())
    known = ~missing if padding is None else ~(missing | padding)
    if percentiles is None:
        return *_fill_in(channel, missing, known), Spoiled(n_not_finite)
    far, calm, bottom, spread = _find_far(channel, known, *percentiles)
    missing[far] = True
    glare = _find_glare(channel, calm, known & ~missing, bottom)
    missing |= glare
    filled, unreached = _fill_in(channel, missing, known)
    lines = _odd_lines(filled, spread) if spread > 0 and padding is None else []
    if lines:
        for line in lines:
            missing[line] = True
        filled, unreached = _fill_in(channel, missing, known)
    return filled, unreached, Spoiled(n_not_finite, len(far[0]), int(glare.sum()), len(lines))


def _find_far(
    channel: np.ndarray, known: NDArray[np.bool_], low: float, high: float
) -> tuple[tuple[NDArray[np.intp], ...], np.ndarray, float, float]:
    """Indices of values far from all around them in their plane; the channel without them, its bottom and its range."""
    nowhere = (np.zeros(0, np.intp),) * channel.ndim
    values = sample(channel)[sample(known)]
    if len(values) == 0:
        return nowhere, channel, 0.0, 0.0
    near_bottom, middle, near_top, bottom, top = percentiles(values, [5, 50, 95, low, high])
    reach = FAR * (float(near_top) - float(near_bottom))
    # Only what lies far from most others can lie far from all around it.
    where = np.nonzero(known & ((channel > middle + reach) | (channel < middle - reach)))
    around = np.zeros(0)
    calm = channel
    if len(where[0]):
        around = np.nanmedian(_gather(channel, where, known, (0,) * (channel.ndim - 2) + (1, 1)), axis=0)
        calm = channel.copy()
        calm[where] = around
        bottom, top = percentiles(sample(calm)[sample(known)], [low, high])
    spread = float(top) - float(bottom)
    if spread <= 0:
        return nowhere, channel, float(bottom), 0.0
    is_far = np.abs(channel[where].astype(np.float64) - around) > FAR * spread
    return tuple(index[is_far] for index in where), calm, float(bottom), spread


def _find_glare(channel: np.ndarray, calm: np.ndarray, known: NDArray[np.bool_], bottom: float) -> NDArray[np.bool_]:
    """Pixels of sharp spots that are much brighter than all others; `calm` is the channel without single ones."""
    none = np.zeros(channel.shape, bool)
    values = sample(calm)[sample(known)]
    if len(values) == 0:
        return none
    level = float(values.max()) - bottom
    n_dark = int((values < bottom + DARK * level).sum())
    n_bright = int((values >= bottom + BRIGHT * level).sum())
    if n_bright > MOST_BRIGHT * len(values) or len(values) - n_dark - n_bright > BETWEEN * n_bright:
        return none
    # Where the others are noise, the spots are what is to be seen.
    step = max(1, channel.size // CORRELATED)
    lines = calm.reshape(-1, channel.shape[-1])[::step].astype(np.float64)
    dark = known.reshape(-1, channel.shape[-1])[::step] & (lines < bottom + DARK * level)
    both = dark[:, 1:] & dark[:, :-1]
    here, there = lines[:, 1:][both], lines[:, :-1][both]
    if len(here) < 2 or min(here.std(), there.std()) == 0 or np.corrcoef(here, there)[0, 1] < LEAST_RELATED:
        return none
    return known & (channel >= bottom + DARK * level)


def _gather(
    channel: np.ndarray, where: tuple[NDArray[np.intp], ...], known: NDArray[np.bool_], reach: Sequence[int]
) -> NDArray[np.float64]:
    """Values in a window around each place, shape (pixels of the window, places); NaN where unknown or beyond."""
    out = []
    for step in itertools.product(*(range(-r, r + 1) for r in reach)):
        at = [index + s for index, s in zip(where, step, strict=True)]
        inside = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(at, channel.shape, strict=True)])
        at = [np.clip(i, 0, n - 1) for i, n in zip(at, channel.shape, strict=True)]
        out.append(np.where(inside & known[tuple(at)], channel[tuple(at)], np.nan))
    return np.stack(out)


def _fill_in(
    channel: np.ndarray, missing: NDArray[np.bool_], known: NDArray[np.bool_]
) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
    """The channel with medians where values are missing, and what no known pixel is near to."""
    if not missing.any():
        return channel, None
    reach = (1,) * (channel.ndim - 2) + (WIDEST_LINE // 2 + 1,) * 2
    good = known & ~missing
    from scipy import ndimage

    deep = missing & ~ndimage.maximum_filter(good, [2 * r + 1 for r in reach], mode="constant")
    if deep.any():
        # What reaches that far shows nothing up to its edge.
        parts, n = ndimage.label(missing)
        deep = _pixels_of(parts, n, np.unique(parts[deep]))
    filled = channel.copy()
    if deep.any():
        filled[deep] = np.median(sample(channel)[sample(good)]) if good.any() else 0
    places = np.nonzero(missing & ~deep)
    batch = max(1, (1 << 22) // math.prod(2 * r + 1 for r in reach))
    for start in range(0, len(places[0]), batch):
        part = tuple(index[start : start + batch] for index in places)
        filled[part] = np.nanmedian(_gather(channel, part, good, reach), axis=0)
    return filled, deep if deep.any() else None


def _odd_lines(channel: np.ndarray, spread: float) -> list[tuple[int | slice, ...]]:
    """Index of every row, column or plane that differs from its neighbours as a whole."""
    odd: list[tuple[int | slice, ...]] = []
    for axis in range(channel.ndim):
        lines = np.moveaxis(channel, axis, 0)
        # PER_LINE pixels of each line are enough.
        step = max(1, round((lines[0].size / PER_LINE) ** (1 / lines[0].ndim)))
        lines = lines[(slice(None), *(slice(None, None, step),) * (channel.ndim - 1))].reshape(len(lines), -1)
        if min(lines.shape) < LONG_ENOUGH:
            continue
        level = np.median(lines, axis=1).astype(np.float64)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(level, AROUND // 2, mode="edge"), AROUND)
        level -= np.median(around, axis=-1)
        # A line that is stuck at one value may have it in common with a dark background.
        is_stuck = (lines == lines[:, :1]).all(1)
        is_odd = np.abs(level) > LINE_DIFFERS * spread
        if is_odd.mean() > MOST_LINES:
            is_odd[:] = False
        found = []
        for at in np.flatnonzero(is_odd | is_stuck):
            near = np.arange(at - AROUND // 2, at + AROUND // 2 + 1).clip(0, len(lines) - 1)
            difference = lines[at].astype(np.float64) - np.median(lines[near], axis=0)
            is_whole = np.mean(difference * np.sign(level[at]) > LINE_DIFFERS / 2 * spread) >= WHOLE_LINE
            n_cut = np.count_nonzero(np.abs(difference) > LINE_DIFFERS * spread) if is_stuck[at] else 0
            if (is_odd[at] and is_whole) or n_cut >= CUT:
                found.append((slice(None),) * axis + (int(at),))
        if len(found) <= len(lines) * MOST_LINES:
            odd += found
    return odd


def find_padding(image: np.ndarray) -> NDArray[np.bool_] | None:
    """One value around an image, mostly 0: what it was padded, turned or sheared with, or None.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        Any real type.
    """
    for value in _values_at_corners(image):
        outside = _padding_of(image, value)
        if outside is not None:
            return outside
    return None


def _values_at_corners(image: np.ndarray) -> list[np.ndarray]:
    """Values (C, 1, ...) that the image may be padded with; others than 0 fill a small box at a corner."""
    values: dict[bytes, np.ndarray] = {}
    for sides in itertools.product((slice(None, AT_CORNER), slice(-AT_CORNER, None)), repeat=image.ndim - 1):
        box = image[(slice(None), *sides)]
        at = tuple(slice(0, 1) if side.start is None else slice(-1, None) for side in sides)
        value = image[(slice(None), *at)]
        if not value.any() or (box == value).all():
            values[value.tobytes()] = value
    return list(values.values())


def _padding_of(image: np.ndarray, value: np.ndarray) -> NDArray[np.bool_] | None:
    """Pixels of this value around the image proper, or None if it is no padding."""
    same = (image == value).all(0)
    if same.mean() < LEAST_PADDING or same.all():
        return None
    from scipy import ndimage

    parts, n = ndimage.label(same)
    sides = [np.unique(np.moveaxis(parts, axis, 0)[[0, -1]]) for axis in range(same.ndim)]
    at_side = np.unique(np.concatenate(sides))
    kept = at_side[(at_side > 0) & (_sizes(parts, n)[at_side] >= LEAST_PADDING / 10 * same.size)]
    outside = _pixels_of(parts, n, kept)
    content = ~outside
    n_content = int(content.sum())
    if n_content == 0 or all(channel[content].min() == channel[content].max() for channel in image):
        return None
    largest = int(_sizes(parts, ndimage.label(content, output=parts))[1:].max())
    if min(largest, int((content & ~same).sum())) < SOLID * n_content or outside.mean() < LEAST_PADDING:
        return None
    box = math.prod(side.stop - side.start for side in ndimage.find_objects(content.astype(np.uint8))[0])
    # Another value than 0 may be that of an even background: only what leaves a whole box is padding then.
    return outside if largest >= SOLID * box or (not value.any() and n_content >= LARGE * same.size) else None


def _slabs(parts: NDArray[np.int32]) -> Iterator[slice]:
    """Pieces of the first axis: NumPy counts and looks up in 64 bits, which takes twice as much as the parts do."""
    step = max(1, SLAB // parts[0].size)
    return (slice(start, start + step) for start in range(0, len(parts), step))


def _sizes(parts: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """Pixels of each of the parts 0..n."""
    sizes = np.zeros(n + 1, np.int64)
    for slab in _slabs(parts):
        sizes += np.bincount(parts[slab].ravel(), minlength=n + 1)
    return sizes


def _pixels_of(parts: NDArray[np.int32], n: int, chosen: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Where one of the chosen parts, of 0..n, is."""
    is_chosen, there = np.zeros(n + 1, bool), np.empty(parts.shape, bool)
    is_chosen[chosen] = True
    for slab in _slabs(parts):
        there[slab] = is_chosen[parts[slab]]
    return there
