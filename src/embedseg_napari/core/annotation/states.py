"""The annotation of one image: one label array with three states, and regions that are fully annotated.

In the labels, int32 (Z)YX, 0 is unlabelled, `BACKGROUND` is painted background, and every other number is the id of an
object. Inside a region, 0 means background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

BACKGROUND = 65535
"""Painted background; the largest number that label images of 16 bits hold."""
COLOR_CYCLE = 50
"""Colours of a cyclic colour map over the ids; no new object gets an id of background's colour."""


@dataclass(frozen=True, slots=True)
class AnnotationCounts:
    """How much of an image is annotated."""

    n_objects: int
    object_pixels: int
    background_pixels: int
    """Painted, or 0 inside a region."""
    unlabelled_pixels: int

    @property
    def labelled_pixels(self) -> int:
        """Pixels that training can learn from."""
        return self.object_pixels + self.background_pixels


def is_object(labels: np.ndarray) -> NDArray[np.bool_]:
    """Where a label array, (Z)YX, shows objects: neither unlabelled nor painted background."""
    found: NDArray[np.bool_] = (labels != 0) & (labels != BACKGROUND)
    return found


def without_background(labels: np.ndarray) -> np.ndarray:
    """Return a label array with 0 where background is painted: the objects alone."""
    objects: np.ndarray = np.where(labels == BACKGROUND, labels.dtype.type(0), labels)
    return objects


def object_ids(labels: np.ndarray) -> NDArray[np.int64]:
    """Ids of the objects in a label array, ascending."""
    flat = labels.ravel()
    values = flat[flat != 0]
    # Ids are small numbers: marking them is quicker than sorting pixels, but a stray huge one must not take memory.
    is_small = len(values) and values.min() >= 0 and values.max() <= 4 * labels.size + BACKGROUND
    ids: NDArray[np.int64] = np.flatnonzero(np.bincount(values)) if is_small else np.unique(values).astype(np.int64)
    objects: NDArray[np.int64] = ids[ids != BACKGROUND]
    return objects


def next_free_label(labels: np.ndarray) -> int:
    """Return the id for a new object: the smallest above all ids that a cyclic colour map tells from background.

    Never `BACKGROUND`, nor a number congruent to it modulo `COLOR_CYCLE`, so that the map can paint background grey
    and nothing else.
    """
    return free_labels(labels, 1)[0]


def free_labels(labels: np.ndarray, n: int) -> list[int]:
    """Return `n` ids for new objects, ascending; see `next_free_label`."""
    candidate = int(np.max(labels, where=labels != BACKGROUND, initial=0))
    found: list[int] = []
    while len(found) < n:
        candidate += 1
        if candidate % COLOR_CYCLE != BACKGROUND % COLOR_CYCLE:
            found.append(candidate)
    return found


def region_mask(shape: Sequence[int], polygons: Sequence[ArrayLike], plane: int | None = None) -> NDArray[np.bool_]:
    """Rasterise polygons.

    Parameters
    ----------
    shape : sequence of int
        Shape ((Z,) Y, X) of the mask.
    polygons : sequence of array, shape (n, 2) or (n, 3)
        Corners in pixels, axes (y, x) or (z, y, x); a z is not looked at. Pixels whose centre lies inside or on
        the border are set. Corners may lie outside the image.
    plane : int, optional
        In 3D the one plane (z) to fill; all planes if left out. Not for 2D.

    Raises
    ------
    DataError
        If the polygons or the plane do not fit the shape.
    """
    shape = tuple(int(n) for n in shape)
    if len(shape) not in (2, 3):
        raise DataError(f"Regions are marked in 2D or 3D, not on an array of shape {shape}.")
    if plane is not None and (len(shape) == 2 or not 0 <= plane < shape[0]):
        raise DataError(f"There is no plane {plane} in an image of shape {shape}.")
    flat = np.zeros(shape[-2:], bool)
    for corners in polygons:
        points = np.asarray(corners, float)
        if points.ndim != 2 or len(points) < 3 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
            raise DataError("A region is a polygon of at least three corners, each with y and x.")
        _fill(flat, points[:, -2:])
    if len(shape) == 2:
        return flat
    mask = np.zeros(shape, bool)
    mask[slice(None) if plane is None else plane] = flat
    return mask


def _fill(mask: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Set the pixels inside a polygon; where it crosses itself, inside and outside alternate.

    Every edge switches the rows it passes from there on to the right; several times quicker on large polygons than
    asking for indices of pixels.
    """
    # A hair wider, so that centres on the border are inside.
    corners = corners + 1e-9 * (corners - corners.mean(0))
    height, width = mask.shape
    first = int(np.clip(np.ceil(corners[:, 0].min()), 0, height))
    last = int(np.clip(np.ceil(corners[:, 0].max()), first, height))
    switches = np.zeros((last - first, width + 1), bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (top, left), (bottom, right) = (start, end) if start[0] < end[0] else (end, start)
        low, high = np.clip(np.ceil([top, bottom]), first, last).astype(int)
        if high > low:
            rows = np.arange(low, high)
            columns = np.ceil(left + (rows - top) * ((right - left) / (bottom - top)))
            switches[rows - first, np.clip(columns, 0, width).astype(int)] ^= True
    mask[first:last] |= np.logical_xor.accumulate(switches, axis=1)[:, :width]
