"""A person who annotates images: paints objects and background around them, and judges what a model proposes.

The truth stands for what the person sees. It is looked at only where the person paints, and at the places that the
product proposes; never to choose what to paint or to look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.annotation.edits import accept, delete_predicted, paint_background, paint_object
from embedseg_napari.core.annotation.states import BACKGROUND, is_object, next_free_label, object_ids, to_example

if TYPE_CHECKING:
    from embedseg_napari.core.annotation.doubt import Doubt
    from embedseg_napari.core.annotation.edits import Edit
    from embedseg_napari.core.data.pairs import Example
    from embedseg_napari.core.inference.segmentation import Segmentation

LOOKS_RIGHT = 0.75
"""IoU with the true object from which on a person lets an outline pass."""
IS_NONE = 0.3
"""Share of a proposal on true objects below which a person says that there is none."""


@dataclass
class Effort:
    """What the person did."""

    painted: int = 0
    """Objects outlined by hand, corrected ones included."""
    accepted: int = 0
    deleted: int = 0
    regions: int = 0
    """Boxes in which all objects are painted (in volumes one for each plane), and squares of background."""

    @property
    def actions(self) -> int:
        """All of them."""
        return self.painted + self.accepted + self.deleted + self.regions


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

    @property
    def example(self) -> Example:
        """What training gets."""
        truth = self.truth
        return to_example(truth.name, truth.image, self.labels, self.regions, truth.spacing, truth.unit)

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
        step = np.array(sheet.truth.spacing or (1.0,) * truth.ndim)
        first = np.array(ndimage.center_of_mass(truth == self.rng.choice(ids)))
        axes = np.ogrid[tuple(slice(0, side) for side in truth.shape)]
        away = np.zeros(truth.shape)
        for at, middle, size in zip(axes, first, step, strict=True):
            away = np.maximum(away, np.abs(at - middle) * size)
        nearest = np.asarray(ndimage.minimum(away, truth, ids))
        order = np.argsort(nearest, kind="stable")
        reach = nearest[order[n]] - step[-1] if n < len(ids) else away.max()
        chosen = ids[order[:n]]
        box = away <= reach
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

    def judge(self, sheet: Sheet, segmentation: Segmentation, doubt: Doubt, may_paint: bool) -> None:
        """Look at one place that the product proposes: accept it, make it background, or paint the true object."""
        truth = sheet.truth.instances
        place = doubt.pixels if doubt.pixels is not None else np.nonzero(segmentation.labels == doubt.label)
        below = truth[place]
        counts = np.bincount(below[below > 0]) if (below > 0).any() else np.zeros(1, int)
        true_id, overlap = int(counts.argmax()), int(counts.max())
        if overlap < IS_NONE * len(below):
            edit = (
                paint_background(sheet.labels, place)
                if doubt.pixels is not None
                else delete_predicted(sheet.labels, segmentation.labels, doubt.label)
            )
            sheet.apply(edit)
            # A person sees where background ends.
            sheet.labels[(truth > 0) & (sheet.labels == BACKGROUND)] = 0
            self.effort.deleted += 1
            return
        iou = overlap / (len(below) + int((truth == true_id).sum()) - overlap)
        if iou >= LOOKS_RIGHT:
            new_id = next_free_label(sheet.labels)
            edit = (
                paint_object(sheet.labels, place, new_id)
                if doubt.pixels is not None
                else accept(sheet.labels, segmentation.labels, doubt.label, new_id)
            )
            sheet.apply(edit)
            self.effort.accepted += 1
        elif may_paint and not is_object(sheet.labels[truth == true_id]).any():
            self._paint(sheet, true_id)
