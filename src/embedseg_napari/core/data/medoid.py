"""Centres of objects: exact medoid, approximate medoid, centroid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.settings import positive_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

CenterKind = Literal["medoid", "approximate-medoid", "centroid"]

MAX_CUTS = 48
"""Members whose exact sum of distances bounds those of the others, before a Fourier transform is the shorter way.

Filled shapes need 10 to 20; only thin rings and shells, whose members are nearly equivalent, need more.
"""
MAX_TRANSFORM = 1 << 25
"""Largest padded bounding box that is transformed (a quarter of a gigabyte in float64, about 1 GB at the peak)."""
TIE = 1e-12
"""Sums of distances that differ by less than this fraction are equal but for rounding."""
SLACK = 1e-10
"""Fraction by which a lower bound may err through rounding."""


def medoid(mask: np.ndarray, spacing: Sequence[float] | None = None) -> tuple[int, ...]:
    """The exact medoid: the member pixel with the smallest sum of Euclidean distances to all members.

    Ties go to the first pixel in array order.

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
    DataError
        If the mask is empty, or the spacing has another number of axes.
    """
    mask = np.asarray(mask)
    if mask.ndim == 0 or mask.dtype.kind not in "buif":
        raise DataError(f"A mask is an array of numbers, not {mask.dtype} of shape {mask.shape}.")
    at = np.stack(np.nonzero(mask))
    if at.shape[1] == 0:
        raise DataError("An empty mask has no centre; give a mask with at least one pixel.")
    center = centers_of(at, np.zeros(1, np.int64), "medoid", pixel_size(spacing, len(at)))[0]
    return tuple(int(v) for v in center)


def middle_pixel(pixels: Sequence[np.ndarray], spacing: ArrayLike = 1.0) -> tuple[int, ...]:
    """The pixel of an object nearest to its centre of mass, which itself may lie beside it.

    Parameters
    ----------
    pixels : sequence of ndarray
        Indices of at least one pixel, one array per axis.
    spacing : array
        Physical size of a pixel, per axis or the same for all.
    """
    at = np.stack(pixels, axis=1)
    return tuple(at[(((at - at.mean(0)) * np.asarray(spacing)) ** 2).sum(1).argmin()].tolist())


def pixel_size(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Size of a pixel per axis; 1 each where it is not known."""
    if spacing is None:
        return (1.0,) * ndim
    size = positive_numbers(spacing, f"The spacing of a mask with {ndim} axes", DataError)
    if len(size) != ndim:
        raise DataError(f"Spacing {size} does not fit a mask with {ndim} axes; give one positive size per axis.")
    return size


def centers_of(
    at: NDArray[np.int64], starts: NDArray[np.int64], kind: CenterKind, step: tuple[float, ...]
) -> NDArray[np.float64]:
    """Centres (n, ndim) of objects whose pixels `at` (ndim, N) stand one object after the other."""
    sizes = np.diff(starts, append=at.shape[1])
    if kind == "centroid":
        mean: NDArray[np.float64] = (np.add.reduceat(at, starts, axis=1) / sizes).T
        return mean
    scale = np.array(step)[:, None]
    if kind == "approximate-medoid":
        middle = np.stack([_medians(line, starts, sizes) for line in at])
        # Differences first: what is as far on both sides must stay a tie.
        away = (at - np.repeat(middle, sizes, axis=1)) * scale
        rows = _first_minimum(np.einsum("ij,ij->j", away, away), starts, sizes)
    else:
        rows = _medoids(at, starts, sizes, scale)
    return at[:, rows].T.astype(np.float64)


