"""Scores of several images together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.evaluation.matching import MatchRow

if TYPE_CHECKING:
    from collections.abc import Sequence


def pool(rows_per_image: Sequence[Sequence[MatchRow]]) -> list[MatchRow]:
    """Sum up the scores of images, one row for each threshold.

    Counts are added up; precision, recall, F1 and panoptic quality are of all objects together; AP is the mean over
    images of the per-image value, as in the papers' tables.

    Parameters
    ----------
    rows_per_image : sequence of sequence of MatchRow
        From :func:`match`, of at least one image, all for the same thresholds.
    """
    return [_pool_rows(rows) for rows in zip(*rows_per_image, strict=True)]


def _pool_rows(rows: Sequence[MatchRow]) -> MatchRow:
    tp, fp, fn = (sum(getattr(row, name) for row in rows) for name in ("tp", "fp", "fn"))
    # The sum of the pairs' IoU is what PQ was divided out of.
    summed_iou = sum(row.pq * (row.tp + (row.fp + row.fn) / 2) for row in rows)
    return MatchRow.of_counts(rows[0].threshold, tp, fp, fn, summed_iou, float(np.mean([row.ap for row in rows])))
