"""Matching of predicted objects with true ones, and average precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from embedseg_napari.core.axes import parse_axes
from embedseg_napari.core.data.mask_kinds import are_classes, classes_in, is_single_number
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.planes import require_planes, spatial_ndim
from embedseg_napari.core.evaluation.unknown import restrict_to_known
from embedseg_napari.core.files.named_axes import described
from embedseg_napari.core.scripts import warn
from embedseg_napari.core.settings import positive_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(9))
"""0.5, 0.55 ... 0.9, as in the papers' tables."""
FEW_PAIRS = 1 << 20
"""Pairs of a true and a predicted object that are counted in a full table, four times as fast as in a sparse one."""


@dataclass(frozen=True, slots=True)
class MatchRow:
    """Counts and scores of one image at one IoU threshold."""

    threshold: float
    tp: int
    """Pairs of a true and a predicted object, one to one, with at least this IoU."""
    fp: int
    """Predicted objects without a partner."""
    fn: int
    """True objects without a partner."""
    precision: float
    recall: float
    f1: float
    ap: float
    """TP / (TP + FP + FN); 1 where there was nothing and nothing was found."""
    pq: float
    """Panoptic quality: sum of the pairs' IoU / (TP + FP / 2 + FN / 2) (Kirillov et al. 2019)."""

    @classmethod
    def of_counts(
        cls, threshold: float, tp: int, fp: int, fn: int, summed_iou: float, ap: float | None = None
    ) -> MatchRow:
        """Scores of counts and of the sum of the pairs' IoU; the AP is theirs too unless it is given."""
        if tp + fp + fn == 0:
            return cls(threshold, 0, 0, 0, precision=1.0, recall=1.0, f1=1.0, ap=1.0 if ap is None else ap, pq=1.0)
        return cls(
            threshold,
            tp,
            fp,
            fn,
            precision=tp / max(tp + fp, 1),
            recall=tp / max(tp + fn, 1),
            f1=2 * tp / (2 * tp + fp + fn),
            ap=tp / (tp + fp + fn) if ap is None else ap,
            pq=summed_iou / (tp + (fp + fn) / 2),
        )

    @classmethod
    def pooled(cls, rows: Sequence[MatchRow]) -> MatchRow:
        """Scores of several images together: counts are added up, and the AP is the mean of theirs."""
        tp, fp, fn = (sum(getattr(row, name) for row in rows) for name in ("tp", "fp", "fn"))
        # The sum of the pairs' IoU is what PQ was divided out of.
        summed_iou = sum(row.pq * (row.tp + (row.fp + row.fn) / 2) for row in rows)
        return cls.of_counts(rows[0].threshold, tp, fp, fn, summed_iou, float(np.mean([row.ap for row in rows])))


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Every pair of a true and a predicted object that share a pixel."""

    true_ids: np.ndarray
    predicted_ids: np.ndarray
    true_index: np.ndarray
    """(p,) row in `true_ids`."""
    predicted_index: np.ndarray
    """(p,) row in `predicted_ids`."""
    iou: np.ndarray
    """(p,) intersection over union."""


def overlaps(labels_true: np.ndarray, labels_pred: np.ndarray, planes: bool | None = None) -> Overlaps:
    """Count shared pixels of two segmentations.

    Parameters
    ----------
    labels_true, labels_pred : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids (0 is background), or planes of one object each.
    planes : bool, optional
        As for :func:`match`.

    Raises
    ------
    DataError
        If their shapes do not fit, or what would be a plane of one object holds several.
    """
    true, predicted = np.asarray(labels_true), np.asarray(labels_pred)
    ndim = spatial_ndim(true, predicted, planes)
    if (
        true.shape[true.ndim - ndim :] != predicted.shape[predicted.ndim - ndim :]
        or abs(true.ndim - predicted.ndim) > 1
    ):
        raise DataError(
            f"The truth has shape {true.shape} but the prediction {predicted.shape}; score a prediction against the "
            "truth of the same image."
        )
    if true.ndim == ndim and predicted.ndim == ndim:
        return _overlaps_of_labels(true, predicted)
    for array, name in ((true, "The truth"), (predicted, "The prediction")):
        if array.ndim > ndim:
            require_planes(array, name, f'; name its axes, such as axes="T{"ZYX"[-ndim:]}"')
    true_of, true_at, true_ids = _members(true, true.ndim > ndim)
    pred_of, pred_at, pred_ids = _members(predicted, predicted.ndim > ndim)
    n_pixels = math.prod(true.shape[true.ndim - ndim :])
    # Rows of pixels, a column per object: their product counts shared pixels without an array of all pairs.
    a = csr_array((np.ones(len(true_of), np.int64), (true_of, true_at)), shape=(len(true_ids), n_pixels))
    b = csr_array((np.ones(len(pred_of), np.int64), (pred_at, pred_of)), shape=(n_pixels, len(pred_ids)))
    sizes = np.bincount(true_of, minlength=len(true_ids)), np.bincount(pred_of, minlength=len(pred_ids))
    return _finish(true_ids, pred_ids, *sizes, a @ b)


def _overlaps_of_labels(true: np.ndarray, predicted: np.ndarray) -> Overlaps:
    """Every pixel has one partner here: counting pairs of ids is enough."""
    true_index, true_ids = _consecutive(true.ravel())
    pred_index, pred_ids = _consecutive(predicted.ravel())
    shape = (len(true_ids), len(pred_ids))
    size_true = np.bincount(true_index, minlength=len(true_ids) + 1)[1:]
    size_pred = np.bincount(pred_index, minlength=len(pred_ids) + 1)[1:]
    both = np.flatnonzero((true_index > 0) & (pred_index > 0))
    row, column = true_index[both].astype(np.int64) - 1, pred_index[both].astype(np.int64) - 1
    if math.prod(shape) <= FEW_PAIRS:
        row *= len(pred_ids)
        row += column
        shared = csr_array(np.bincount(row, minlength=math.prod(shape)).reshape(shape))
    else:
        # Conversion from coordinates to rows adds up what meets in one place, in linear time.
        shared = coo_array((np.ones(len(both), np.int64), (row, column)), shape=shape).tocsr()
    return _finish(true_ids, pred_ids, size_true, size_pred, shared)


def _finish(
    true_ids: np.ndarray, pred_ids: np.ndarray, size_true: np.ndarray, size_pred: np.ndarray, shared: Any
) -> Overlaps:
    shared = shared.tocoo()
    union = size_true[shared.row] + size_pred[shared.col] - shared.data
    return Overlaps(true_ids, pred_ids, shared.row, shared.col, shared.data / union)


def _consecutive(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids renumbered 1..n in ascending order (0 stays 0), and the ids."""
    if flat.dtype == bool:
        flat = flat.view(np.uint8)
    if flat.dtype.kind not in "iu":
        raise DataError(
            f"Label images hold whole numbers, but these are {flat.dtype}; convert them to an integer type."
        )
    if flat.size and flat.min() >= 0 and flat.max() <= 4 * flat.size + 65_535:
        is_used = np.bincount(flat.astype(np.int64, copy=False)) > 0
        is_used[0] = False
        number = np.cumsum(is_used, dtype=np.int32) * is_used
        return number[flat], np.flatnonzero(is_used)
    ids = np.unique(flat)
    ids = ids[ids != 0]
    return np.where(flat == 0, 0, np.searchsorted(ids, flat) + 1).astype(np.int32), ids