def _medians(line: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of each object's coordinates along one axis."""
    base = np.repeat(np.arange(len(starts)) * (int(line.max()) + 1), sizes)
    ordered = np.sort(base + line) - base
    middle: NDArray[np.float64] = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2.0
    return middle


def _first_minimum(
    values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Row of each object's smallest value, the first of equal ones."""
    low = np.minimum.reduceat(values, starts)
    hits = np.flatnonzero(values == np.repeat(low, sizes))
    first: NDArray[np.int64] = hits[np.searchsorted(hits, starts)]
    return first


def _squared_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of the columns of two arrays (ndim, N)."""
    away = a - b
    squared: NDArray[np.float64] = np.einsum("ij,ij->j", away, away)
    return squared


def _medoids(
    at: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64], scale: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Row of each object's exact medoid.

    The sum of distances to all members is a convex function of position. Its value and slope at one member therefore
    bound it from below at all others (Kelley's cutting planes): members whose bound exceeds the best sum so far are
    out. Each round sums the distances from one member of every object, the one that looks best by its bound plus the
    curvature around the best one, until no other member can be better. All objects advance together.
    """
    n, ndim = len(starts), len(at)
    # From each object's own corner, so that large images cost no precision.
    low = np.minimum.reduceat(at, starts, axis=1)
    points = (at - np.repeat(low, sizes, axis=1)) * scale
    mean = np.add.reduceat(points, starts, axis=1) / sizes
    current = _first_minimum(_squared_distance(points, np.repeat(mean, sizes, axis=1)), starts, sizes)
    best, best_row, curvature = np.full(n, np.inf), current.copy(), np.zeros(n)

    live = np.arange(n)
    members, m_sizes = points, sizes
    # Candidates: members that may still be the medoid, with the bound of their sum and the object they belong to.
    rows, places, owner = np.arange(at.shape[1]), points, np.repeat(live, sizes)
    bound = np.full(len(rows), -np.inf)
    height, slope = np.zeros(n), np.zeros((ndim, n))
    for _ in range(MAX_CUTS):
        m_starts = np.cumsum(m_sizes) - m_sizes
        here = points[:, current[live]]
        away = np.repeat(here, m_sizes, axis=1)
        away -= members
        distance = np.sqrt(np.einsum("ij,ij->j", away, away))
        value = np.add.reduceat(distance, m_starts)
        distance[distance == 0] = np.inf
        np.divide(1.0, distance, out=distance)
        away *= distance
        slope[:, live] = np.add.reduceat(away, m_starts, axis=1)
        height[live] = value - (slope[:, live] * here).sum(0)

        better = value < best[live] * (1 - TIE)
        equal = ~better & (value <= best[live] * (1 + TIE)) & (current[live] < best_row[live])
        best[live[better]] = value[better]
        best_row[live[better | equal]] = current[live[better | equal]]
        # Mean second derivative of a sum of distances in ndim dimensions.
        curvature[live[better]] = np.add.reduceat(distance, m_starts)[better] * ((ndim - 1) / ndim)

        plane = height[owner]
        for line, steepness in zip(places, slope, strict=True):
            plane += steepness[owner] * line
        np.maximum(bound, plane, out=bound)
        kept = np.flatnonzero((bound <= (best * (1 + SLACK))[owner]) & (rows != current[owner]))
        if len(kept) == 0:
            return best_row
        rows, places, owner, bound = rows[kept], places[:, kept], owner[kept], bound[kept]
        c_starts = np.flatnonzero(np.diff(owner, prepend=-1))
        still = owner[c_starts]
        guess = _squared_distance(places, points[:, best_row][:, owner])
        guess *= (0.5 * curvature)[owner]
        guess += bound
        current[still] = rows[_first_minimum(guess, c_starts, np.diff(c_starts, append=len(rows)))]
        if len(still) < len(live):
            stays = np.zeros(n, bool)
            stays[still] = True
            members = members[:, np.repeat(stays[live], m_sizes)]
            live, m_sizes = still, sizes[still]
    for index in live:
        mine = slice(int(starts[index]), int(starts[index] + sizes[index]))
        left = np.append(rows[owner == index], best_row[index]) - starts[index]
        corner = at[:, mine] - low[:, index, None]
        best_row[index] = starts[index] + _medoid_by_sums(corner, np.sort(left), scale)
    return best_row


def _medoid_by_sums(at: NDArray[np.int64], candidates: NDArray[np.int64], scale: NDArray[np.float64]) -> int:
    """Row of the medoid among `candidates`, from the sums of distances of all of them.

    The sums at all pixels are the mask convolved with the distance from the origin, so one Fourier transform of the
    bounding box replaces the matrix of all pairs.
    """
    # Here, for few shapes need it: it takes as long to import as a panel may to open.
    from scipy import fft

    shape = tuple(int(v) + 1 for v in at.max(1))
    padded = tuple(fft.next_fast_len(2 * side - 1, real=True) for side in shape)
    if np.prod(padded, dtype=float) <= MAX_TRANSFORM:
        mask = np.zeros(padded)
        mask[tuple(at)] = 1.0
        distances = _wrapped_distances(shape, padded, scale)
        total = fft.irfftn(fft.rfftn(mask) * fft.rfftn(distances), s=padded)
        sums = total[tuple(at[:, candidates])]
        # The transform rounds; those within its error are summed again, one distance at a time.
        candidates = candidates[sums <= sums.min() + 1e-9 * max(float(np.abs(total).max()), 1.0)]
    points = at * scale
    sums = np.array([np.sqrt(((points - points[:, i, None]) ** 2).sum(0)).sum() for i in candidates])
    return int(candidates[np.flatnonzero(sums <= sums.min() * (1 + TIE))[0]])


def _wrapped_distances(shape: tuple[int, ...], padded: tuple[int, ...], scale: NDArray[np.float64]) -> np.ndarray:
    """Distance from the origin, wrapped around for negative differences."""
    squared = np.zeros(padded)
    for axis, (side, length) in enumerate(zip(shape, padded, strict=True)):
        line = np.zeros(length)
        line[:side] = np.arange(side) * scale[axis]
        if side > 1:
            line[-(side - 1) :] = line[side - 1 : 0 : -1]
        view = [1] * len(padded)
        view[axis] = length
        squared += line.reshape(view) ** 2
    distances: np.ndarray = np.sqrt(squared)
    return distances
