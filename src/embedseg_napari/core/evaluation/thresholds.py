"""Seed and foreground thresholds that suit held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, special

from embedseg_napari.core.clustering.clustering import cluster_by
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.evaluation.matching import match_rows
from embedseg_napari.core.events import PairTried
from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.maps import EmbeddingMaps

SEED_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.94)
FOREGROUND_THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
MARGIN = 0.001
"""Mean AP that another pair of thresholds must gain before it replaces the usual one."""
REACHED_SHARE, LEAST_REACHED = 0.9, 0.5
"""Share of the annotated objects that reach a lowered seed threshold, and how low that may be."""


@dataclass(frozen=True, slots=True)
class TunedThresholds:
    """The pair of thresholds that scored best."""

    seed_threshold: float
    foreground_threshold: float
    start: tuple[float, float]
    """Seed and foreground threshold in use before."""
    table: tuple[tuple[float, float, float], ...]
    """Every pair tried: seed threshold, foreground threshold, score.

    Scores are means over images of the AP, averaged over IoU 0.5 ... 0.9."""

    @property
    def best(self) -> tuple[float, float]:
        """Seed and foreground threshold."""
        return self.seed_threshold, self.foreground_threshold

    @property
    def score(self) -> float:
        """Score of the best pair."""
        return self.score_of(self.best)

    @property
    def start_score(self) -> float:
        """Score of the pair in use before."""
        return self.score_of(self.start)

    @property
    def changes(self) -> dict[str, float]:
        """The best pair as settings for prediction."""
        return {"seed_threshold": self.seed_threshold, "foreground_threshold": self.foreground_threshold}

    def score_of(self, pair: tuple[float, float]) -> float:
        """Score of a pair of thresholds that was tried."""
        return next(score for *tried, score in self.table if tuple(tried) == pair)


def search_thresholds(
    pairs: Sequence[tuple[EmbeddingMaps, np.ndarray]],
    settings: PredictionConfig | Sequence[PredictionConfig] = PredictionConfig(),  # noqa: B008 (immutable)
    should_stop: Callable[[], bool] = never,
    *,
    seed_thresholds: Sequence[float] = SEED_THRESHOLDS,
    foreground_thresholds: Sequence[float] = FOREGROUND_THRESHOLDS,
    confidence: float = 0.0,
    ignore: Sequence[np.ndarray | None] | None = None,
) -> Generator[PairTried, None, TunedThresholds]:
    """Try pairs of thresholds on maps whose truth is known; no network pass is needed.

    Parameters
    ----------
    pairs : sequence of (EmbeddingMaps, truth)
        Truth as in :func:`match`.
    settings : PredictionConfig or sequence of PredictionConfig
        How else objects are collected, in all or in each: where scales were found, so were smallest sizes. The two
        thresholds, those of the first, stay unless another pair is better; of equal ones the nearest is taken.
    should_stop : callable
        Looked at while objects are collected.
    seed_thresholds, foreground_thresholds : sequence of float
        Values to try.
    confidence : float
        How sure the gain must be before another pair replaces the one in use, see :func:`is_sure_gain`. With 0 the gain
        on these very images decides; 0.95 where the thresholds are meant for other images.
    ignore : sequence of ndarray of bool or None, optional
        For each pair the pixels of unknown class, as in :func:`match`.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    unknown = [None] * len(pairs) if ignore is None else ignore
    others = [settings] * len(pairs) if isinstance(settings, PredictionConfig) else settings
    start = (others[0].seed_threshold, others[0].foreground_threshold)
    tried = sorted({(s, f) for s in seed_thresholds for f in foreground_thresholds} | {start})
    scores: dict[tuple[float, float], np.ndarray] = {}
    for seed, foreground in tried:
        update = {"seed_threshold": seed, "foreground_threshold": foreground}
        each = []
        for (maps, truth), own, hidden in zip(pairs, others, unknown, strict=True):
            found = cluster_by(maps, own.model_copy(update=update), should_stop)
            each.append(np.mean([row.ap for row in match_rows(truth, found.labels, ignore=hidden)]))
        scores[seed, foreground] = np.array(each)
        yield PairTried(len(scores), len(tried))
        if should_stop():
            raise Stopped("The search for thresholds was stopped.")
    best = _nearest_of_best(scores, start)
    gains = scores[best] - scores[start]
    if gains.mean() < MARGIN or not is_sure_gain(gains, confidence):
        best = start
    table = tuple((seed, foreground, float(each.mean())) for (seed, foreground), each in scores.items())
    return TunedThresholds(*best, start, table)


def _nearest_of_best(
    scores: dict[tuple[float, float], NDArray[np.float64]], start: tuple[float, float]
) -> tuple[float, float]:
    """The pair of the highest mean score; of equal ones the nearest to that in use, and the stricter of two as near.

    These images say nothing about a threshold that changes no score; on others a lower one may invent objects.
    """
    means = {pair: each.mean() for pair, each in scores.items()}
    highest = max(means.values())
    equal = [pair for pair, mean in means.items() if np.isclose(mean, highest, rtol=0, atol=1e-9)]
    # Sums of decimal numbers differ by rounding.
    return min(equal, key=lambda pair: (round(sum(np.abs(np.subtract(pair, start))), 6), -pair[0], -pair[1]))


def is_sure_gain(gains: NDArray[np.float64], confidence: float) -> bool:
    """Whether a mean gain is more than chance, by Student's t interval of the images' gains.

    With four images a mean must be 3.2 times its standard error to be sure at 0.95, with many twice; a single image
    says nothing of others.

    Parameters
    ----------
    gains : ndarray, shape (n,)
        What each image gains.
    confidence : float
        Part of the intervals that hold the true mean, below 1; 0: every gain is taken as it is.
    """
    if confidence == 0:
        return True
    if len(gains) < 2:
        return False
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() > special.stdtrit(len(gains) - 1, (1 + confidence) / 2) * error)


def reached_seed_threshold(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], share: float = REACHED_SHARE, start: float = 0.9
) -> float:
    """Seed threshold that a share of the annotated objects reaches, where that is below the usual one.

    A network that has seen little is not yet sure of anything, also of what it was shown. Pairs of thresholds cannot be
    tried out then: most of the image is of unknown class, and what would be invented there counts for nothing.

    Parameters
    ----------
    pairs : iterable of (seed map, labels)
        Both ((Z,) Y, X), of annotated images; labels are 0 where unknown. Planes (K, (Z,) Y, X) are taken, too.
    share : float
        Share of the objects that shall have a seed.
    start : float
        The usual threshold, which is also the highest.

    Returns
    -------
    float
        No lower than `LEAST_REACHED`.
    """
    peaks: list[float] = []
    for seed_map, labels in pairs:
        if labels.ndim > seed_map.ndim:
            peaks += [float(seed_map[plane != 0].max()) for plane in labels if plane.any()]
        else:
            ids = np.unique(labels[labels != 0])
            peaks += np.atleast_1d(ndimage.maximum(seed_map, labels, ids)).tolist() if len(ids) else []
    if not peaks:
        return start
    return float(np.clip(np.round(np.quantile(peaks, 1 - share), 3), LEAST_REACHED, start))