def _members(labels: np.ndarray, is_planes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Object index and pixel of every member, and the objects' ids."""
    if is_planes:
        flat = labels.reshape(len(labels), -1)
        kept = np.flatnonzero(flat.any(1))
        of, at = np.nonzero(flat[kept])
        return of, at, kept + 1
    index, ids = _consecutive(labels.ravel())
    at = np.flatnonzero(index)
    return index[at] - 1, at, ids


def match(
    labels_true: np.ndarray,
    labels_pred: np.ndarray,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    ignore: np.ndarray | None = None,
    planes: bool | None = None,
    axes: str | None = None,
) -> list[MatchRow]:
    """Match objects one to one and count.

    With `axes` the frames of a time-lapse are matched one by one; without, three axes are a volume.

    Parameters
    ----------
    labels_true : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        True ids (gaps are fine, 0 is background), or planes of one object each, which may overlap.
    labels_pred : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Predicted ids or planes.
    iou_thresholds : sequence of float
        Least IoU of a pair.
    ignore : ndarray of bool, shape ((Z,) Y, X), optional
        Pixels of unknown class; see :func:`restrict_to_known`.
    planes : bool, optional
        Whether truth and prediction of as many axes are stacks of planes of one object each, and not label volumes.
        Default: told by what they hold, see :func:`spatial_ndim`. Where one has an axis more than the other, that one
        is planes.
    axes : str, optional
        Axes of labels and `ignore`, such as ``"TYX"``; planes have one more, in front of the spatial ones. With T
        counts are of all frames together, and AP is the mean over frames. Arrays of xarray name their own.

    Returns
    -------
    list of MatchRow
        One for each threshold.

    Raises
    ------
    DataError
        If the shapes or axes do not fit, or what would be a plane of one object holds several.
    """
    parts, planes = _parts(labels_true, labels_pred, ignore, planes, axes)
    found = []
    told = set[str]()
    for true, predicted, hidden in parts:
        are_planes = spatial_ndim(true, predicted, planes) < min(true.ndim, predicted.ndim)
        found.append(match_rows(true, predicted, iou_thresholds, ignore=hidden, planes=are_planes))
        if are_planes and planes is None and not true.dtype == predicted.dtype == bool:
            warn(
                "Truth and prediction hold one number in each plane and were scored as planes of one object each; say "
                "so with planes=True, or planes=False if they are label volumes."
            )
        unknown = None if hidden is None else np.asarray(hidden) != 0
        known = true if unknown is None else np.where(unknown, true.dtype.type(0), true)
        for array, other, name, unseen in (
            (known, predicted, "The truth", unknown),
            (predicted, true, "The prediction", None),
        ):
            if name in told:
                continue
            numbers = classes_in(array, name, planes=are_planes or array.ndim > other.ndim, unknown=unseen)
            if numbers is not None and (are_classes(numbers) or is_single_number(numbers)):
                told.add(name)
                words = "one number" if numbers.n == 1 else f"{numbers.n} numbers"
                warn(
                    f"{name}: {numbers.n_large} separate pieces share {words}, and each number counts as one object; "
                    "of a binary mask, number the objects first, for example with skimage.measure.label."
                )
    return found[0] if len(found) == 1 else [MatchRow.pooled(rows) for rows in zip(*found, strict=True)]


def _parts(
    labels_true: Any, labels_pred: Any, ignore: Any, planes: bool | None, axes: str | None
) -> tuple[list[tuple[Any, Any, Any]], bool | None]:
    """What is matched, frame by frame where there are frames; and whether it is planes, where that is known."""
    named = [described(array, axes, mask=True)[:2] for array in (labels_true, labels_pred, ignore)]
    arrays: list[Any] = [None if array is None else np.asarray(array) for array, _ in named]
    known = named[0][1] or named[1][1]
    if known is None:
        return [(arrays[0], arrays[1], arrays[2])], planes
    known = parse_axes(known)
    turned: list[Any] = [
        None if array is None else _turned(array, parse_axes(letters or known), known)
        for array, (_, letters) in zip(arrays, named, strict=True)
    ]
    true, predicted, hidden = turned
    are_planes = min(true.ndim, predicted.ndim) > len(known)
    if planes is not None and planes != are_planes and true.ndim == predicted.ndim:
        raise DataError(
            f"Axes {known!r} of arrays of shape {true.shape} do not fit planes={planes}: stacks of planes have an axis "
            "more than is named, label images none; leave one of the two out."
        )
    if "T" not in known:
        return [(true, predicted, hidden)], are_planes
    n_frames = {len(array) for array in (true, predicted, hidden) if array is not None}
    if len(n_frames) > 1 or n_frames == {0}:
        raise DataError(
            f"The truth has {len(true)} frames and the prediction {len(predicted)}; score a prediction against the "
            "truth of the same time-lapse."
        )
    return list(zip(true, predicted, [None] * len(true) if hidden is None else hidden, strict=True)), are_planes


def _turned(array: Any, axes: str, known: str) -> Any:
    """An array of label images with these axes, or of planes, as (T) (K) (Z)YX; `known` are those of the others."""
    letters = axes if array.ndim != len(axes) + 1 else "T" * ("T" in axes) + "K" + axes.replace("T", "")
    if "C" in axes or len(letters) != array.ndim or {*axes} != {*known}:
        raise DataError(
            f"Axes {axes!r} do not fit labels of shape {array.shape}; give one letter for each axis, such as TYX, none "
            "for channels, and the same for truth and prediction."
        )
    return array.transpose([letters.index(letter) for letter in "TKZYX" if letter in letters])


def match_rows(
    true: np.ndarray,
    predicted: np.ndarray,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    *,
    ignore: np.ndarray | None = None,
    planes: bool = False,
) -> list[MatchRow]:
    """Match labels of which it is known what they are; see :func:`match`."""
    if ignore is not None:
        true, predicted = restrict_to_known(true, predicted, ignore)
    thresholds = positive_numbers(iou_thresholds, "iou_thresholds", DataError)
    found = overlaps(true, predicted, planes)
    return [_row(found, threshold) for threshold in thresholds]


def matched_pairs(found: Overlaps, threshold: float) -> np.ndarray:
    """Rows of `found` that form the one-to-one matching with most pairs of at least this IoU, then most IoU."""
    rows = np.flatnonzero(found.iou >= threshold)
    if len(rows) == 0:
        return rows
    t, p = found.true_index[rows], found.predicted_index[rows]
    if np.bincount(t).max() == 1 and np.bincount(p).max() == 1:
        return rows
    # Rivals form small groups; solving each by itself keeps a crowded image from becoming one huge matrix.
    n_true, n_pred = len(found.true_ids), len(found.predicted_ids)
    # Imported here: it takes a tenth of a second, and whoever only segments never comes here.
    from scipy.optimize import linear_sum_assignment

    graph = csr_array((np.ones(len(rows)), (t, p + n_true)), shape=(n_true + n_pred, n_true + n_pred))
    _, group = connected_components(graph, directed=False)
    chosen = []
    order = np.argsort(group[t], kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(group[t][order])) + 1):
        ts, t_at = np.unique(t[part], return_inverse=True)
        ps, p_at = np.unique(p[part], return_inverse=True)
        gain = np.zeros((len(ts), len(ps)))
        at = np.full(gain.shape, -1)
        # A pair counts more than all the IoU that could be lost for it.
        gain[t_at, p_at] = 1.0 + found.iou[rows[part]] / (2.0 * len(part))
        at[t_at, p_at] = rows[part]
        picked = at[linear_sum_assignment(gain, maximize=True)]
        chosen.append(picked[picked >= 0])
    return np.concatenate(chosen)


def _row(found: Overlaps, threshold: float) -> MatchRow:
    pairs = matched_pairs(found, threshold)
    tp = len(pairs)
    fn, fp = len(found.true_ids) - tp, len(found.predicted_ids) - tp
    return MatchRow.of_counts(threshold, tp, fp, fn, float(found.iou[pairs].sum()))


def lenient_ap(
    labels_true: np.ndarray,
    labels_pred: np.ndarray,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    planes: bool | None = None,
) -> list[float]:
    """AP as the original program scores overlapping truth: several objects may share a partner.

    A true object is found if any prediction reaches the threshold with it, and a prediction is right if any true
    object does. Reported beside the one-to-one score, for comparison with published figures.
    """
    found = overlaps(labels_true, labels_pred, planes)
    n_true, n_pred = len(found.true_ids), len(found.predicted_ids)
    out = []
    for threshold in iou_thresholds:
        rows = found.iou >= threshold
        tp = len(np.unique(found.true_index[rows]))
        fp = n_pred - len(np.unique(found.predicted_index[rows]))
        total = tp + fp + (n_true - tp)
        out.append(tp / total if total else 1.0)
    return out
