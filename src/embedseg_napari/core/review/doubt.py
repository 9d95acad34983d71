"""Which predicted objects a person should look at first.

The weights of the terms were fitted on real images: `benchmarks/doubt.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage

from embedseg_napari.core.clustering.clustering import cluster_by
from embedseg_napari.core.data.medoid import middle_pixel
from embedseg_napari.core.evaluation.matching import overlaps
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.contested import contested_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import ObjectSizes
    from embedseg_napari.core.inference.segmentation import Segmentation

WEIGHTS = {"seed": 0.5, "body": 1.5, "views": 2.5, "contested": 2.5, "size": 2.5}
"""Of the terms in the log-odds that an object is wrong; terms that are not there count as 0."""
BIAS = -4.5
"""Log-odds of an object that nothing speaks against."""
MISSED_WEIGHT = 4.0
MISSED_BIAS = -2.0
"""The same for a piece of foreground that no object covers, whose term is its seediness."""
LEAST_SPREAD = 0.2
"""Standard deviation of log sizes below which objects are taken to be of equal size."""
OUTLIER = 4.0
"""Standard deviations at which the size term is 1."""
FEW = 5
"""Below this number, objects say nothing about each other's sizes."""
MISSED_SIZE = 0.3
"""Share of the median size that a missed object has at least."""
MISSED_MOST, MISSED_PART = 10.0, 0.25
"""Times the median size that it has at most, or part of the image where no size is known: what is larger is ground that
a model knows little of, and whoever makes it background would take objects with it."""
MISSED_SEEDINESS = 0.6
"""Share of the foreground threshold above which pixels may belong to a missed object."""
NOTHING = 0.5
"""Doubt about an image in which nothing was found: it may be empty, or the model may be lost; and about an object that
a model finds where a person or another program drew none."""
PIECES_WEIGHT = 5.0
"""Of a draft in several pieces; the other terms of drafts have the weights of those that they resemble."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One place to look at."""

    label: int
    """Id in the segmentation; 0 for a missed object."""
    score: float
    """0 (sure) to 1 (surely wrong)."""
    reasons: dict[str, float]
    """Terms of the score, each 0 to 1.

    ``"seed"``: how far the seediness at the object's seed is from 1, in the range that seeds have. ``"body"``: how far
    the object's mean seediness is from 1. ``"views"``: disagreement with the other views. ``"contested"``: share of
    its pixels that another object has or could have. ``"size"``: how unusual its size is. For a missed object
    ``"missed"``: its mean seediness.
    """
    center: tuple[float, ...]
    """Pixels (z, y, x), within the box: an object cut by the border may have its own centre outside the image. Of what
    no network found, its pixel nearest to the middle."""
    box: tuple[slice, ...]
    """Bounding box, axes (z, y, x)."""
    kind: Literal["object", "missed"] = "object"
    pixels: tuple[np.ndarray, ...] | None = None
    """Of a missed object: its indices, for `edits.paint_object` and `edits.paint_background`."""


def rank_doubt(
    segmentation: Segmentation,
    views: Sequence[EmbeddingMaps | np.ndarray] | None = None,
    reference_sizes: ObjectSizes | None = None,
    *,
    annotation: np.ndarray | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Doubt]:
    """Rank predicted objects, and places where one may be missed, by doubt.

    Parameters
    ----------
    segmentation : Segmentation
        Of one image (no time-lapse), with its maps.
    views : sequence of EmbeddingMaps or label images, optional
        What the network makes of the same image seen otherwise, mapped back; see `views.disagreeing_views`.
    reference_sizes : ObjectSizes, optional
        Sizes that objects should have; default: the predicted ones among each other.
    annotation : ndarray of int, shape ((Z,) Y, X), optional
        Places of which more than half is annotated already, as objects or background, are left out.
    should_stop : callable, optional
        Looked at while views are clustered.

    Returns
    -------
    list of Doubt
        Most doubtful first.

    Raises
    ------
    SettingsError
        If the segmentation is a time-lapse or its maps were not kept.
    Stopped
        If `should_stop` returned True.
    """
    maps, labels = segmentation.maps, segmentation.labels
    n = len(segmentation.scores)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    usual, spread = _usual_size(sizes, reference_sizes, labels.ndim)
    terms = {
        "seed": _seed_term(segmentation),
        "body": 1 - _mean_over(maps.seed_map, labels, sizes),
        "contested": contested_shares(segmentation),
        "size": _size_term(sizes, usual, spread),
    }
    if views:
        terms["views"] = _view_term(segmentation, views, should_stop)
    terms = {name: np.clip(values, 0.0, 1.0) for name, values in terms.items()}
    scores = _sigmoid(BIAS + sum((WEIGHTS[name] * values for name, values in terms.items()), np.zeros(n)))
    is_open = np.ones(n, bool)
    if annotation is not None:
        is_open = _mean_over(annotation != 0, labels, sizes) <= 0.5
    boxes = ndimage.find_objects(labels, n)
    found = [
        Doubt(
            int(row) + 1,
            float(scores[row]),
            {name: float(values[row]) for name, values in terms.items()},
            _within(boxes[row], segmentation.centers[row]),
            boxes[row],
        )
        for row in np.flatnonzero(is_open)
    ]
    found += _missed(segmentation, usual, annotation)
    return sorted(found, key=lambda doubt: -doubt.score)


