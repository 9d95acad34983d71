"""A person who annotates images: paints objects and background around them, and judges what a model proposes.

The truth stands for what the person sees. It is looked at only where the person paints, and at the places that the
product proposes; never to choose what to paint or to look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.edits import accept, paint_object
from embedseg_napari.core.annotation.states import is_object, next_free_label, object_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.annotation.edits import Edit
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.inference.segmentation import Segmentation

LOOKS_RIGHT = 0.75
"""IoU with the true object from which on a person lets an outline pass."""


@dataclass
class Effort:
    """What the person did."""

    painted: int = 0
    """Objects outlined by hand, corrected ones included."""
    accepted: int = 0
    regions: int = 0
    """Boxes in which all objects are painted (in volumes one for each plane), and squares of background."""

    @property
    def actions(self) -> int:
        """All of them."""
        return self.painted + self.accepted + self.regions


@dataclass
class Sheet:
    """An image on the person's desk, and its annotation so far."""

    truth: Example
    labels: np.ndarray = field(init=False)
    regions: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.truth.image.shape[1:], np.int32)
        self.regions = np.zeros(self.labels.shape, bool)

    @property
    def is_begun(self) -> bool:
        """Whether something is annotated."""
        return bool(self.regions.any() or self.labels.any())

    def is_settled(self, place: Sequence[float]) -> bool:
        """Whether a place (z, y, x) is annotated."""
        at = tuple(min(max(round(x), 0), side - 1) for x, side in zip(place, self.labels.shape, strict=True))
        return bool(self.labels[at] or self.regions[at])

    @property
    def example(self) -> Example:
        """What training gets."""
        truth = self.truth
        return Annotation(self.labels, self.regions).example(truth.name, truth.image, truth.spacing, truth.unit)

    def apply(self, edit: Edit) -> None:
        """Change the annotation."""
        self.labels = edit.applied_to(self.labels)


class Person:
    """Paints and judges; `effort` counts.

    Parameters
    ----------
    seed : int
        Of what the person happens to paint first.
    planes : int, optional
        In a volume the person paints on so many planes of each box only, instead of filling all of them.
    """

    def __init__(self, seed: int, planes: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.effort = Effort()
        self.planes = planes

    def paint_group(self, sheet: Sheet, n: int) -> int:
        """Draw a box around a random object so that no more than `n` objects reach into it, and paint them all.

        A square of empty background elsewhere is marked, too.

        Returns
        -------
        int
            Number of objects painted; fewer than `n` where the image has no more.
        """
        truth = sheet.truth.instances
        ids = object_ids(truth)
        if len(ids) == 0 or n == 0:
            return 0
        first = np.array(ndimage.center_of_mass(truth == self.rng.choice(ids)))
        chosen, box = self._box(sheet, first, n)
        where = np.ones(truth.shape, bool)
        if truth.ndim == 3 and self.planes is not None:
            depths = np.flatnonzero(box.any((1, 2)))
            where[:] = False
            where[np.unique(np.linspace(depths[0], depths[-1], self.planes + 2).round().astype(int)[1:-1])] = True
        for true_id in chosen:
            self._paint(sheet, int(true_id), where)
        box &= where
        sheet.regions |= box
        self.effort.regions += int(box.any((1, 2)).sum()) if truth.ndim == 3 else 1
        self._mark_empty(sheet)
        return len(chosen)

    def _box(self, sheet: Sheet, middle: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the `n` objects next to a place, and the largest box around it that no other object reaches into."""
        truth = sheet.truth.instances
        ids = object_ids(truth)
        step = sheet.truth.spacing or (1.0,) * truth.ndim
        away = np.zeros(truth.shape)
        axes = np.ogrid[tuple(slice(0, side) for side in truth.shape)]
        for at, place, size in zip(axes, middle, step, strict=True):
            away = np.maximum(away, np.abs(at - place) * size)
        nearest = np.asarray(ndimage.minimum(away, truth, ids))
        order = np.argsort(nearest, kind="stable")
        reach = nearest[order[n]] - step[-1] if n < len(ids) else away.max()
        return ids[order[:n]], away <= reach

    def settle(self, sheet: Sheet, segmentation: Segmentation, place: Sequence[float], n: int) -> None:
        """Draw a box around a place that the product proposes, and see to every object in it.

        What is predicted well is accepted, other objects are painted; what is predicted where there is none becomes
        background with the box.
        """
        truth = sheet.truth.instances
        if not truth.any():
            sheet.regions[:] = True
            self.effort.regions += 1
            return
        chosen, box = self._box(sheet, np.asarray(place), n)
        if not box.any():
            return
        for true_id in chosen:
            own = truth == true_id
            if is_object(sheet.labels[own]).any():
                continue
            below = segmentation.labels[own]
            found = int(np.bincount(below).argmax()) if len(below) else 0
            union = int(own.sum() + (segmentation.labels == found).sum() - (below == found).sum())
            if found and (below == found).sum() >= LOOKS_RIGHT * union:
                new_id = next_free_label(sheet.labels)
                sheet.apply(accept(sheet.labels, segmentation.labels, found, new_id))
                self.effort.accepted += 1
            else:
                self._paint(sheet, int(true_id))
        sheet.regions |= box
        self.effort.regions += int(box.any((1, 2)).sum()) if truth.ndim == 3 else 1

    def _paint(self, sheet: Sheet, true_id: int, where: np.ndarray | None = None) -> None:
        is_seen = sheet.truth.instances == true_id
        pixels = np.nonzero(is_seen if where is None else is_seen & where)
        if not len(pixels[0]):
            return
        sheet.apply(paint_object(sheet.labels, pixels, next_free_label(sheet.labels), ()))
        self.effort.painted += 1

    def _mark_empty(self, sheet: Sheet) -> None:
        """Draw a large square without an object around a random place, no wider than a quarter of the image."""
        truth = sheet.truth.instances
        z = int(self.rng.integers(len(truth))) if truth.ndim == 3 else None
        plane = truth if z is None else truth[z]
        most = min(plane.shape) // 8
        # Chessboard distance: half the side of the square that fits.
        fits = np.minimum(ndimage.distance_transform_cdt(plane == 0, "chessboard"), most)
        best = np.flatnonzero(fits > 0.7 * fits.max())
        if fits.max() < 2:
            return
        row, column = np.unravel_index(self.rng.choice(best), plane.shape)
        half = int(fits[row, column]) - 1
        view = sheet.regions if z is None else sheet.regions[z]
        view[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1] = True
        self.effort.regions += 1
