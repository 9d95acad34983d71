"""One object from clicks and strokes: by a network's maps where these know it, by the image elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.annotation.states import is_object
from embedseg_napari.core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.maps import EmbeddingMaps

REACH, LEAST_REACH = 1.5, 6
"""Extents of a usual object, and pixels at least, that are looked at each way from a click."""
SURE, KNOWN = 0.5, 0.3
"""Seediness of an object's seed from which on the maps are believed, whatever its size and if that is usual."""
SMALLEST, LARGEST = 0.25, 4.0
"""Sizes of a usual object between which one is usual."""
LEAST_MARGIN = 1e-6
"""Pixels; smaller margins are taken for this."""
SMOOTH, SMOOTH_DEPTH, APART = 0.05, 0.08, 0.3
"""Extents that the image is smoothed over before a threshold is found, that the depth below an outline is, and that two
places where it is greatest are apart if they are two objects (benchmarks/clicks.py)."""
NEAR, DARK_AND_BRIGHT = 0.2, (10, 90)
"""Extents around a click within which pixels belong to the object, and percentiles of the image around it."""

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class ClickedObject:
    """What lies under a click."""

    pixels: Indices
    """Where the object is, one array of indices per axis (z, y, x)."""
    is_known: bool
    """Whether the maps know the object; it is guessed from the image if not."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of an image that is clicked on.

    Parameters
    ----------
    image : ndarray, shape ((Z,) Y, X)
        One channel, or the mean of several.
    extent : sequence of float
        Pixels that a usual object extends along each axis (z, y, x).
    maps : EmbeddingMaps, optional
        Of the image or of a part of it, by any network.
    maps_start : tuple of int
        Pixel (z, y, x) of the image that is the first of the maps; of the whole image if left out.
    foreground_threshold : float
        Of the network's settings for prediction.
    """

    image: np.ndarray
    extent: Sequence[float]
    maps: EmbeddingMaps | None = None
    maps_start: tuple[int, ...] | None = None
    foreground_threshold: float = 0.5

    def box(self, pixels: Indices) -> Box:
        """The part of the image around pixels that their object may fill."""
        reach = [max(LEAST_REACH, int(np.ceil(REACH * extent))) for extent in self.extent]
        return tuple(
            slice(max(0, int(at.min()) - r), min(n, int(at.max()) + r + 1))
            for at, r, n in zip(pixels, reach, self.image.shape, strict=True)
        )

    def is_usual(self, n_pixels: int) -> bool:
        """Whether an object may have that size: the usual one is an ellipse, or ellipsoid, of the usual extent."""
        usual = float(np.prod(self.extent)) * (np.pi / 4 if self.image.ndim == 2 else np.pi / 6)
        return SMALLEST * usual <= n_pixels <= LARGEST * usual


def object_under(
    around: Surroundings,
    inside: Sequence[Indices],
    outside: Sequence[Indices] = (),
    annotated: np.ndarray | None = None,
) -> ClickedObject:
    """Find the object under a click, or under several clicks and strokes.

    In the maps it is what falls within the margins of one seed: of all seeds that the clicked pixel belongs to, the
    seediest. Where it is faint, the image decides: pixels on the clicked one's side of a local
    threshold, divided where they are narrow.

    Parameters
    ----------
    around : Surroundings
        The image, and what is known of it.
    inside : sequence of tuple of ndarray
        Pixels of each click or stroke that belong to the object, in the order they were drawn, at least one; what lies
        under the middle of each is joined.
    outside : sequence of tuple of ndarray
        Pixels of strokes that do not; the object is cut off from them.
    annotated : ndarray of int, shape ((Z,) Y, X), optional
        The annotation; its objects stay as they are.

    Raises
    ------
    AnnotationError
        If the first click is on an annotated object.
    """
    middles = [tuple(int(axis[len(axis) // 2]) for axis in stroke) for stroke in inside]
    if annotated is not None and is_object(annotated[middles[0]]):
        raise AnnotationError("An object is annotated there; click on another, or erase it first.")
    box = around.box(tuple(np.concatenate(axes) for axes in zip(*inside, strict=True)))
    is_free = np.ones([side.stop - side.start for side in box], bool)
    if annotated is not None:
        is_free &= ~is_object(annotated[box])
    wanted, unwanted = _drawn(inside, box) & is_free, _drawn(outside, box)
    found, is_known = wanted.copy(), []
    for middle in middles:
        part, mask = _by_maps(around, middle)
        is_known.append(mask is not None)
        if mask is None:
            mask = _by_image(around, part, _at(middle, part))
        found[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, box, strict=True))] |= mask
    found &= is_free
    if unwanted.any():
        found = _cut_off(around.image[box], found, wanted, unwanted)
    pieces, n = ndimage.label(found)
    is_kept = np.zeros(n + 1, bool)
    is_kept[pieces[wanted & found]] = True
    is_kept[0] = False
    found = ndimage.binary_fill_holes(is_kept[pieces]) & is_free & ~unwanted
    pixels = tuple(axis + side.start for axis, side in zip(np.nonzero(found), box, strict=True))
    return ClickedObject(pixels, is_known[0])


def _by_maps(around: Surroundings, pixel: tuple[int, ...]) -> tuple[Box, NDArray[np.bool_] | None]:
    """The part of the image that is looked at, and the object there; None where the maps do not know it."""
    whole, maps = around.box(tuple(np.array([axis]) for axis in pixel)), around.maps
    if maps is None:
        return whole, None
    ndim = len(pixel)
    first = around.maps_start or (0,) * ndim
    box = tuple(
        slice(max(side.start, low), min(side.stop, low + n))
        for side, low, n in zip(whole, first, maps.seed_map.shape, strict=True)
    )
    if not all(side.start <= i < side.stop for i, side in zip(pixel, box, strict=True)):
        return whole, None
    in_maps = tuple(slice(side.start - low, side.stop - low) for side, low in zip(box, first, strict=True))
    at, seed_map = _at(pixel, box), maps.seed_map[in_maps]
    points = maps.offsets[(slice(None), *in_maps)] + np.indices(seed_map.shape, np.float32)
    margins = np.maximum(maps.margins[(slice(None), *in_maps)], LEAST_MARGIN)

    def of(values: np.ndarray, where: tuple[int, ...]) -> np.ndarray:
        pixel: np.ndarray = np.moveaxis(values, 0, -1)[where]
        return pixel.reshape(-1, *[1] * ndim)

    reaches_click = (((points - of(points, at)) / margins) ** 2).sum(0) < 1
    if not reaches_click.any():
        return whole, None
    seed = tuple(int(i) for i in np.unravel_index(np.where(reaches_click, seed_map, -1).argmax(), seed_map.shape))
    seediness = float(seed_map[seed])
    # A person has said that there is an object, so less is enough for the rest of it.
    foreground = min(around.foreground_threshold, seediness / 2)
    inside = ((((points - of(points, seed)) / of(margins, seed)) ** 2).sum(0) < 1) & (seed_map > foreground)
    inside[at] = True
    mask = _piece(inside, at)
    is_known = seediness >= SURE or (seediness >= KNOWN and around.is_usual(int(mask.sum())))
    return (box, mask) if is_known else (whole, None)


def _at(pixel: tuple[int, ...], box: Box) -> tuple[int, ...]:
    return tuple(i - side.start for i, side in zip(pixel, box, strict=True))


def _drawn(strokes: Sequence[Indices], box: Box) -> NDArray[np.bool_]:
    """Where strokes lie in a part of the image."""
    mask = np.zeros([side.stop - side.start for side in box], bool)
    for stroke in strokes:
        at = [axis - side.start for axis, side in zip(stroke, box, strict=True)]
        is_in = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(at, mask.shape, strict=True)])
        mask[tuple(axis[is_in] for axis in at)] = True
    return mask


