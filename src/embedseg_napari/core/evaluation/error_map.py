"""Where truth and prediction differ, pixel by pixel."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.evaluation.diagnosis import Kind

if TYPE_CHECKING:
    from embedseg_napari.core.evaluation.diagnosis import Comparison, Diagnosis


LARGEST_TABLE = 1 << 24
"""Ids up to this are looked up in a table of that length; larger ones are searched for."""


class Mark(IntEnum):
    """Value of a pixel of the overlay."""

    NOTHING = 0
    FOUND = 1
    EXTRA = 2
    MISSED = 3
    MERGE = 4
    SPLIT = 5
    TOO_FAR = 6
    """A false positive and a false negative cover the same pixel: they overlap, but less than the IoU asks for."""


MARK_OF = {kind: Mark[kind.name] for kind in Kind}


def _meeting() -> np.ndarray:
    """Which mark shows where a true object (row) and a predicted one (column) meet."""
    table = np.zeros((6, 6), np.uint8)
    table[0] = np.arange(6)
    for true in (Mark.MISSED, Mark.MERGE, Mark.SPLIT):
        # A lost object must not hide below the neighbour that was found, nor below its own fragments.
        table[true] = [true, true, Mark.EXTRA, true, Mark.MERGE, Mark.SPLIT]
    table[Mark.FOUND] = np.arange(6)
    # What only the truth covers of a pair stays empty: the overlay shows how well it fits.
    table[Mark.MISSED, Mark.EXTRA] = Mark.TOO_FAR
    return table


MEETING: np.ndarray = _meeting()


def paint(truth: np.ndarray, predicted: np.ndarray, compared: Comparison, found: Diagnosis) -> np.ndarray:
    """Paint every pixel with what became of its object.

    Parameters
    ----------
    truth : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids, or planes of one object each.
    predicted : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids or planes.
    compared, found : Comparison, Diagnosis
        From `core.evaluation.diagnosis`.

    Returns
    -------
    ndarray, shape ((Z,) Y, X), uint8
        Values of `Mark`.
    """
    ndim = compared.predicted.centers.shape[1]
    there = np.zeros(predicted.shape[predicted.ndim - ndim :], np.uint8)
    if predicted.ndim == ndim:
        there = _marks(predicted, compared.predicted.ids, found.predicted_kinds)
    else:
        for number, kind in zip(compared.predicted.ids, found.predicted_kinds, strict=True):
            there[predicted[number - 1] != 0] = MARK_OF[kind]
    if truth.ndim == ndim:
        met: np.ndarray = MEETING[_marks(truth, compared.true.ids, found.true_kinds), there]
        return met
    out = there.copy()
    for number, kind in zip(compared.true.ids, found.true_kinds, strict=True):
        if kind is not Kind.FOUND:
            inside = truth[number - 1] != 0
            out[inside] = MEETING[MARK_OF[kind], there[inside]]
    return out


def _marks(labels: np.ndarray, ids: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Mark of the object at every pixel."""
    marks = np.array([MARK_OF[kind] for kind in kinds], np.uint8)
    if len(ids) == 0:
        return np.zeros(labels.shape, np.uint8)
    if ids[0] > 0 and ids[-1] <= LARGEST_TABLE:
        table = np.zeros(int(ids[-1]) + 1, np.uint8)
        table[ids] = marks
        # Of foreground alone, which is one object, True is a number, no choice of pixels.
        looked_up: np.ndarray = table[labels.view(np.uint8) if labels.dtype == bool else labels]
        return looked_up
    at = np.minimum(np.searchsorted(ids, labels), len(ids) - 1)
    return np.where(ids[at] == labels, marks[at], np.uint8(0))
