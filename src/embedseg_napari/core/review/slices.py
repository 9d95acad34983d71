"""An object of a volume seen from three sides: the planes through its middle, with what lies around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import read_part
from embedseg_napari.core.data.medoid import middle_pixel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Indices

AROUND = 0.3
"""What is shown around an object on each side, as a share of its largest side."""
LEAST_AROUND = 2
"""Pixels that are shown around it at least."""
VIEWS = ("YX", "ZX", "YZ")
"""Down and to the right. Laid out XY, with YZ to its right and XZ below, equal axes lie along each other."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSlice:
    """A plane through an object."""

    axes: str
    """Two letters: of the rows, and of the columns."""
    pixels: NDArray[np.float32]
    """Brightness (rows, columns), the mean of the channels."""
    inside: NDArray[np.bool_]
    """Where the object is."""
    sides: tuple[float, float]
    """Physical height and width of the plane."""
    start: tuple[int, int, int]
    """Its first pixel (z, y, x) in the volume."""

    def pixel_at(self, down: float, right: float) -> tuple[int, int, int]:
        """The pixel (z, y, x) of the volume at shares, 0 to 1, of the plane's height and width."""
        at = list(self.start)
        for letter, share, n in zip(self.axes, (down, right), self.inside.shape, strict=True):
            at["ZYX".index(letter)] += min(max(int(share * n), 0), n - 1)
        return at[0], at[1], at[2]


def object_slices(image: Any, axes: str, pixels: Indices, spacing: Sequence[float]) -> list[ObjectSlice]:
    """Cut a volume through the middle of an object: XY, XZ and YZ.

    The middle is the object's pixel that is nearest to its centre of mass, so that each plane meets the object.

    Parameters
    ----------
    image : array
        The volume, which may be lazy; only what is shown is read.
    axes : str
        One letter per axis of it: Z, Y, X, and maybe C.
    pixels : tuple of ndarray
        Those of the object (z, y, x), at least one.
    spacing : sequence of float
        Pixel size (z, y, x).
    """
    at, step = np.stack(pixels, axis=1), np.asarray(spacing, float)
    middle = middle_pixel(pixels, step)
    low, high = at.min(0), at.max(0) + 1
    shape = [image.shape[axes.index(letter)] for letter in "ZYX"]
    around = np.maximum(np.ceil(AROUND * ((high - low) * step).max() / step), LEAST_AROUND).astype(int)
    low, high = np.maximum(low - around, 0), np.minimum(high + around, shape)
    mask = np.zeros(high - low, bool)
    mask[tuple((at - low).T)] = True
    found = []
    for view in VIEWS:
        kept = ["ZYX".index(letter) for letter in view]
        (through,) = {0, 1, 2} - set(kept)
        start, end = low.copy(), high.copy()
        start[through], end[through] = middle[through], middle[through] + 1
        key = {letter: slice(int(a), int(b)) for letter, a, b in zip("ZYX", start, end, strict=True)}
        part = read_part(image, axes, key)
        plane = part.mean(0, dtype=np.float32) if "C" in axes else part.astype(np.float32)
        inside = mask[tuple(slice(a, b) for a, b in zip(start - low, end - low, strict=True))]
        turned = [*kept, through]
        plane, inside = plane.transpose(turned)[..., 0], inside.transpose(turned)[..., 0]
        height, width = ((high - low) * step)[kept].tolist()
        z, y, x = start.tolist()
        found.append(ObjectSlice(view, plane, inside, (height, width), (z, y, x)))
    return found


def pixels_near(labels: NDArray[np.integer], object_id: int, box: tuple[slice, ...]) -> Indices:
    """The pixels of an object that lies in a box, or reaches into it; the rest of a large volume is not looked at.

    Pieces of the object belong to it where they lie closer than it is large, such as the planes of an object that is
    painted on a few of them.

    Parameters
    ----------
    labels : ndarray of int
        Ids of objects.
    object_id : int
        Which.
    box : tuple of slice
        One per axis of the labels.

    Returns
    -------
    tuple of ndarray
        As from `numpy.nonzero`; empty where the object is not in the box.
    """
    sides = [side.indices(n)[:2] for side, n in zip(box, labels.shape, strict=True)]
    known = 0
    while True:
        found = np.nonzero(labels[tuple(slice(a, b) for a, b in sides)] == object_id)
        pixels = tuple(axis + a for axis, (a, _) in zip(found, sides, strict=True))
        if len(pixels[0]) <= known:
            return pixels
        known = len(pixels[0])
        extents = [(int(axis.min()), int(axis.max()) + 1) for axis in pixels]
        reach = max(b - a for a, b in extents)
        sides = [(max(a - reach, 0), min(b + reach, n)) for (a, b), n in zip(extents, labels.shape, strict=True)]