def rank_drafts(labels: np.ndarray, predicted: np.ndarray | None, annotation: np.ndarray) -> list[Doubt]:
    """Rank objects that no network found, such as those of another program, by doubt.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        Objects 1..n, 0 is background.
    predicted : ndarray of int, shape ((Z,) Y, X), optional
        What a model finds: its objects of which no more than half is drawn or annotated are places to look at, too.
    annotation : ndarray of int, shape ((Z,) Y, X)
        Places of which more than half is annotated already are left out.

    Returns
    -------
    list of Doubt
        Most doubtful first; reasons are ``"size"`` as in :func:`rank_doubt`, ``"pieces"``: share of the pixels beside
        the largest piece, and ``"model"``: one minus the best IoU with an object of the model.
    """
    sizes = np.bincount(labels.ravel())[1:]
    n, boxes = len(sizes), ndimage.find_objects(labels)
    terms = {"size": _size_term(sizes, *_usual_size(sizes, None, labels.ndim)), "pieces": np.zeros(n)}
    centers = np.zeros((n, labels.ndim))
    for row, box in enumerate(boxes):
        own = labels[box] == row + 1
        pieces, _ = ndimage.label(own, np.ones((3,) * own.ndim))
        terms["pieces"][row] = 1 - np.bincount(pieces.ravel())[1:].max() / sizes[row]
        centers[row] = np.add(middle_pixel(np.nonzero(own)), [side.start for side in box])
    if predicted is not None:
        found = overlaps(labels, predicted, planes=False)
        best = np.zeros(n)
        np.maximum.at(best, found.true_ids[found.true_index] - 1, found.iou)
        terms["model"] = 1 - best
    terms = {name: np.clip(values, 0.0, 1.0) for name, values in terms.items()}
    weights = {"size": WEIGHTS["size"], "pieces": PIECES_WEIGHT, "model": WEIGHTS["views"]}
    scores = _sigmoid(BIAS + sum((weights[name] * values for name, values in terms.items()), np.zeros(n)))
    found_here = [
        Doubt(
            int(row) + 1,
            float(scores[row]),
            {name: float(values[row]) for name, values in terms.items()},
            tuple(float(at) for at in centers[row]),
            boxes[row],
        )
        for row in np.flatnonzero(_mean_over(annotation != 0, labels, sizes) <= 0.5)
    ]
    if predicted is not None:
        found_here += _not_drawn(predicted, (labels != 0) | (annotation != 0))
    return sorted(found_here, key=lambda doubt: -doubt.score)


def _not_drawn(predicted: np.ndarray, is_drawn: NDArray[np.bool_]) -> list[Doubt]:
    """Objects of a model of which no more than half is drawn."""
    sizes = np.bincount(predicted.ravel())[1:]
    boxes, found = ndimage.find_objects(predicted), []
    for row in np.flatnonzero((_mean_over(is_drawn, predicted, sizes) <= 0.5) & (sizes > 0)):
        box = boxes[row]
        local = np.nonzero((predicted[box] == row + 1) & ~is_drawn[box])
        pixels = tuple(axis + side.start for axis, side in zip(local, box, strict=True))
        center = tuple(map(float, middle_pixel(pixels)))
        found.append(Doubt(0, NOTHING, {"missed": 1.0}, center, box, "missed", pixels))
    return found


def image_doubt(doubts: Sequence[Doubt]) -> float:
    """Return how doubtful a whole image is, 0 to 1: the next image to look at is the one with the largest.

    It is the mean score of its places, hence about the share of them that is wrong; an image without any is at 0.5.
    """
    if not doubts:
        return NOTHING
    return math.fsum(doubt.score for doubt in doubts) / len(doubts)


