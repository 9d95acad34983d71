"""Pixels of a mask whose class is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def split_ignore_label(
    mask: np.ndarray, label: int | None, *, planes: bool = False
) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
    """Take the mask value that stands for "unknown" out of a mask.

    Parameters
    ----------
    mask : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        As read.
    label : int, optional
        The value; 0 makes everything outside of objects unknown. A mask of truth values has no such value but 0.
    planes : bool
        Whether the first axis of `mask` counts planes of one object each.

    Returns
    -------
    mask : ndarray
        With 0 where the value was.
    ignore : ndarray of bool, optional
        Unknown pixels; None if there are none.
    """
    if label is None or (label != 0 and mask.dtype == bool):
        return mask, None
    hit = mask == label
    if not hit.any():
        return mask, None
    if label != 0:
        mask = np.where(hit, mask.dtype.type(0), mask)
    if planes:
        hit = hit.all(0) if label == 0 else hit.any(0)
    return mask, hit


def union(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    """Pixels of either mask; None stands for no pixel."""
    return b if a is None else a if b is None else a | b
