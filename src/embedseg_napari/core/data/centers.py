"""Centres of objects: exact medoid, approximate medoid, centroid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import fft, ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CenterKind = Literal["medoid", "approximate-medoid", "centroid"]

BRUTE_FORCE_PIXELS = 200
"""Up to this many pixels all pairs are faster than a Fourier transform."""
MAX_TRANSFORM = 1 << 26
"""Largest padded bounding box that is transformed (half a gigabyte in float64)."""


@dataclass(frozen=True, slots=True)
class ObjectTable:
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


def object_table(
    instances: np.ndarray, kind: CenterKind = "medoid", spacing: Sequence[float] | None = None, *, planes: bool = False
) -> ObjectTable:
    """Measure every object of an image once.

    Parameters
    ----------
    instances : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Label image of any integer type, or planes of one object each.
    kind : {"medoid", "approximate-medoid", "centroid"}
        Which centre.
    spacing : sequence of float, optional
        Physical size of a pixel per axis (z, y, x); distances are measured in it.
    planes : bool
        Whether the first axis of `instances` counts planes. Empty planes give no row.
    """
    ids: list[int] = []
    boxes: list[tuple[slice, ...]] = []
    masks: list[np.ndarray] = []
    if planes:
        for index, plane in enumerate(instances):
            found = ndimage.find_objects((plane != 0).astype(np.uint8))
            if found:
                ids.append(index + 1)
                boxes.append(found[0])
                masks.append(plane[found[0]] != 0)
        ndim = instances.ndim - 1
    else:
        ndim = instances.ndim
        values, dense = _dense_labels(instances)
        for index, box in enumerate(ndimage.find_objects(dense)):
            if box is not None:
                ids.append(int(values[index]))
                boxes.append(box)
                masks.append(dense[box] == index + 1)
    lower = np.array([[s.start for s in box] for box in boxes], np.int64).reshape(-1, ndim)
    upper = np.array([[s.stop for s in box] for box in boxes], np.int64).reshape(-1, ndim)
    inside = np.array([_center(mask, kind, spacing) for mask in masks], np.float64).reshape(-1, ndim)
    sizes = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
    return ObjectTable(np.array(ids, np.int64), inside + lower, lower, upper, sizes)


def _dense_labels(labels: np.ndarray) -> tuple[NDArray[np.int64], np.ndarray]:
    """Values 1.. in a type that `find_objects` takes without a huge list for sparse ids."""
    top = int(labels.max(initial=0))
    if 0 <= top <= 4 * labels.size and top < 2**31:
        return np.arange(1, top + 1, dtype=np.int64), labels.astype(np.int32, copy=False)
    values, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int32)
    if len(values) and values[0] == 0:
        return values[1:].astype(np.int64), dense
    return values.astype(np.int64), dense + 1


def _center(mask: np.ndarray, kind: CenterKind, spacing: Sequence[float] | None) -> tuple[float, ...]:
    if kind == "centroid":
        return centroid(mask)
    return medoid(mask, spacing) if kind == "medoid" else approximate_medoid(mask, spacing)


def centroid(mask: np.ndarray) -> tuple[float, ...]:
    """Mean position of a mask's pixels; may lie outside a bent object.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    return tuple(float(v) for v in _coordinates(mask).mean(0))


def approximate_medoid(mask: np.ndarray, spacing: Sequence[float] | None = None) -> tuple[int, ...]:
    """The member pixel nearest to the per-axis medians; ties go to the first in array order.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    at = _coordinates(mask)
    step = _step(spacing, mask.ndim)
    offset = (at - np.median(at, axis=0)) * step
    return tuple(int(v) for v in at[int(np.argmin((offset**2).sum(1)))])


def medoid(mask: np.ndarray, spacing: Sequence[float] | None = None) -> tuple[int, ...]:
    """The exact medoid: the member pixel with the smallest sum of Euclidean distances to all members.

    The sums for all pixels are the mask convolved with the distance to the origin, so one Fourier transform of the
    bounding box replaces the matrix of all pairs. Ties go to the first pixel in array order.

    Parameters
    ----------
    mask : ndarray, shape ((Z,) Y, X)
        Non-zero where the object is.
    spacing : sequence of float, optional
        Physical size of a pixel per axis; default 1 each.

    Returns
    -------
    tuple of int
        Index into `mask`.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    mask = np.asarray(mask) != 0
    at = _coordinates(mask)
    lower = at.min(0)
    shape = tuple(int(v) for v in at.max(0) - lower + 1)
    step = _step(spacing, mask.ndim)
    padded = tuple(fft.next_fast_len(2 * side - 1, real=True) for side in shape)
    if len(at) <= BRUTE_FORCE_PIXELS or np.prod(padded, dtype=float) > MAX_TRANSFORM:
        sums = _distance_sums(at, at, step)
        candidates = np.flatnonzero(sums <= sums.min() * (1 + 1e-12))
        return tuple(int(v) for v in at[candidates[0]])
    cropped = np.zeros(padded)
    cropped[tuple((at - lower).T)] = 1.0
    total = fft.irfftn(fft.rfftn(cropped) * _distance_kernel(shape, padded, step), s=padded)
    sums = total[tuple((at - lower).T)]
    # The transform rounds; those within its error are summed again, exactly.
    candidates = np.flatnonzero(sums <= sums.min() + 1e-9 * max(float(np.abs(total).max()), 1.0))
    exact = _distance_sums(at[candidates], at, step)
    return tuple(int(v) for v in at[candidates[np.flatnonzero(exact <= exact.min() * (1 + 1e-12))[0]]])


@lru_cache(maxsize=256)
def _distance_kernel(shape: tuple[int, ...], padded: tuple[int, ...], step: tuple[float, ...]) -> np.ndarray:
    """Transform of the distance from the origin, wrapped around for negative differences."""
    squared = np.zeros(padded)
    for axis, (side, length, size) in enumerate(zip(shape, padded, step, strict=True)):
        line = np.zeros(length)
        line[:side] = np.arange(side) * size
        if side > 1:
            line[-(side - 1) :] = np.arange(side - 1, 0, -1) * size
        view = [1] * len(padded)
        view[axis] = length
        squared += line.reshape(view) ** 2
    kernel: np.ndarray = fft.rfftn(np.sqrt(squared))
    return kernel


def _distance_sums(points: np.ndarray, members: np.ndarray, step: tuple[float, ...]) -> NDArray[np.float64]:
    """Sum of distances from each point to all members, a block of pairs at a time."""
    scale = np.array(step)
    a, b = points * scale, members * scale
    block = max(1, (1 << 22) // len(b))
    sums = np.empty(len(a))
    for start in range(0, len(a), block):
        squared = np.zeros((len(a[start : start + block]), len(b)))
        for axis in range(a.shape[1]):
            squared += (a[start : start + block, axis, None] - b[None, :, axis]) ** 2
        sums[start : start + block] = np.sqrt(squared).sum(1)
    return sums


def _step(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    return (1.0,) * ndim if spacing is None else tuple(float(v) for v in spacing)


def _coordinates(mask: np.ndarray) -> NDArray[np.int64]:
    at = np.argwhere(mask)
    if len(at) == 0:
        raise ValueError("an empty mask has no centre")
    return at
