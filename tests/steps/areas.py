"""Where a person who sees the objects of an image draws a rectangle around some of them, and one around none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SLICE = 60
"""Pixels of a slice of an object that is not at its end."""


@dataclass(frozen=True)
class Area:
    """A rectangle in a plane with about as many objects as wanted."""

    z: int
    box: tuple[int, int, int, int]
    """Top, left, bottom, right: the last pixels inside."""
    objects: tuple[int, ...]
    """All that it touches."""

    @classmethod
    def choose(cls, truth: np.ndarray, n: int) -> Area:
        """Where objects lie well apart, few are cut by the edge, and none is small."""
        z = 0
        if truth.ndim == 3:
            sizes = [np.unique(plane, return_counts=True)[1][1:] for plane in truth]
            z = min(range(len(truth)), key=lambda z: (abs(len(sizes[z]) - n), -min(sizes[z], default=0)))
        plane = truth[z] if truth.ndim == 3 else truth
        sides = {i: side for i, side in enumerate(ndimage.find_objects(plane), 1) if side}
        middles = np.array([[(side.start + side.stop) / 2 for side in both] for both in sides.values()])
        found = []
        for middle in middles:
            near = np.argsort(((middles - middle) ** 2).sum(1))[:n]
            boxes = [list(sides.values())[i] for i in near]
            top, left = (max(min(box[axis].start for box in boxes) - 3, 0) for axis in (0, 1))
            bottom, right = (min(max(box[axis].stop for box in boxes) + 2, plane.shape[axis] - 1) for axis in (0, 1))
            touched = np.unique(plane[top : bottom + 1, left : right + 1])
            found.append(cls(z, (top, left, bottom, right), tuple(int(i) for i in touched if i)))
        size = {i: (plane == i).sum() for i in sides}
        return min(found, key=lambda area: (len(area.objects), -min(size[i] for i in area.objects)))

    def planes(self, truth: np.ndarray) -> list[int]:
        """Two or three planes where the rectangle touches no other objects, and these not at their ends."""
        if truth.ndim == 2:
            return [self.z]
        top, left, bottom, right = self.box
        ids, good = np.array(self.objects), []
        for z, plane in enumerate(truth[:, top : bottom + 1, left : right + 1]):
            sizes = (plane[None] == ids[:, None, None]).sum((1, 2))
            if sizes.sum() == (plane > 0).sum() and ((sizes == 0) | (sizes > SLICE)).all() and sizes.any():
                good.append(z)
        return sorted({good[0], self.z, good[-1]})


def empty_box(plane: np.ndarray) -> tuple[int, int, int, int]:
    """The largest square (top, left, bottom, right) in which there is nothing."""
    room = ndimage.distance_transform_cdt(np.pad(plane == 0, 1), "chessboard")[1:-1, 1:-1]
    y, x = np.unravel_index(room.argmax(), room.shape)
    half = int(room.max()) - 3
    return int(y) - half, int(x) - half, int(y) + half, int(x) + half
