"""What happened to each object: found, missed, invented, merged with a neighbour, or split."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.objects import MeasuredObjects, measure_objects
from embedseg_napari.core.evaluation.matching import Overlaps, matched_pairs, overlaps
from embedseg_napari.core.evaluation.planes import spatial_ndim

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAIN_PART = 0.5
"""An object lies in another one if the other covers more than this fraction of its pixels."""


class Kind(StrEnum):
    """What a finding is."""

    FOUND = "true positive"
    EXTRA = "false positive"
    MISSED = "false negative"
    MERGE = "merge"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at."""

    kind: Kind
    true_ids: tuple[int, ...]
    """Ids (planes: index + 1) of the true objects concerned."""
    predicted_ids: tuple[int, ...]
    iou: float
    """Of the pair; of a lonely object, its largest with anything; of a merge or split, the largest of the group."""
    center: tuple[float, ...]
    """A pixel inside the object to look at, axes (z, y, x)."""
    lower: tuple[int, ...]
    """First pixel of the bounding box of that object."""
    upper: tuple[int, ...]
    """One past its last pixel."""
    size: int
    """Pixels of that object."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A segmentation and its truth, measured once for all thresholds."""

    found: Overlaps
    true: MeasuredObjects
    predicted: MeasuredObjects


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The fate of every object at one IoU threshold."""

    findings: tuple[Finding, ...]
    """Mistakes first: merges, splits, misses, extras, then the pairs that are right."""
    true_kinds: NDArray[np.object_]
    """(n,) the Kind of each true object, rows as in ``Comparison.true``."""
    predicted_kinds: NDArray[np.object_]
    """(m,) the Kind of each predicted object, rows as in ``Comparison.predicted``."""

    def count(self, kind: Kind) -> int:
        """Number of findings of a kind."""
        return sum(finding.kind is kind for finding in self.findings)


def compare(labels_true: np.ndarray, labels_pred: np.ndarray, planes: bool | None = None) -> Comparison:
    """Measure overlaps and positions of all objects.

    Parameters
    ----------
    labels_true : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        True ids (gaps are fine, 0 is background), or planes of one object each, which may overlap.
    labels_pred : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Predicted ids or planes.
    planes : bool, optional
        As for :func:`match`.

    Raises
    ------
    DataError
        If the shapes do not fit.
    """
    ndim = spatial_ndim(labels_true, labels_pred, planes)
    found = overlaps(labels_true, labels_pred, labels_true.ndim > ndim)
    # A member pixel, unlike the centroid, lies inside objects of any shape: that is where to look.
    true, predicted = (
        measure_objects(labels, "approximate-medoid", planes=labels.ndim > ndim)
        for labels in (labels_true, labels_pred)
    )
    return Comparison(found, true, predicted)


def diagnose(compared: Comparison, threshold: float = 0.5) -> Diagnosis:
    """Name the mistakes of a segmentation.

    Objects are matched one to one at the threshold, as for the scores. A *merge* is a predicted object that covers
    the main part (more than half) of two true objects or more, of which at least one has no partner. A *split* is a
    true object in which lies the main part of two predicted objects or more, of which at least one has no partner.
    What is left without a partner is a false negative or a false positive.

    Parameters
    ----------
    compared : Comparison
        From :func:`compare`.
    threshold : float
        Least IoU of a pair, 0.5 or more.
    """
    found = compared.found
    t, p = found.true_index, found.predicted_index
    pairs = matched_pairs(found, threshold)
    true_kinds = np.full(len(compared.true.ids), Kind.MISSED, dtype=object)
    predicted_kinds = np.full(len(compared.predicted.ids), Kind.EXTRA, dtype=object)
    true_kinds[t[pairs]] = Kind.FOUND
    predicted_kinds[p[pairs]] = Kind.FOUND

    true_sizes, predicted_sizes = compared.true.sizes[t], compared.predicted.sizes[p]
    shared = found.iou * (true_sizes + predicted_sizes) / (1 + found.iou)
    merges = _groups(p, t, shared > MAIN_PART * true_sizes + 1e-6, true_kinds)
    splits = _groups(t, p, shared > MAIN_PART * predicted_sizes + 1e-6, predicted_kinds)
    for owner, members in merges:
        _mark(true_kinds, members, Kind.MERGE)
        _mark(predicted_kinds, [owner], Kind.MERGE)
    for owner, members in splits:
        _mark(predicted_kinds, members, Kind.SPLIT)
        _mark(true_kinds, [owner], Kind.SPLIT)

    best_true, best_predicted = np.zeros(len(true_kinds)), np.zeros(len(predicted_kinds))
    np.maximum.at(best_true, t, found.iou)
    np.maximum.at(best_predicted, p, found.iou)
    true, predicted = compared.true, compared.predicted
    findings = [
        _finding(Kind.MERGE, true, members, predicted, [owner], predicted, owner, best_predicted[owner])
        for owner, members in merges
    ]
    findings += [
        _finding(Kind.SPLIT, true, [owner], predicted, members, true, owner, best_true[owner])
        for owner, members in splits
    ]
    findings += [
        _finding(Kind.MISSED, true, [i], predicted, [], true, i, best_true[i])
        for i in np.flatnonzero(true_kinds == Kind.MISSED).tolist()
    ]
    findings += [
        _finding(Kind.EXTRA, true, [], predicted, [i], predicted, i, best_predicted[i])
        for i in np.flatnonzero(predicted_kinds == Kind.EXTRA).tolist()
    ]
    findings += [
        _finding(Kind.FOUND, true, [t[row]], predicted, [p[row]], true, t[row], found.iou[row])
        for row in pairs[np.argsort(found.iou[pairs], kind="stable")]
    ]
    return Diagnosis(tuple(findings), true_kinds, predicted_kinds)


def _groups(
    owners: np.ndarray, members: np.ndarray, is_inside: np.ndarray, member_kinds: np.ndarray
) -> list[tuple[int, list[int]]]:
    """Objects that hold the main part of several others, not all of which have a partner."""
    rows = np.flatnonzero(is_inside)
    rows = rows[np.argsort(owners[rows], kind="stable")]
    out = []
    for part in np.split(rows, np.flatnonzero(np.diff(owners[rows])) + 1):
        inside = [int(i) for i in members[part]]
        if len(inside) > 1 and any(member_kinds[i] is not Kind.FOUND for i in inside):
            out.append((int(owners[part[0]]), sorted(inside)))
    return out


def _mark(kinds: np.ndarray, rows: list[int], kind: Kind) -> None:
    """Give objects a kind, except those that have a partner or belong to a merge already."""
    for row in rows:
        if kinds[row] not in (Kind.FOUND, Kind.MERGE):
            kinds[row] = kind


def _finding(
    kind: Kind,
    true: MeasuredObjects,
    true_rows: list[int],
    predicted: MeasuredObjects,
    predicted_rows: list[int],
    shown: MeasuredObjects,
    row: int,
    iou: float,
) -> Finding:
    return Finding(
        kind,
        tuple(int(true.ids[i]) for i in true_rows),
        tuple(int(predicted.ids[i]) for i in predicted_rows),
        float(iou),
        tuple(float(v) for v in shown.centers[row]),
        tuple(int(v) for v in shown.lower[row]),
        tuple(int(v) for v in shown.upper[row]),
        int(shown.sizes[row]),
    )
