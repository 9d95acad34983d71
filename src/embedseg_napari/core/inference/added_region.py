"""Objects of a part of an image, segmented by itself, put beside those that were found before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.inference.segmentation import Segmentation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig

SAME_OBJECT = 0.5
"""Part of the smaller one that two objects share from which on they are one object, of which the larger is whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Objects of a part of an image.

    Parameters
    ----------
    segmentation : Segmentation
        Its axes are (T)(Z)YX.
    start : tuple of int
        First pixel of the part in the image, one value per axis of the labels.
    sources : ndarray of int, shape (n,), optional
        Number of each object in the part that was added last, 0 for those found before; None where all are of one run.
    """

    segmentation: Segmentation
    start: tuple[int, ...]
    sources: NDArray[np.int64] | None = None

    @property
    def end(self) -> tuple[int, ...]:
        """One past its last pixel."""
        return tuple(at + n for at, n in zip(self.start, self.segmentation.labels.shape, strict=True))

    def covers(self, other: Placed) -> bool:
        """Whether all of another part lies in this one."""
        return bool(np.all(np.less_equal(self.start, other.start)) and np.all(np.greater_equal(self.end, other.end)))

    def within(self, start: Sequence[int], end: Sequence[int]) -> tuple[slice, ...]:
        """Where a box of the image lies in the labels."""
        return tuple(slice(a - at, b - at) for a, b, at in zip(start, end, self.start, strict=True))


def add_region(before: Placed, part: Placed) -> Placed:
    """Put the objects of a part into those found before.

    Objects that lay wholly in the part give way to those found there now. Of an object that reaches out of it and one
    in it that is mostly the same, the larger stays, for the other was cut. Other pixels that two objects claim are left
    to the one that was there before.

    Parameters
    ----------
    before : Placed
        What was found before, of the same image and the same axes.
    part : Placed
        What was found in the part.

    Returns
    -------
    Placed
        On the smallest box that holds both. Maps are not kept.
    """
    old, new = before.segmentation, part.segmentation
    stays, is_new = _reaching_out(before, part), np.ones(len(new.scores), bool)
    for a, b, n_shared, n_old, n_new in _overlaps(before, part):
        if stays[a - 1] and n_shared > SAME_OBJECT * min(n_old, n_new):
            if n_new > n_old:
                stays[a - 1] = False
            else:
                is_new[b - 1] = False
    start = np.minimum(before.start, part.start)
    labels = np.zeros(np.maximum(before.end, part.end) - start, np.int32)
    sources = np.concatenate([np.zeros(stays.sum(), int), np.flatnonzero(is_new) + 1])
    canvas = Placed(Segmentation(labels, new.centers, new.scores, new.settings), tuple(start.tolist()))
    # What was found before is written last, and lies on top.
    for placed, kept, first in ((part, is_new, stays.sum() + 1), (before, stays, 1)):
        numbers = np.zeros(len(kept) + 1, np.int32)
        numbers[1:][kept] = np.arange(first, first + kept.sum())
        own, target = numbers[placed.segmentation.labels], labels[canvas.within(placed.start, placed.end)]
        np.copyto(target, own, where=own > 0)
    centers = np.concatenate(
        [
            placed.segmentation.centers[kept] + np.subtract(placed.start, start).astype(np.float32)
            for placed, kept in ((before, stays), (part, is_new))
        ]
    )
    scores = np.concatenate([old.scores[stays], new.scores[is_new]])
    return _numbered(labels, centers, scores, sources, canvas.start, new.settings, is_film=bool(new.frames))


def edited(shown: Placed, labels: NDArray[np.int32]) -> Placed:
    """What was found, with labels that were changed since; a changed one has no score, a new one its middle for seed.

    Parameters
    ----------
    shown : Placed
        The objects as they were found.
    labels : ndarray of int, shape ((T)(Z)YX)
        The labels as they are now.
    """
    found = shown.segmentation
    keys = labels.astype(np.int64)
    # Negative numbers can be painted, too; they become numbers that no object has.
    keys = np.where(keys < 0, max(int(keys.max(initial=0)), len(found.scores)) - keys, keys)
    step = int(keys.max(initial=0)) + 1
    if found.frames:
        # An object has one frame: a number painted into several of them stands for as many objects.
        keys[keys > 0] += step * np.nonzero(keys > 0)[0]
    ids, flat = np.unique(keys, return_inverse=True)
    compact = (flat.reshape(labels.shape) + int(ids[0] != 0)).astype(np.int32)
    ids = ids[ids != 0]
    at = np.argwhere(compact)
    own = compact[tuple(at.T)] - 1
    sizes = np.maximum(np.bincount(own, minlength=len(ids)), 1)
    centers = np.stack([np.bincount(own, axis, len(ids)) / sizes for axis in at.T], axis=1).astype(np.float32)
    scores = np.full(len(ids), np.nan, np.float32)
    frame, numbers = np.divmod(ids, step)
    is_known = (numbers >= 1) & (numbers <= len(found.scores))
    if found.frames:
        is_known[is_known] = found.centers[numbers[is_known] - 1, 0] == frame[is_known]
    centers[is_known] = found.centers[numbers[is_known] - 1]
    differs = labels != found.labels
    is_known &= ~np.isin(numbers, np.append(labels[differs], found.labels[differs]))
    scores[is_known] = found.scores[numbers[is_known] - 1]
    nothing = np.zeros(len(ids), int)
    return _numbered(compact, centers, scores, nothing, shown.start, found.settings, is_film=bool(found.frames))


def _reaching_out(before: Placed, part: Placed) -> NDArray[np.bool_]:
    """Which of the objects found before have pixels outside a part."""
    from scipy.ndimage import find_objects

    window = before.within(part.start, part.end)
    boxes = find_objects(before.segmentation.labels, len(before.segmentation.scores))
    return np.array(
        [
            box is not None
            and any(side.start < w.start or side.stop > w.stop for side, w in zip(box, window, strict=True))
            for box in boxes
        ],
        bool,
    )


def _overlaps(before: Placed, part: Placed) -> list[tuple[int, int, int, int, int]]:
    """Pairs of objects found before and in the part that share pixels: numbers, shared pixels, pixels of each."""
    start, end = tuple(map(max, before.start, part.start)), tuple(map(min, before.end, part.end))
    if any(last <= first for first, last in zip(start, end, strict=True)):
        return []
    old, new = (placed.segmentation.labels[placed.within(start, end)] for placed in (before, part))
    both = (old > 0) & (new > 0)
    pairs, counts = np.unique(np.stack([old[both], new[both]]), axis=1, return_counts=True)
    sizes = [np.bincount(placed.segmentation.labels.ravel()) for placed in (before, part)]
    return [
        (int(a), int(b), int(n), int(sizes[0][a]), int(sizes[1][b])) for (a, b), n in zip(pairs.T, counts, strict=True)
    ]


def _numbered(
    labels: NDArray[np.int32],
    centers: NDArray[np.float32],
    scores: NDArray[np.float32],
    sources: NDArray[np.int64],
    start: tuple[int, ...],
    settings: PredictionConfig,
    *,
    is_film: bool,
) -> Placed:
    """Objects as they are numbered in a segmentation: those of a time-lapse from frame to frame."""
    if not is_film:
        return Placed(Segmentation(labels, centers, scores, settings), start, sources)
    frame_of = np.rint(centers[:, 0]).astype(int)
    order = np.argsort(frame_of, kind="stable")
    frames = []
    for t, plane in enumerate(labels):
        own = order[frame_of[order] == t]
        numbers = np.zeros(len(scores) + 1, np.int32)
        numbers[own + 1] = np.arange(1, len(own) + 1)
        frames.append(Segmentation(numbers[plane], centers[own, 1:], scores[own], settings))
    return Placed(Segmentation.stack(frames), start, sources[order])
