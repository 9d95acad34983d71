"""Whether an image holds labels or a mask, not intensities: whole numbers in flat regions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

FLAT = 0.9
"""Part of neighbouring pixels in objects that are equal. Labels and masks of real images have 0.98 or more, and the
images themselves at most 0.74."""
SIDE, PLANES, LEAST_NEIGHBOURS = 1024, 5, 20
"""Pixels along each axis and planes that are looked at, and the neighbours in objects that are needed to judge."""


def looks_like_labels(array: Any) -> bool:
    """Whether an array looks like labels or a mask; only a part of it is read.

    Parameters
    ----------
    array : array, shape (..., Y, X)
        Of any real type; it may be lazy.
    """
    array = array[(..., *(slice(max(0, (n - SIDE) // 2), (n + SIDE) // 2) for n in array.shape[-2:]))]
    if 0 in array.shape:
        return False
    n_lead = math.prod(array.shape[:-2])
    places = sorted({round(at) for at in np.linspace(0, n_lead - 1, min(PLANES, n_lead))})
    planes = [np.asarray(array[np.unravel_index(at, array.shape[:-2])]) for at in places]
    if not all(_is_whole(plane) for plane in planes):
        return False
    values, counts = np.unique(np.stack(planes)[:, ::2, ::2], return_counts=True)
    background, n_equal, n = values[counts.argmax()], 0, 0
    for plane in planes:
        for one in (plane, plane.T):
            left, right = one[:, :-1], one[:, 1:]
            is_in = (left != background) & (right != background)
            n_equal, n = n_equal + int((is_in & (left == right)).sum()), n + int(is_in.sum())
    return n >= LEAST_NEIGHBOURS and n_equal >= FLAT * n


def _is_whole(plane: np.ndarray) -> bool:
    return plane.dtype.kind in "bui" or bool(plane.dtype.kind == "f" and np.array_equal(plane, np.round(plane)))
