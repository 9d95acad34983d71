"""What is done to objects once they are collected: holes are filled, and those that nobody wants are left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def fill_holes(labels: NDArray[np.int32], ask: Callable[[], None]) -> None:
    """Give background that an object encloses to that object, in place; in a volume that is a closed cavity.

    A volume of one plane has the holes of an image. Of objects inside each other the inner one gets what it encloses.
    Other objects are never painted over.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Objects of one image.
    ask : callable
        Called for each object; what it raises ends the work.
    """
    from scipy.ndimage import binary_fill_holes, find_objects

    # An axis of one pixel would be all border.
    labels = np.atleast_1d(labels.squeeze())
    boxes = [(label, box) for label, box in enumerate(find_objects(labels), 1) if box is not None]
    # What lies inside another object has a smaller box.
    for label, box in sorted(boxes, key=lambda entry: math.prod(side.stop - side.start for side in entry[1])):
        ask()
        part = labels[box]
        part[binary_fill_holes(part == label) & (part == 0)] = label


def at_border(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Objects that touch the first or last pixel of an axis, and so may be cut; an axis of one pixel has no border."""
    sides = [labels.take(at, axis).ravel() for axis, n in enumerate(labels.shape) if n > 1 for at in (0, -1)]
    found: NDArray[np.int32] = np.unique(np.concatenate(sides)) if sides else np.empty(0, np.int32)
    return found[found > 0]


def unwanted(labels: NDArray[np.int32], n: int, max_object_size: int, drop_border_objects: bool) -> NDArray[np.bool_]:
    """Which of the objects 1..n are too large or, on request, at the border: (n,) bool.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Objects of one image.
    n : int
        Number of objects.
    max_object_size : int
        Pixels that an object may have; 0 sets no limit.
    drop_border_objects : bool
        Whether objects at the border of the image are unwanted.
    """
    is_unwanted = np.zeros(n, bool)
    if max_object_size:
        is_unwanted |= np.bincount(labels.ravel(), minlength=n + 1)[1:] > max_object_size
    if drop_border_objects:
        is_unwanted[at_border(labels) - 1] = True
    return is_unwanted
