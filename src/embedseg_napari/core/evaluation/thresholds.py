"""Seed and foreground thresholds that suit held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.inference.clustering import cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.maps import EmbeddingMaps

SEED_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
FOREGROUND_THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
MARGIN = 0.001
"""Mean AP that another pair of thresholds must gain before it replaces the usual one."""


@dataclass(frozen=True, slots=True)
class TunedThresholds:
    """The pair that scored best."""

    seed_threshold: float
    foreground_threshold: float
    score: float
    """Mean over images of the AP, averaged over IoU 0.5 ... 0.9."""
    table: tuple[tuple[float, float, float], ...]
    """Every pair tried: seed threshold, foreground threshold, score."""


def tune_thresholds(
    pairs: Sequence[tuple[EmbeddingMaps, np.ndarray]],
    *,
    min_object_size: int = 0,
    seed_thresholds: Sequence[float] = SEED_THRESHOLDS,
    foreground_thresholds: Sequence[float] = FOREGROUND_THRESHOLDS,
    start: tuple[float, float] = (0.9, 0.5),
    standard_errors: float = 0.0,
    ignore: Sequence[np.ndarray | None] | None = None,
) -> TunedThresholds:
    """Try pairs of thresholds on maps whose truth is known; no network pass is needed.

    Parameters
    ----------
    pairs : sequence of (EmbeddingMaps, truth)
        Truth as in :func:`match`.
    min_object_size : int
        As in clustering.
    seed_thresholds, foreground_thresholds : sequence of float
        Values to try.
    start : tuple of float
        Seed and foreground threshold to keep unless another pair is better.
    standard_errors : float
        How sure the gain must be: another pair replaces `start` only if the mean of the images' gains is more than this
        many times its standard error. With 0 the gain on these very images decides; more where the thresholds are
        meant for other images.
    ignore : sequence of ndarray of bool or None, optional
        For each pair the pixels of unknown class, as in :func:`match`.
    """
    unknown = [None] * len(pairs) if ignore is None else ignore
    tried = {(s, f) for s in seed_thresholds for f in foreground_thresholds} | {start}

    def mean_ap(maps: EmbeddingMaps, truth: np.ndarray, hidden: np.ndarray | None, at: tuple[float, float]) -> float:
        rows = match(truth, cluster(maps, *at, min_object_size), ignore=hidden)
        return float(np.mean([row.ap for row in rows]))

    scores = {
        at: np.array([mean_ap(*pair, hidden, at) for pair, hidden in zip(pairs, unknown, strict=True)])
        for at in sorted(tried)
    }
    best = max(scores, key=lambda pair: scores[pair].mean())
    gain = scores[best] - scores[start]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    if gain.mean() < MARGIN or (standard_errors > 0 and gain.mean() <= standard_errors * error):
        best = start
    table = tuple((seed, foreground, float(each.mean())) for (seed, foreground), each in scores.items())
    return TunedThresholds(*best, float(scores[best].mean()), table)
