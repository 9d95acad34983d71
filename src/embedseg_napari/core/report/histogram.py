"""Histograms of object sizes as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.report.entry import edges
from embedseg_napari.core.report.outliers import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 720, 200
SMALL_WIDTH, SMALL_HEIGHT = 120, 26
LEFT, BELOW, ABOVE = 48, 40, 14
"""Room for the axes of the large one."""


def spanned(sizes: NDArray[np.integer]) -> range:
    """The bins from the smallest object to the largest; one empty bin where there are none."""
    filled = np.flatnonzero(sizes)
    return range(int(filled[0]), int(filled[-1]) + 1) if len(filled) else range(1)


def large_histogram(sizes: NDArray[np.integer], unit: str, words: str) -> str:
    """The histogram of all objects, with axes.

    Parameters
    ----------
    sizes : ndarray of int, shape (N_BINS,)
        Objects by size.
    unit : str
        What sizes are counted in.
    words : str
        What it shows, for those who do not see it.
    """
    bins = spanned(sizes)
    highest = int(sizes.max())
    across, up = (WIDTH - LEFT) / len(bins), HEIGHT - BELOW - ABOVE
    parts = [
        f'<svg class="large" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">',
        f'<g transform="translate({LEFT} {ABOVE})">{_bars(sizes, bins, WIDTH - LEFT, up, highest)}</g>',
        f'<path class="axis" d="M{LEFT} {ABOVE}V{ABOVE + up}H{WIDTH}"/>',
        f'<text x="{LEFT - 6}" y="{ABOVE + 5}" text-anchor="end">{highest}</text>',
        f'<text x="{LEFT - 6}" y="{ABOVE + up}" text-anchor="end">0</text>',
    ]
    for tick in _ticks(float(edges(bins[0])), float(edges(bins[-1] + 1))):
        x = LEFT + (np.log2(tick / edges(bins[0])) / np.log2(edges(1))) * across
        parts.append(f'<path class="axis" d="M{x:.1f} {ABOVE + up}v5"/>')
        parts.append(f'<text x="{x:.1f}" y="{ABOVE + up + 18}" text-anchor="middle">{number(tick)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">size in {unit}</text></svg>')
    return "".join(parts)


def small_histogram(sizes: NDArray[np.integer], bins: range) -> str:
    """The histogram of one image, over the sizes that the large one spans; its numbers stand beside it."""
    bars = _bars(sizes, bins, SMALL_WIDTH, SMALL_HEIGHT, int(sizes.max()))
    box = f'viewBox="0 0 {SMALL_WIDTH} {SMALL_HEIGHT}" preserveAspectRatio="none"'
    return f'<svg class="small" {box} aria-hidden="true">{bars}</svg>'


def _bars(sizes: NDArray[np.integer], bins: range, width: float, height: float, highest: int) -> str:
    across = width / len(bins)
    drawn = [
        f"M{i * across:.1f} {height}v{-height * int(sizes[one]) / highest:.1f}h{across:.1f}V{height}z"
        for i, one in enumerate(bins)
        if sizes[one]
    ]
    return f'<path class="bars" d="{"".join(drawn)}"/>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two sizes."""
    steps = (1, 2, 3, 4, 6, 8) if high / low < 8 else (1, 2, 5) if high / low < 2000 else (1,)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
