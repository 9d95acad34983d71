"""What is fully annotated of an image, as shapes and as masks.

Filling what is drawn around a mask gives the mask back, holes included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import is_object, region_mask
from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.viewer.annotation_pixels import without_copy
from embedseg_napari.viewer.layers import ANNOTATION, picture_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Labels, Layer
    from numpy.typing import NDArray


LEAST_SIDE = 3
"""Pixels: a smaller rectangle was clicked, not drawn."""


def annotation_of(labels: Labels, array: NDArray[Any], layers: Iterable[Layer]) -> Annotation:
    """What layers say of the image that one of them annotates.

    Parameters
    ----------
    labels : Labels
        That layer.
    array : ndarray, shape ((Z,) Y, X)
        Its pixels.
    layers : iterable of Layer
        Those of the viewer; one of them may hold what is fully annotated.
    """
    axes, image = picture_of(labels).axes, labels.metadata[ANNOTATION]
    array = without_copy(array, labels.metadata, [axes.index(letter) for letter in spatial_axes(axes)])
    around = next((one for one in layers if isinstance(one, Shapes) and one.metadata.get(ANNOTATION) == image), None)
    if around is None:
        return Annotation(array)
    return Annotation(array, shapes_mask(around, axes, array.shape))


def drawn_regions(layer: Shapes, axes: str) -> list[NDArray[np.float64]]:
    """Corners ((z,) y, x) of the rectangles and polygons of a layer with these axes; single clicks are left out."""
    keep = [axes.index(letter) for letter in spatial_axes(axes)]
    regions = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("rectangle", "polygon") and len(corners) >= 3:
            points = np.asarray(corners, float)[:, keep]
            if kind == "polygon" or np.ptp(points, axis=0).max() >= LEAST_SIDE:
                regions.append(points)
    return regions


def shapes_mask(layer: Shapes, axes: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where ((Z,) Y, X) the rectangles and polygons of a layer lie; in a volume each on the plane it is drawn on.

    Parameters
    ----------
    layer : Shapes
        As for :func:`drawn_regions`.
    axes : str
        Those of the layer, one letter each.
    shape : tuple of int
        Of the mask.
    """
    mask = np.zeros(shape, bool)
    for place, inside in _masks(layer, axes, shape):
        mask[place] |= inside
    return mask


def n_regions(layer: Shapes, axes: str, shape: tuple[int, ...]) -> int:
    """Number of regions with pixels of an image; parameters as for :func:`shapes_mask`."""
    return sum(bool(inside.any()) for _, inside in _masks(layer, axes, shape))


def is_one_empty(layer: Shapes, axes: str, labels: NDArray[np.int32]) -> bool:
    """Whether a region has pixels of the image, and none of an object that the labels ((Z,) Y, X) show."""
    masks = _masks(layer, axes, labels.shape)
    return any(inside.any() and not is_object(labels[place][inside]).any() for place, inside in masks)


def _masks(layer: Shapes, axes: str, shape: tuple[int, ...]) -> Iterator[tuple[Any, NDArray[np.bool_]]]:
    """Index of the plane that each region is drawn on, across any axis of a volume, and its mask there."""
    for points in drawn_regions(layer, axes):
        if len(shape) == 2:
            yield ..., region_mask(shape, [points])
            continue
        flat = np.flatnonzero(np.ptp(points, axis=0) < 1)
        if len(flat):
            axis = int(flat[0])
            plane = round(float(points[:, axis].mean()))
            if 0 <= plane < shape[axis]:
                sides = [n for a, n in enumerate(shape) if a != axis]
                yield (*(slice(None),) * axis, plane), region_mask(sides, [np.delete(points, axis, axis=1)])


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Polygons ((z,) y, x) around the pieces of a mask ((Z,) Y, X), in a volume each in the plane that it lies in.

    Pieces that are no thinner across another axis are cut into planes along z. `shapes_mask` makes the same mask of
    them. A hole belongs to its piece's polygon, reached and left over one bridge: the way there and back cancel out, so
    that no pixel is added or lost.
    """
    if mask.ndim == 2:
        return _around(mask)
    found, rest = [], mask.copy()
    # What is left by side views lies in planes along z.
    for axis in (1, 2, 0):
        planes = np.moveaxis(rest, axis, 0)
        for at, plane in enumerate(_sheets(planes) if axis else planes.copy()):
            found += [np.insert(corners, axis, at, axis=1) for corners in _around(plane)]
            planes[at] &= ~plane
    return found


def _sheets(planes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pieces of planes (n, ...) that are one plane thick, and as large as what somebody draws."""
    from scipy import ndimage

    thin = planes.copy()
    thin[1:] &= ~planes[:-1]
    thin[:-1] &= ~planes[1:]
    for at in np.flatnonzero(thin.any((1, 2))):
        pieces, _ = ndimage.label(thin[at])
        for number, box in enumerate(ndimage.find_objects(pieces), 1):
            if min(side.stop - side.start for side in box) < LEAST_SIDE:
                thin[at][pieces == number] = False
    return thin


def _around(plane: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Polygons around the pieces of a mask of two axes."""
    from scipy import ndimage
    from skimage.measure import approximate_polygon, find_contours

    found = []
    # Pieces of face neighbours, as find_contours sees them.
    pieces, _ = ndimage.label(plane)
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        start = np.array([side.start for side in box])
        piece = np.pad(pieces[box] == number, 1).astype(float)
        rings = [approximate_polygon(ring, 0.01)[:-1] + start - 1 for ring in find_contours(piece, 0.5)]
        # The outer ring begins above all holes.
        found.append(_joined(sorted(rings, key=lambda ring: ring.min(0).tolist())))
    return found


def _joined(rings: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One closed way along an outer ring, the first, and all holes, over the shortest bridges between corners."""
    from scipy.spatial import KDTree

    way, *holes = rings
    for hole in holes:
        distances, nearest = KDTree(way).query(hole)
        there = int(np.argmin(distances))
        here = int(nearest[there])
        around = np.roll(hole, -there, axis=0)
        way = np.concatenate([way[: here + 1], around, around[:1], way[here:]])
    return way