def _within(box: tuple[slice, ...], center: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    return tuple(float(min(max(at, side.start), side.stop - 1)) for at, side in zip(center, box, strict=True))


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 1 / (1 + np.exp(-x))
    return values


def _mean_over(values: np.ndarray, labels: np.ndarray, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of an image over each object."""
    sums = np.bincount(labels.ravel(), values.ravel(), len(sizes) + 1)[1:]
    means: NDArray[np.float64] = sums / np.maximum(sizes, 1)
    return means


def _seed_term(segmentation: Segmentation) -> NDArray[np.float64]:
    settings = segmentation.settings
    lowest = (
        settings.seed_threshold - settings.faint_seeds if settings.seeds == "greedy" else settings.foreground_threshold
    )
    term: NDArray[np.float64] = (1.0 - segmentation.scores.astype(np.float64)) / max(1.0 - lowest, 1e-6)
    return term


def _view_term(
    segmentation: Segmentation,
    views: Sequence[EmbeddingMaps | np.ndarray],
    should_stop: Callable[[], bool] | None,
) -> NDArray[np.float64]:
    """One minus the best IoU that an object has in a view, averaged over the views."""
    settings = segmentation.settings
    total = np.zeros(len(segmentation.scores))
    for view in views:
        if isinstance(view, EmbeddingMaps):
            view = cluster_by(view, settings, should_stop).labels
        found = overlaps(segmentation.labels, view, planes=False)
        best = np.zeros(len(total))
        np.maximum.at(best, found.true_ids[found.true_index] - 1, found.iou)
        total += 1 - best
    return total / len(views)


def _usual_size(sizes: NDArray[np.int64], reference: ObjectSizes | None, ndim: int) -> tuple[float, float]:
    """Logarithm of the usual number of pixels, and its standard deviation, infinite where nothing is known."""
    if reference is not None and reference.mean_size > 0 and len(reference.mean) == ndim:
        # Large objects are large along all axes.
        spread = sum(std / max(mean, 1e-6) for mean, std in zip(reference.mean, reference.std, strict=True))
        spread = max(spread, LEAST_SPREAD)
        return math.log(reference.mean_size) - spread**2 / 2, spread
    if not len(sizes):
        return 0.0, math.inf
    logs = np.log(sizes)
    usual = float(np.median(logs))
    if len(sizes) < FEW:
        return usual, math.inf
    # The median of distances from the median, as a standard deviation.
    return usual, max(1.4826 * float(np.median(np.abs(logs - usual))), LEAST_SPREAD)


def _size_term(sizes: NDArray[np.int64], usual: float, spread: float) -> NDArray[np.float64]:
    """How far sizes are from the usual; too small is twice as suspicious as too large."""
    z = (np.log(np.maximum(sizes, 1)) - usual) / spread
    term: NDArray[np.float64] = np.maximum(-z, z / 2) / OUTLIER
    return term


def _pieces(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Numbered pieces of a mask, without thin ones such as the rims of objects, and their sizes."""
    cross = ndimage.generate_binary_structure(inside.ndim, 1)
    pieces, n = ndimage.label(ndimage.binary_opening(inside, cross))
    return pieces, np.bincount(pieces.ravel(), minlength=n + 1)[1:]


def _missed(segmentation: Segmentation, usual: float, annotation: np.ndarray | None) -> list[Doubt]:
    """Pieces of foreground that no object covers and that have about the size of one, or of a few that touch."""
    seed_map, settings = segmentation.maps.seed_map, segmentation.settings
    labels = segmentation.labels
    if settings.max_object_size or settings.drop_border_objects:
        # What was found and then left out on request was not missed.
        labels = segmentation.recluster(max_object_size=0, drop_border_objects=False).labels
    is_free = (seed_map > MISSED_SEEDINESS * settings.foreground_threshold) & (labels == 0)
    pieces, sizes = _pieces(is_free)
    most = MISSED_MOST * math.exp(usual) if usual > 0 else MISSED_PART * labels.size
    if (sizes > most).any():
        # What is clearly foreground may be objects that lie in it.
        is_ground = np.append(False, sizes > most)[pieces]
        pieces, sizes = _pieces(np.where(is_ground, seed_map > settings.foreground_threshold, pieces > 0))
    n = len(sizes)
    is_large = (sizes > max(settings.min_object_size, MISSED_SIZE * math.exp(usual))) & (sizes <= most)
    if annotation is not None:
        is_large &= _mean_over(annotation != 0, pieces, sizes) <= 0.5
    seediness = np.clip(_mean_over(seed_map, pieces, sizes), 0.0, 1.0)
    scores = _sigmoid(MISSED_BIAS + MISSED_WEIGHT * seediness)
    boxes = ndimage.find_objects(pieces, n)
    found = []
    for row in np.flatnonzero(is_large):
        box = boxes[row]
        local = np.nonzero(pieces[box] == row + 1)
        pixels = tuple(axis + side.start for axis, side in zip(local, box, strict=True))
        center = tuple(map(float, middle_pixel(pixels)))
        reasons = {"missed": float(seediness[row])}
        found.append(Doubt(0, float(scores[row]), reasons, center, box, "missed", pixels))
    return found
