"""What linking knows of the objects of a frame, and of how they lie on those of the frame before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.measure.sums import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FrameObjects:
    """The objects of a frame, rows in ascending id."""

    ids: NDArray[np.int64]
    """(n,)"""
    centroids: NDArray[np.float64]
    """(n, ndim) mean of the pixels' places, in pixels."""
    sizes: NDArray[np.int64]
    """(n,) pixels."""
    brightness: NDArray[np.float64]
    """(n, channels) mean of the image, if there is one."""


def objects_of(labels: NDArray[Any], channels: Sequence[NDArray[Any]] = ()) -> FrameObjects:
    """Look at the objects of a frame.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Ids, 0 is background.
    channels : sequence of ndarray
        The image there.
    """
    tally = Tally(labels.ndim, len(channels), has_neighbours=False)
    tally.add(labels, (0,) * labels.ndim, labels.shape, channels)
    sums = tally.sums()
    return FrameObjects(sums.ids, sums.centroids, sums.sizes, sums.totals / np.maximum(sums.sizes, 1)[:, None])


def overlaps(
    before: NDArray[Any], now: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels that objects of two frames have in common.

    Parameters
    ----------
    before, now : ndarray of int, shape ((Z,) Y, X)
        Labels of the frames.
    rows, columns : ndarray of int, shape (n,)
        The ids in either, ascending.

    Returns
    -------
    row, column, n : ndarray of int, shape (pairs,)
        Of each pair that shares pixels: where it stands among the ids of either, and how many these are.
    """
    shared = (before > 0) & (now > 0)
    # Ids of one type: NumPy compares uint64 with int64 as floats, in which large ones are equal.
    one, other = (frame[shared].astype(np.int64, copy=False) for frame in (before, now))
    is_new = np.ones(len(one), bool)
    is_new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    starts = np.flatnonzero(is_new)
    keys = np.searchsorted(rows, one[starts]) * max(len(columns), 1) + np.searchsorted(columns, other[starts])
    keys, inverse = np.unique(keys, return_inverse=True)
    n = np.bincount(inverse, np.diff(starts, append=len(one)), len(keys)).astype(np.int64)
    row, column = np.divmod(keys, max(len(columns), 1))
    return row, column, n
