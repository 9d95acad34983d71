"""The object at a click by brightness, edges and shape, where no network knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMOOTH, SMOOTH_DEPTH, APART = 0.03, 0.08, 0.3
"""Extents that the image is smoothed over before a threshold is found, that the depth below an outline is, and that two
places where it is greatest are apart if they are two objects."""
NEAR, CORE, FAR = 0.2, 0.1, 1.0
"""Extents around a click within which pixels say how bright the object is, within which they belong to it, and beyond
which none does."""
DARK_AND_BRIGHT = (10, 90)
"""Percentiles of the image around a click."""
STRONG = 90
"""Percentile of the edges around a click that those of an outline are measured by."""
SIZE, EDGE, SHAPE = -1.1, 1.3, 8.4
"""What the square of the logarithm of its size, edges along its outline and its likeness to an ellipse say in favour of
a shape: log-odds that it is right, fitted on six sets of images (benchmarks/clicks.py)."""
MOST_SIZE, MOST_EDGE = 4.0, 3.0
"""Where these terms end."""
ON_ELLIPSE = {2: 4.0, 3: 5.0}
"""Squared distance from the centre, in standard deviations, of the outline of an evenly filled ellipse or ellipsoid."""
UNIT_BALL = {2: np.pi, 3: 4 / 3 * np.pi}
"""Area or volume."""


def shape_at(
    image: NDArray[np.float32], at: tuple[int, ...], extent: Sequence[float], usual_size: float
) -> NDArray[np.bool_]:
    """Find the object at a pixel.

    Tried are what lies on the pixel's side of two thresholds, divided where it is narrow, and in 2D what edges enclose;
    of these the likeliest is taken, by size, outline and form.

    Parameters
    ----------
    image : ndarray of float32, shape ((Z,) Y, X)
        The part of the image around the click.
    at : tuple of int
        The clicked pixel.
    extent : sequence of float
        Pixels that a usual object extends along each axis (z, y, x).
    usual_size : float
        Pixels of a usual object.

    Returns
    -------
    ndarray of bool, shape ((Z,) Y, X)
        With the clicked pixel.
    """
    edges = ndimage.gaussian_gradient_magnitude(image, 1)
    strong = float(np.percentile(edges, STRONG)) or 1.0

    def likelihood(mask: NDArray[np.bool_]) -> float:
        rim = mask & ~ndimage.binary_erosion(mask)
        size = np.log(mask.sum() / usual_size) ** 2
        edge = edges[rim].mean() / strong
        return float(SIZE * min(size, MOST_SIZE) + EDGE * min(edge, MOST_EDGE) + SHAPE * _likeness(mask))

    found = _bright_or_dark(image, at, extent)
    if image.ndim == 2:
        # In a volume that takes as long as all the rest, and was right in none of 32 clicks.
        found.append(_enclosed(edges, at, extent))
    return max(found, key=likelihood)


def _bright_or_dark(
    image: NDArray[np.float32], at: tuple[int, ...], extent: Sequence[float]
) -> list[NDArray[np.bool_]]:
    """What lies on the pixel's side of a threshold."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image, [max(0.5, SMOOTH * e) for e in extent])
    level = np.median(smooth[distance(smooth.shape, at, extent) <= NEAR])
    background = max(np.percentile(smooth, DARK_AND_BRIGHT), key=lambda end: abs(end - level))
    # Half way to what is most unlike the place of the click; and between the two kinds of pixels around it.
    sides = [smooth > (level + background) / 2 if level > background else smooth < (level + background) / 2]
    if smooth.min() < smooth.max():
        is_bright = smooth > threshold_otsu(smooth)
        sides.append(is_bright == is_bright[at])
    found = []
    for side in sides:
        side[at] = True
        mask = _divided(piece(side, at), at, extent)
        # What reaches further than twice a usual object is something else that is as bright.
        mask &= distance(mask.shape, ndimage.center_of_mass(mask), extent) <= FAR
        mask[at] = True
        found.append(mask)
    return found


def _enclosed(edges: NDArray[np.float32], at: tuple[int, ...], extent: Sequence[float]) -> NDArray[np.bool_]:
    """What the strongest edges between the click and places too far from it enclose."""
    from skimage.segmentation import watershed

    away = distance(edges.shape, at, extent)
    markers = np.where(away > FAR, 2, (away <= CORE).astype(np.int32))
    markers[at] = 1
    inside: NDArray[np.bool_] = watershed(edges, markers) == 1
    return inside


def _divided(mask: NDArray[np.bool_], at: tuple[int, ...], extent: Sequence[float]) -> NDArray[np.bool_]:
    """The part of a mask at a pixel of it, where the mask is narrow between its parts."""
    (whole,) = ndimage.find_objects(mask.astype(np.uint8))
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in whole)
    within = np.zeros(mask.shape, bool)
    within[box] = _part(mask[box], tuple(i - side.start for i, side in zip(at, box, strict=True)), extent)
    return within


def _part(mask: NDArray[np.bool_], at: tuple[int, ...], extent: Sequence[float]) -> NDArray[np.bool_]:
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    depth = ndimage.distance_transform_edt(mask, sampling=[min(extent) / e for e in extent])
    depth = ndimage.gaussian_filter(depth, [max(0.5, SMOOTH_DEPTH * e) for e in extent])
    apart = np.ones([2 * max(1, int(APART * e)) + 1 for e in extent], bool)
    peaks = peak_local_max(depth, footprint=apart, labels=mask.astype(np.uint8), exclude_border=False)
    is_peak = np.zeros(mask.shape, bool)
    is_peak[tuple(peaks.T)] = True
    # Where the middle of an object is as deep at several pixels that touch, they are one.
    markers, n = ndimage.label(is_peak, np.ones((3,) * mask.ndim))
    if n < 2:
        return mask
    parts = watershed(-depth, markers, mask=mask)
    part: NDArray[np.bool_] = parts == parts[at]
    return part


def _likeness(mask: NDArray[np.bool_]) -> float:
    """IoU of a mask with the ellipse, or ellipsoid, of its second moments."""
    at = np.argwhere(mask).astype(float)
    if len(at) <= 2 * mask.ndim:
        return 0.0
    # A pixel is not a point.
    moments = np.cov(at.T) + np.eye(mask.ndim) / 12
    away = at - at.mean(0)
    reach = ON_ELLIPSE[mask.ndim]
    n_shared = np.count_nonzero(((away @ np.linalg.inv(moments)) * away).sum(1) <= reach)
    n_ellipse = UNIT_BALL[mask.ndim] * np.sqrt(np.linalg.det(moments) * reach**mask.ndim)
    return float(n_shared / (len(at) + n_ellipse - n_shared))


def piece(mask: NDArray[np.bool_], at: tuple[int, ...]) -> NDArray[np.bool_]:
    """The connected part of a mask at a pixel of it, without holes."""
    pieces, _ = ndimage.label(mask)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(pieces == pieces[at])
    return filled


def distance(shape: tuple[int, ...], point: Sequence[float], extent: Sequence[float]) -> NDArray[np.float64]:
    """From a point, in extents of a usual object."""
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    square = sum(((axis - at) / e) ** 2 for axis, at, e in zip(grid, point, extent, strict=True))
    found: NDArray[np.float64] = np.sqrt(np.asarray(square))
    return found
