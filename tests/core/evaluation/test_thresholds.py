"""Thresholds are chosen by score, and only where another pair is clearly better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.evaluation.thresholds import (
    LEAST_REACHED,
    TunedThresholds,
    is_sure_gain,
    reached_seed_threshold,
    search_thresholds,
)
from embedseg_napari.core.events import PairTried
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.runs import drain


def tuned(pairs: list[tuple[EmbeddingMaps, np.ndarray]], **options: Any) -> TunedThresholds:
    """The search to its end."""
    return drain(search_thresholds(pairs, **options))


def faint_and_bright(ndim: int, seed: float, rim: float) -> tuple[EmbeddingMaps, np.ndarray]:
    """Two boxes, one of them with a maximum of only `seed`; all around them a rim of background at `rim`."""
    shape = (20,) * ndim
    grid = np.indices(shape, dtype=np.float32)
    truth = np.zeros(shape, np.int32)
    offsets, margins = np.zeros_like(grid), np.full_like(grid, 3.0)
    seed_map = np.full(shape, rim, np.float32)
    for label, (start, peak) in enumerate(((2, 0.95), (11, seed)), 1):
        box = (slice(start, start + 6),) * ndim
        truth[box] = label
        seed_map[box] = 0.7
        seed_map[(start + 3,) * ndim] = peak
        around = (slice(start - 2, start + 8),) * ndim
        offsets[(slice(None), *around)] = start + 2.5 - grid[(slice(None), *around)]
    return EmbeddingMaps(offsets, margins, seed_map), truth


@pytest.mark.parametrize("ndim", [2, 3])
def test_finds_the_pair_that_separates(ndim: int) -> None:
    pairs = [faint_and_bright(ndim, 0.75, 0.55)]
    best = tuned(pairs)
    # The faint object needs seeds below 0.75, the rim a foreground above 0.55.
    assert best.seed_threshold <= 0.75
    assert best.foreground_threshold >= 0.55
    assert best.score == 1
    assert max(row[2] for row in best.table) == best.score
    assert tuned(pairs) == best


def test_objects_of_each_image_are_collected_by_its_own_settings() -> None:
    pairs = [faint_and_bright(2, 0.95, 0.0)] * 2
    settings = PredictionConfig(min_object_size=20)
    assert tuned(pairs, settings=[settings, settings]).score == 1
    # The scale that was found for the second one left it a smallest size that its objects do not reach.
    assert tuned(pairs, settings=[settings, settings.changed({"min_object_size": 50})]).score == 0.5


def test_keeps_the_usual_pair_where_nothing_is_gained() -> None:
    best = tuned([faint_and_bright(2, 0.95, 0.0)])
    assert (best.seed_threshold, best.foreground_threshold, best.score) == (0.9, 0.5, 1)
    assert len(best.table) == 24


@pytest.mark.parametrize("seed", [0.6, 0.9])
def test_of_equal_pairs_the_nearest_to_the_one_in_use_is_taken(seed: float) -> None:
    # Only the foreground threshold matters: the rim makes one object of both.
    pairs = [faint_and_bright(2, 0.95, 0.55)]
    best = tuned(pairs, settings=PredictionConfig(seed_threshold=seed, foreground_threshold=0.4))
    assert best.score > best.start_score
    assert {row[0] for row in best.table if row[2] == best.score} >= {0.6, 0.9}
    assert best.best == (seed, 0.6)


def test_of_equal_pairs_as_near_the_stricter_one_is_taken() -> None:
    pairs = [faint_and_bright(2, 0.95, 0.55)]
    settings = PredictionConfig(seed_threshold=0.8, foreground_threshold=0.4)
    best = tuned(pairs, settings=settings, seed_thresholds=[0.7, 0.9], foreground_thresholds=[0.4, 0.6])
    assert best.best == (0.9, 0.6)


def test_scores_are_means_over_images() -> None:
    good, faint = faint_and_bright(2, 0.95, 0.0), faint_and_bright(2, 0.75, 0.0)
    best = tuned([good, faint], seed_thresholds=[0.9], foreground_thresholds=[0.5])
    assert best.table == ((0.9, 0.5, 0.75),)


def test_the_smallest_size_is_respected() -> None:
    best = tuned([faint_and_bright(2, 0.95, 0.0)], settings=PredictionConfig(min_object_size=36))
    assert best.score == 0


def test_an_unsure_gain_is_not_taken_where_certainty_is_asked() -> None:
    good, faint = faint_and_bright(2, 0.95, 0.0), faint_and_bright(2, 0.75, 0.0)
    mixed = [good, good, good, faint]
    assert tuned(mixed).seed_threshold < 0.9
    assert tuned(mixed, confidence=0.95).seed_threshold == 0.9
    assert tuned([faint] * 4, confidence=0.95).seed_threshold < 0.9
    assert tuned([faint], confidence=0.95).seed_threshold == 0.9


def test_a_gain_of_few_images_needs_to_be_clearer() -> None:
    # A mean of 2.4 standard errors: sure with 40 images, not with 4, where Student's t asks for 3.18.
    for n, is_sure in ((4, False), (40, True)):
        gains = np.resize([-1.0, 1.0], n).astype(float)
        gains += 2.4 * gains.std(ddof=1) / np.sqrt(n)
        assert is_sure_gain(gains, 0.95) is is_sure
        assert is_sure_gain(gains, 0.0)
    assert not is_sure_gain(np.array([1.0]), 0.95)
    assert is_sure_gain(np.array([0.1, 0.1]), 0.95)


def test_the_search_tells_each_pair_and_can_be_stopped() -> None:
    told = []
    search = search_thresholds([faint_and_bright(2, 0.75, 0.0)], should_stop=lambda: len(told) >= 3)
    with pytest.raises(Stopped):
        drain(search, told.append)
    assert told == [PairTried(1, 24), PairTried(2, 24), PairTried(3, 24)]


@pytest.mark.parametrize("planes", [False, True])
def test_seeds_are_lowered_to_what_most_annotated_objects_reach(planes: bool) -> None:
    labels = np.repeat(np.arange(11), 4)[None]
    seed_map = np.zeros(labels.shape, np.float32)
    # Background is sure of itself, and only the best pixel of an object counts.
    seed_map[0, :4] = 0.99
    seed_map[0, 5::4] = np.linspace(0.60, 0.69, 10)
    truth = np.stack([labels == i for i in range(1, 11)]) if planes else labels
    threshold = reached_seed_threshold([(seed_map, truth)])
    assert np.count_nonzero(np.linspace(0.60, 0.69, 10) >= threshold) == 9
    assert reached_seed_threshold([(seed_map, truth)], share=1.0) == pytest.approx(0.60)


def test_sure_objects_nothing_and_the_blind_keep_seeds_in_range() -> None:
    labels = np.array([[0, 1, 1, 2]])
    assert reached_seed_threshold([(np.full(labels.shape, 0.97), labels)]) == 0.9
    assert reached_seed_threshold([(np.full(labels.shape, 0.2), np.zeros_like(labels))]) == 0.9
    assert reached_seed_threshold([(np.full(labels.shape, 0.2), labels)]) == LEAST_REACHED
