"""Which arrays are stacks of planes, one object each, and which are label images."""

from __future__ import annotations

from enum import Enum

import numpy as np
from scipy import ndimage

from embedseg_napari.core.errors import DataError

CONTINUED = 0.8
"""Part of the smaller of two neighbouring slices that the other covers, on average, from which on they are slices of
one object and not planes of two. Of a convex object the smaller slice lies almost whole within the larger one."""
ONE_PIECE = 0.8
"""Part of a plane's object in its largest piece, on average; what is scattered over a slice are several objects."""


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
    a single number in slices of one piece each that do not continue each other.

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
            "of a time-lapse one by one, by naming its axes, such as TZYX."
        )
    if Stack.LABELS in kinds:
        return ndim
    return ndim - 1 if Stack.PLANES in kinds or ndim > 3 else ndim


def stack_kind(array: np.ndarray) -> Stack:
    """Judge by its numbers whether an array (K or Z, ..., Y, X) is a stack of planes of one object each."""
    numbers = []
    for part in array:
        values = part[part != 0]
        if len(values) == 0:
            continue
        if (values != values[0]).any():
            return Stack.LABELS
        numbers.append(int(values[0]))
    if len(numbers) < 2:
        return Stack.EITHER
    n_different = len(set(numbers))
    if n_different == len(numbers):
        return Stack.PLANES
    return Stack.PLANES if n_different == 1 and _are_single_objects(array != 0) else Stack.LABELS


def _are_single_objects(stack: np.ndarray) -> bool:
    """Whether each plane of a binary stack is one piece that the next one does not go on with."""
    covered, whole = [], []
    for part, following in zip(stack, [*stack[1:], None], strict=True):
        size = np.count_nonzero(part)
        if size == 0:
            continue
        pieces, _ = ndimage.label(part)
        whole.append(np.bincount(pieces.ravel())[1:].max() / size)
        if following is not None and following.any():
            covered.append(np.count_nonzero(part & following) / min(size, np.count_nonzero(following)))
    return bool(np.mean(whole) >= ONE_PIECE and (not covered or np.mean(covered) < CONTINUED))


def overlaps_itself(planes: np.ndarray) -> bool:
    """Whether a pixel belongs to two planes of a stack (K, (Z,) Y, X)."""
    seen = np.zeros(planes.shape[1:], bool)
    for plane in planes:
        inside = plane != 0
        if (seen & inside).any():
            return True
        seen |= inside
    return False


def require_planes(planes: np.ndarray, where: str, remedy: str = "") -> None:
    """Refuse a stack of planes of which one holds several numbers: it is a label volume, or a time-lapse.

    Parameters
    ----------
    planes : ndarray, shape (K, (Z,) Y, X)
        The stack.
    where : str
        What to call it.
    remedy : str
        What to do then, in words that go on a sentence.

    Raises
    ------
    DataError
        Naming `where`.
    """
    if planes.dtype == bool:
        return
    for index, plane in enumerate(planes):
        values = plane[plane != 0]
        if len(values) and (values != values[0]).any():
            raise DataError(
                f"{where}: plane {index} holds several numbers, and a stack of planes has one object in each; it is a "
                f"volume or a time-lapse, or labels of another image{remedy}."
            )