def _piece(mask: NDArray[np.bool_], at: tuple[int, ...]) -> NDArray[np.bool_]:
    """The connected part of a mask at a pixel of it, without holes."""
    pieces, _ = ndimage.label(mask)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(pieces == pieces[at])
    return filled


def _by_image(around: Surroundings, box: Box, at: tuple[int, ...]) -> NDArray[np.bool_]:
    """The object at a pixel of a part of the image by brightness and shape."""
    from skimage.filters import threshold_otsu

    image, extent = around.image[box].astype(np.float32), around.extent
    smooth = ndimage.gaussian_filter(image, [max(0.5, SMOOTH * e) for e in extent])
    is_near = _distance(smooth.shape, at, extent) <= NEAR
    level, ends = np.median(smooth[is_near]), np.percentile(smooth, DARK_AND_BRIGHT)
    background = max(ends, key=lambda end: abs(end - level))
    # Half way to what is most unlike the place of the click; and between the two kinds of pixels around it.
    sides = [smooth > (level + background) / 2 if level > background else smooth < (level + background) / 2]
    if smooth.min() < smooth.max():
        is_bright = smooth > threshold_otsu(smooth)
        sides.append(is_bright == is_bright[at])
    edges = ndimage.gaussian_gradient_magnitude(image, 1)
    best, most = np.zeros(smooth.shape, bool), (False, -1.0)
    for side in sides:
        side[at] = True
        mask = _divided(_piece(side, at), at, extent)
        # What reaches further than twice a usual object is something else that is as bright.
        mask &= _distance(mask.shape, ndimage.center_of_mass(mask), extent) <= 1
        rim = mask & ~ndimage.binary_erosion(mask)
        rating = (around.is_usual(int(mask.sum())), float(edges[rim].mean()) if rim.any() else 0.0)
        if rating > most:
            best, most = mask, rating
    return best


def _divided(mask: NDArray[np.bool_], at: tuple[int, ...], extent: Sequence[float]) -> NDArray[np.bool_]:
    """The part of a mask at a pixel, where the mask is narrow between its parts."""
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


def _distance(shape: tuple[int, ...], point: Sequence[float], extent: Sequence[float]) -> NDArray[np.float64]:
    """From a point, in extents of a usual object."""
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    square = sum(((axis - at) / e) ** 2 for axis, at, e in zip(grid, point, extent, strict=True))
    distance: NDArray[np.float64] = np.sqrt(np.asarray(square))
    return distance


def _cut_off(
    image: np.ndarray, found: NDArray[np.bool_], wanted: NDArray[np.bool_], unwanted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What of an object lies on the wanted side of edges between wanted and unwanted pixels."""
    from skimage.segmentation import watershed

    edges = ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 1)
    markers = np.where(unwanted, 2, wanted.astype(np.int32))
    kept: NDArray[np.bool_] = watershed(edges, markers, mask=found | unwanted) == 1
    return kept
