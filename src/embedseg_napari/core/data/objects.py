"""The objects of an image, measured once: centres, bounding boxes, sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.medoid import CenterKind, centers_of, pixel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


BATCH_PIXELS = 1 << 18
"""Pixels of objects measured together: enough to spare Python's time, few enough to stay in the cache."""


@dataclass(frozen=True, slots=True)
class MeasuredObjects:
    """The objects of one image, rows in ascending id."""

    ids: NDArray[np.int64]
    """(n,) label, or plane index + 1."""
    centers: NDArray[np.float64]
    """(n, ndim) in pixels, axes (z, y, x)."""
    lower: NDArray[np.int64]
    """(n, ndim) first pixel of the bounding box."""
    upper: NDArray[np.int64]
    """(n, ndim) one past its last pixel."""
    sizes: NDArray[np.int64]
    """(n,) pixels."""


def measure_objects(
    instances: np.ndarray, kind: CenterKind = "medoid", spacing: Sequence[float] | None = None, *, planes: bool = False
) -> MeasuredObjects:
    """Measure every object of an image once.

    Parameters
    ----------
    instances : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Label image of any integer type, 0 is background; or planes of one object each.
    kind : {"medoid", "approximate-medoid", "centroid"}
        Which centre.
    spacing : sequence of float, optional
        Physical size of a pixel per axis (z, y, x); distances are measured in it.
    planes : bool
        Whether the first axis of `instances` counts planes. Empty planes give no row.
    """
    instances = np.asarray(instances)
    shape = instances.shape[1:] if planes else instances.shape
    if not planes:
        return measure_pixels(*sorted_pixels(instances), shape, kind, spacing)
    # Planes come one after the other: their pixels are sorted by object already.
    owner, flat = np.divmod(np.flatnonzero(instances), max(int(np.prod(shape)), 1))
    return measure_pixels(flat, owner + 1, shape, kind, spacing)


def sorted_pixels(labels: np.ndarray) -> tuple[NDArray[np.int64], np.ndarray]:
    """Flat indices of the pixels of a label image, one object after the other, and their ids; background left out."""
    flat = np.flatnonzero(labels)
    values = labels.ravel()[flat]
    order = _order(values)
    return flat[order], values[order]


def measure_pixels(
    flat: NDArray[np.int64],
    values: np.ndarray,
    shape: Sequence[int],
    kind: CenterKind = "medoid",
    spacing: Sequence[float] | None = None,
) -> MeasuredObjects:
    """Measure objects whose pixels are given one object after the other.

    Parameters
    ----------
    flat : ndarray of int
        Flat indices of the pixels in the image, those of each object ascending.
    values : ndarray of int
        Their ids, ascending.
    shape : sequence of int
        Of the image, ((Z,) Y, X).
    kind, spacing
        As in :func:`measure_objects`.
    """
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1)) if len(values) else np.zeros(0, np.int64)
    sizes = np.diff(starts, append=len(values))
    ends = np.cumsum(sizes)
    n, ndim = len(starts), len(shape)
    centers = np.zeros((n, ndim))
    lower, upper = np.zeros((n, ndim), np.int64), np.zeros((n, ndim), np.int64)
    first = 0
    while first < n:
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + BATCH_PIXELS, "right")))
        pixels = flat[starts[first] : ends[last - 1]]
        at = np.stack(np.unravel_index(pixels, tuple(shape))) if ndim else np.zeros((0, len(pixels)), np.int64)
        part = starts[first:last] - starts[first]
        lower[first:last] = np.minimum.reduceat(at, part, axis=1).T
        upper[first:last] = np.maximum.reduceat(at, part, axis=1).T + 1
        centers[first:last] = centers_of(at, part, kind, pixel_size(spacing, ndim))
        first = last
    return MeasuredObjects(values[starts].astype(np.int64), centers, lower, upper, sizes)


def update_objects(
    table: MeasuredObjects,
    before: np.ndarray,
    after: np.ndarray,
    kind: CenterKind = "medoid",
    spacing: Sequence[float] | None = None,
    *,
    planes: bool = False,
) -> tuple[MeasuredObjects, NDArray[np.int64]]:
    """Measure only the objects whose pixels differ; the table is the one that measuring all would give.

    Parameters
    ----------
    table : MeasuredObjects
        Of `before`, with the same kind of centre and spacing.
    before, after : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        As in :func:`measure_objects`. Planes may become more or fewer.
    kind, spacing, planes
        As in :func:`measure_objects`.

    Returns
    -------
    table : MeasuredObjects
        Of `after`.
    changed : ndarray
        Ids of the objects that are new, gone or have other pixels, ascending.
    """
    ids, part = (_changed_planes if planes else _changed_labels)(table, before, after)
    if len(ids) == 0:
        return table, ids
    new = measure_objects(part, kind, spacing, planes=planes)
    number = ids[new.ids - 1] if planes else new.ids
    stays = ~np.isin(table.ids, ids)
    order = np.argsort(np.concatenate([table.ids[stays], number]), kind="stable")

    def merged(old: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        both: np.ndarray = np.concatenate([old[stays], fresh])[order]
        return both

    return MeasuredObjects(
        merged(table.ids, number),
        merged(table.centers, new.centers),
        merged(table.lower, new.lower),
        merged(table.upper, new.upper),
        merged(table.sizes, new.sizes),
    ), ids


def _changed_planes(
    table: MeasuredObjects, before: np.ndarray, after: np.ndarray
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids of changed objects, and their planes as they are now."""
    both = min(len(before), len(after))
    space = tuple(range(1, after.ndim))
    differs = (before[:both] != after[:both]).any(space)
    added = both + np.flatnonzero(after[both:].any(space))
    rows = np.concatenate([np.flatnonzero(differs), added]).astype(np.int64)
    gone = table.ids[table.ids > len(after)]
    part = np.concatenate([after[rows] != 0, np.zeros((len(gone), *after.shape[1:]), bool)])
    return np.concatenate([rows + 1, gone]), part


def _changed_labels(
    table: MeasuredObjects, before: np.ndarray, after: np.ndarray
) -> tuple[NDArray[np.int64], np.ndarray]:
    """Ids of changed objects, and a label image of those alone, up to the last pixel that they had or have."""
    at = np.nonzero(before != after)
    ids = np.unique(np.concatenate([before[at], after[at]])).astype(np.int64)
    ids = ids[ids != 0]
    if len(ids) == 0:
        return ids, after[:0]
    rows = np.isin(table.ids, ids)
    low = np.vstack([table.lower[rows], [axis.min() for axis in at]]).min(0)
    high = np.vstack([table.upper[rows], [axis.max() + 1 for axis in at]]).max(0)
    # What begins at the image's first pixel gives the same coordinates, and so the same centres to the last bit.
    part = np.zeros(tuple(high), after.dtype)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part[box] = np.where(np.isin(after[box], ids), after[box], 0)
    return ids, part


def _order(values: np.ndarray) -> NDArray[np.int64]:
    """Order by value, stable; in linear time for up to 65,535 labels."""
    if len(values) and values.min() >= 0 and values.max() <= 65_535:
        return np.argsort(values.astype(np.uint16), kind="stable")
    return np.argsort(values, kind="stable")
