"""Polygons around a mask, such that filling them gives the mask back, holes included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Polygons ((z,) y, x) around the pieces of a mask ((Z,) Y, X), plane by plane.

    `states.region_mask` makes the same mask of them. A hole belongs to its piece's polygon, reached and left over one
    bridge: the way there and back cancel out, so that no pixel is added or lost.
    """
    from scipy import ndimage
    from skimage.measure import approximate_polygon, find_contours

    planes = mask[None] if mask.ndim == 2 else mask
    found = []
    for z in np.flatnonzero(planes.any((1, 2))):
        # Pieces of face neighbours, as find_contours sees them.
        pieces, _ = ndimage.label(planes[z])
        for number, box in enumerate(ndimage.find_objects(pieces), 1):
            start = np.array([side.start for side in box])
            piece = np.pad(pieces[box] == number, 1).astype(float)
            rings = [approximate_polygon(ring, 0.01)[:-1] + start - 1 for ring in find_contours(piece, 0.5)]
            # The outer ring begins above all holes.
            corners = _joined(sorted(rings, key=lambda ring: ring.min(0).tolist()))
            found.append(corners if mask.ndim == 2 else np.insert(corners, 0, z, axis=1))
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
