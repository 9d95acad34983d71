"""Split and merge by a stroke over an annotation and the prediction that is seen beneath it.

Predicted objects under a stroke are copied into the annotation first, as by `edits.repaint`, all in one edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.edits import Edit, merge, repaint, split
from embedseg_napari.core.annotation.states import is_object, next_free_label, object_ids

if TYPE_CHECKING:
    from collections.abc import Collection

    from embedseg_napari.core.annotation.edits import Indices


@dataclass(frozen=True, slots=True)
class StrokeEdit:
    """What a stroke does."""

    edit: Edit
    accepted_ids: frozenset[int]
    """Objects that are accepted now: what was made of predicted or of accepted objects."""


def split_shown(
    labels: np.ndarray,
    predicted: np.ndarray | None,
    stroke: Indices,
    accepted_ids: Collection[int] = (),
    through: int | None = None,
) -> StrokeEdit:
    """Cut the object that a stroke covers most, be it annotated or predicted.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        The annotation.
    predicted : ndarray of int, shape ((Z,) Y, X), optional
        The prediction, 0 is background. An object counts where nothing is annotated, and only if at most half of it is.
    stroke : tuple of ndarray
        Pixels of the stroke inside the image, as from `edits.stroke_pixels`.
    accepted_ids : collection of int
        Objects of the annotation that are accepted; parts of others stay the person's own.
    through : int, optional
        As for `edits.split`.

    Raises
    ------
    AnnotationError
        If the stroke touches no object or does not divide it.
    """
    under = labels[stroke]
    own, covered = np.unique(under[is_object(under)], return_counts=True)
    found, covered_there = _predicted_under(labels, predicted, stroke)
    if len(found) and covered_there.max() > covered.max(initial=0):
        assert predicted is not None
        copy = repaint(labels, predicted, int(found[covered_there.argmax()]), next_free_label(labels))
        copied, parent, is_accepted = copy.applied_to(labels), int(np.max(copy.values)), True
        cut = split(copied, stroke, through)
        edit = _in_one(labels, copy, cut)
    else:
        cut = edit = split(labels, stroke, through)
        parent = int(own[covered.argmax()])
        is_accepted = parent in accepted_ids
    parts = {parent, *(int(value) for value in np.unique(cut.values))}
    return StrokeEdit(edit, frozenset(parts if is_accepted else ()))


def merge_shown(
    labels: np.ndarray, predicted: np.ndarray | None, stroke: Indices, accepted_ids: Collection[int] = ()
) -> StrokeEdit:
    """Make all objects that a stroke touches one, be they annotated or predicted.

    The largest keeps its id, unless it was painted by hand and others were not: then the whole gets a new id, so that
    undo brings back objects of both kinds. Parameters as for `split_shown`.

    Raises
    ------
    AnnotationError
        If the stroke touches fewer than two objects.
    """
    own = {int(value) for value in object_ids(labels[stroke])}
    copied, edits = labels, []
    for predicted_id in _predicted_under(labels, predicted, stroke)[0]:
        assert predicted is not None
        edits.append(repaint(copied, predicted, int(predicted_id), next_free_label(copied)))
        copied = edits[-1].applied_to(copied)
    joined = merge(copied, stroke)
    kept = int(np.max(joined.values))
    is_accepted = bool(edits) or not own.isdisjoint(accepted_ids)
    if is_accepted and kept in own and kept not in accepted_ids:
        whole = joined.applied_to(copied) == kept
        kept = next_free_label(copied)
        joined = Edit(np.nonzero(whole), kept)
    return StrokeEdit(_in_one(labels, *edits, joined), frozenset({kept} if is_accepted else ()))


def _predicted_under(
    labels: np.ndarray, predicted: np.ndarray | None, stroke: Indices
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted objects seen under a stroke, and the number of its pixels on each."""
    nothing = np.zeros(0, np.int64)
    if predicted is None:
        return nothing, nothing
    seen = predicted[stroke][labels[stroke] == 0]
    ids, covered = np.unique(seen[seen != 0], return_counts=True)
    is_free = [bool((labels[predicted == one] != 0).mean() <= 0.5) for one in ids]
    return ids[is_free], covered[is_free]


def _in_one(labels: np.ndarray, *edits: Edit) -> Edit:
    """Edits that follow one another, as one."""
    after = labels.copy()
    for edit in edits:
        after[edit.indices] = edit.values
    flat = np.unique(np.concatenate([np.ravel_multi_index(edit.indices, labels.shape) for edit in edits]))
    flat = flat[after.ravel()[flat] != labels.ravel()[flat]]
    return Edit(tuple(np.unravel_index(flat, labels.shape)), after.ravel()[flat].astype(np.int32))
