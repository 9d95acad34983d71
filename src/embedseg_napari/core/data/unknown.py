"""Pixels of a mask whose class is unknown, and objects of volumes that they cut off."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.objects import MeasuredObjects

PLANE = 1.5
"""Voxels: of an object on single planes, fewer lie in a row across them, on average."""
OpenIds = tuple["NDArray[np.int64]", ...]
"""Ids (planes: index + 1) of objects that are open along each axis (z, y, x)."""
CLOSED: OpenIds = (np.zeros(0, np.int64),) * 3


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


def open_ids(ends: NDArray[np.int64], ids: NDArray[np.int64], sizes: NDArray[np.int64], scale: float = 1.0) -> OpenIds:
    """Objects of a volume that unknown voxels cut off, by what their voxels end at.

    Of an object's voxels that end it downwards, or upwards, more than half have an unknown voxel as their neighbour:
    the object is open in z and may well go on there. An object that ends at the border of the volume is as deep as it
    seems. Along y and x, too, but only if it lies on single XZ or YZ planes: what is painted on XY planes alone is as
    wide as it seems, whatever is known around it.

    Parameters
    ----------
    ends : ndarray, shape (k, 4)
        Side (twice the axis, plus 1 if further up), id, voxels that have an unknown neighbour there, and voxels that
        have another neighbour than their object.
    ids, sizes : ndarray, shape (n,)
        Of all objects, ids ascending, and their numbers of voxels.
    scale : float
        Factor by which the volume was resized: a plane that was painted is several voxels thick once it was enlarged.
    """
    hidden, total = np.zeros((2, 6, len(ids)), np.int64)
    at = ends[:, 0], np.searchsorted(ids, ends[:, 1])
    np.add.at(hidden, at, ends[:, 2])
    np.add.at(total, at, ends[:, 3])
    is_open: NDArray[np.bool_] = np.any((2 * hidden > total).reshape(3, 2, -1), axis=1)
    is_thin: NDArray[np.bool_] = np.asarray(sizes < PLANE * max(1.0, scale) * total.reshape(3, 2, -1).max(1))
    is_open[1:] &= is_thin[1:] & (is_thin.sum(0) == 1)
    return tuple(ids[row] for row in is_open)


def open_objects(
    instances: np.ndarray, ignore: np.ndarray | None, *, planes: bool = False, scale: float = 1.0
) -> OpenIds:
    """Objects of a volume that unknown voxels cut off; see :func:`open_ids`.

    Parameters
    ----------
    instances : ndarray, shape (Z, Y, X) or (K, Z, Y, X)
        As `sparse.known_instances` gives them; in 2D no object is open.
    ignore : ndarray of bool, shape (Z, Y, X), optional
        Unknown voxels.
    planes : bool
        Whether the first axis of `instances` counts planes of one object each.
    scale : float
        Factor by which the volume was resized.
    """
    if ignore is None or ignore.ndim != 3:
        return CLOSED
    ends, counts = [np.zeros((0, 4), np.int64)], [np.zeros((0, 2), np.int64)]
    for index, layer in enumerate(instances if planes else instances[None]):
        if planes:
            layer = layer != 0
        # The only value of a plane, 1, stands for the number of the plane.
        first = index if planes else 0
        ids, sizes = np.unique(layer[layer != 0], return_counts=True)
        counts.append(np.column_stack([ids.astype(np.int64) + first, sizes]))
        for axis in range(3):
            moved, unknown = np.moveaxis(layer, axis, 0), np.moveaxis(ignore, axis, 0)
            for up, inner, outer, beside in (
                (0, moved[1:], moved[:-1], unknown[:-1]),
                (1, moved[:-1], moved[1:], unknown[1:]),
            ):
                is_end = (inner != 0) & (inner != outer)
                ids, which = np.unique(inner[is_end], return_inverse=True)
                hidden = np.bincount(which, beside[is_end], len(ids)).astype(np.int64)
                side, total = np.full(len(ids), 2 * axis + up), np.bincount(which, minlength=len(ids))
                ends.append(np.column_stack([side, ids.astype(np.int64) + first, hidden, total]))
    ids, sizes = np.concatenate(counts).T
    return open_ids(np.concatenate(ends), ids, sizes, scale)


def all_open(open_along: OpenIds) -> NDArray[np.int64]:
    """Ids of the objects that are open along any axis."""
    return np.unique(np.concatenate(open_along))


def width_along(extents: NDArray[np.float64], axis: int, spacing: Sequence[float] | None) -> NDArray[np.float64]:
    """How many voxels along an axis are as long as an object is wide on the planes across it.

    Parameters
    ----------
    extents : ndarray, shape (n, 3)
        Of objects, in voxels (z, y, x).
    axis : int
        Which.
    spacing : sequence of float, optional
        Physical size of a voxel (z, y, x), the same in y and x; cubes without it.
    """
    step = np.ones(3) if spacing is None else np.array([spacing[0], spacing[-1], spacing[-1]])
    a, b = (other for other in range(3) if other != axis)
    width: NDArray[np.float64] = np.sqrt(extents[:, a] * extents[:, b]) * (np.sqrt(step[a] * step[b]) / step[axis])
    return width


def object_extents(
    table: MeasuredObjects, open_along: OpenIds, spacing: Sequence[float] | None, shape: Sequence[int]
) -> NDArray[np.float64]:
    """Extent (max - min + 1) of every object, (n, ndim) pixels; those open along an axis are as long as wide at least.

    Parameters
    ----------
    table : MeasuredObjects
        Of the known pixels.
    open_along : tuple of ndarray
        From :func:`open_objects`.
    spacing : sequence of float, optional
        Physical size of a voxel (z, y, x); cubes without it.
    shape : sequence of int
        Of the image; no object is taken to be longer.
    """
    seen = (table.upper - table.lower).astype(float)
    extents = seen.copy()
    for axis, ids in enumerate(open_along):
        rows = np.isin(table.ids, ids)
        if rows.any():
            width = width_along(seen[rows], axis, spacing)
            extents[rows, axis] = np.minimum(np.maximum(seen[rows, axis], width), shape[axis])
    return extents


def with_middle_planes(table: MeasuredObjects, instances: np.ndarray, open_along: OpenIds) -> MeasuredObjects:
    """The table with the centres of open objects in the mean of their known voxels along the axes they are open along.

    An object labelled on its first and its last plane has its medoid on one of the two; its middle lies between them.
    """
    centers = table.centers.copy()
    for row in np.flatnonzero(np.isin(table.ids, all_open(open_along))):
        box = tuple(slice(a, b) for a, b in zip(table.lower[row], table.upper[row], strict=True))
        label = int(table.ids[row])
        inside = instances[label - 1][box] if instances.ndim > len(box) else instances[box] == label
        set_middle(centers[row], inside, table.lower[row], [label in ids for ids in open_along])
    return dataclasses.replace(table, centers=centers)


def set_middle(
    center: NDArray[np.float64], inside: np.ndarray, lower: NDArray[np.int64], is_open: Sequence[bool]
) -> None:
    """Move the centre of an object along the axes it is open along.

    Parameters
    ----------
    center : ndarray, shape (3,)
        Is changed.
    inside : ndarray, shape (Z, Y, X)
        The object within its box.
    lower : ndarray, shape (3,)
        First voxel of the box.
    is_open : sequence of bool
        For each axis.
    """
    for axis in np.flatnonzero(is_open):
        per_plane = np.moveaxis(inside, axis, 0).reshape(inside.shape[axis], -1).sum(1)
        center[axis] = lower[axis] + (np.arange(len(per_plane)) * per_plane).sum() / per_plane.sum()
