"""How far everything moved together from one frame to the next, as when a stage drifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.fft import irfftn, next_fast_len, rfftn

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = {2: 256, 3: 64}
"""Pixels along an axis to which frames are made coarse."""
BETTER = 1.1
"""How many times more pixels of objects must lie on such with a drift than without: few objects that move by themselves
lie on each other somewhere by chance."""


def drift(before: NDArray[Any], now: NDArray[Any]) -> NDArray[np.int64]:
    """Find the shift that lays the objects of a frame onto those of the next.

    Parameters
    ----------
    before, now : ndarray of int, shape ((Z,) Y, X)
        Labels.

    Returns
    -------
    ndarray of int, shape (ndim,)
        Pixels; 0 where objects lie on each other nowhere much better than without a shift.
    """
    ndim = before.ndim
    none = np.zeros(ndim, np.int64)
    steps = [max(1, -(-n // SIDE[ndim])) for n in before.shape]
    thin = tuple(slice(step // 2, None, step) for step in steps)
    one, other = (before[thin] > 0).astype(np.float32), (now[thin] > 0).astype(np.float32)
    n = min(float(one.sum()), float(other.sum()))
    resting = float((one * other).sum())
    if not n:
        return none
    # Twice as large, so that what leaves on one side does not come in on the other.
    shape = [next_fast_len(2 * side, real=True) for side in one.shape]
    common = irfftn(rfftn(other, shape) * np.conj(rfftn(one, shape)), shape)
    peak = np.unravel_index(int(np.argmax(common)), common.shape)
    if common[peak] < max(BETTER * resting, n / 2):
        return none
    shift = [place - side if place > side // 2 else place for place, side in zip(peak, shape, strict=True)]
    found: NDArray[np.int64] = np.array(shift, np.int64) * steps
    return found


def overlapping(shift: NDArray[np.int64]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The parts of two frames that show the same place after a shift."""
    before = tuple(slice(max(0, -int(s)), -int(s) if s > 0 else None) for s in shift)
    now = tuple(slice(max(0, int(s)), int(s) if s < 0 else None) for s in shift)
    return before, now
