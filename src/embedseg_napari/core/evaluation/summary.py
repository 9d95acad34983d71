"""Scores of several images together."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    return [MatchRow.pooled(rows) for rows in zip(*rows_per_image, strict=True)]
