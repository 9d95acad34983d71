"""Which arrays are stacks of planes, one object each, and which are label images."""

from __future__ import annotations

from enum import Enum

import numpy as np

from embedseg_napari.core.errors import DataError

CONTINUED = 1 / 3
"""Part of the smaller of two neighbouring slices that the other covers, on average, from which on they are slices of
one object and not planes of two."""


class Stack(Enum):
    """What an array of three or more axes holds, judged by its numbers."""

    LABELS = "labels"
    PLANES = "planes"
    EITHER = "either"
    """At most one slice holds anything: both readings give the same objects."""


def spatial_ndim(true: np.ndarray, predicted: np.ndarray, planes: bool | None = None) -> int:
    """Tell how many of the axes of truth and prediction are spatial; one in front of those counts planes.

    Of arrays that differ by an axis, the one with more is planes. Arrays with as many axes are both planes if they are
    boolean, or if both look like planes: no slice holds two numbers, and each number is in one slice only, or there is
    a single number in slices that do not continue each other.

    Parameters
    ----------
    true, predicted : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids, or planes.
    planes : bool, optional
        Whether arrays of as many axes are planes, where that is known.

    Raises
    ------
    DataError
        If arrays of four axes hold several numbers in one plane: they may be frames, which are scored one by one.
    """
    ndim = true.ndim
    if ndim != predicted.ndim or ndim < 3 or planes is False:
        return min(ndim, predicted.ndim)
    if planes or (true.dtype == bool and predicted.dtype == bool):
        return ndim - 1
    kinds = {stack_kind(true)}
    if kinds != {Stack.LABELS}:
        kinds.add(stack_kind(predicted))
    if ndim > 3 and Stack.LABELS in kinds:
        raise DataError(
            f"Arrays of shape {true.shape} and {predicted.shape} have more axes than a volume has; score the frames "
            "of a time-lapse one by one."
        )
    if Stack.LABELS in kinds:
        return ndim
    return ndim - 1 if Stack.PLANES in kinds or ndim > 3 else ndim


def stack_kind(array: np.ndarray) -> Stack:
    """Judge by its numbers whether an array (K or Z, ..., Y, X) is a stack of planes of one object each."""
    numbers, last, covered = [], None, []
    for part in array:
        inside = part != 0
        if not inside.any():
            last = None
            continue
        number = part[inside][0]
        if (part[inside] != number).any():
            return Stack.LABELS
        numbers.append(int(number))
        if last is not None:
            covered.append(np.count_nonzero(inside & last) / min(np.count_nonzero(inside), np.count_nonzero(last)))
        last = inside
    if len(numbers) < 2:
        return Stack.EITHER
    n_different = len(set(numbers))
    if n_different == len(numbers):
        return Stack.PLANES
    if n_different > 1 or (covered and np.mean(covered) >= CONTINUED):
        return Stack.LABELS
    return Stack.PLANES


def overlaps_itself(planes: np.ndarray) -> bool:
    """Whether a pixel belongs to two planes of a stack (K, (Z,) Y, X)."""
    seen = np.zeros(planes.shape[1:], bool)
    for plane in planes:
        inside = plane != 0
        if (seen & inside).any():
            return True
        seen |= inside
    return False


def require_planes(planes: np.ndarray, where: str) -> None:
    """Refuse a stack of planes of which one holds several numbers: it is a label volume, or a time-lapse.

    Raises
    ------
    DataError
        Naming `where`.
    """
    for index, plane in enumerate(planes):
        values = plane[plane != 0]
        if len(values) and (values != values[0]).any():
            raise DataError(
                f"{where}: plane {index} holds several numbers, but with one axis more than the labels it is compared "
                "with it would be a stack of planes of one object each; compare labels of the same image."
            )
