from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.evaluation.diagnosis import Kind, compare, diagnose
from embedseg_napari.core.evaluation.matching import match


def draw(ndim: int, *spans: tuple[int, int, int]) -> np.ndarray:
    """Bars along x: (id, first, last + 1)."""
    labels = np.zeros((6,) * (ndim - 1) + (60,), np.int32)
    for value, first, last in spans:
        labels[..., 1:5, first:last] = value
    return labels


def kinds(true: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> list[tuple]:
    found = diagnose(compare(true, predicted), threshold)
    return [(f.kind, f.true_ids, f.predicted_ids) for f in found.findings]


@pytest.mark.parametrize("ndim", [2, 3])
class TestDiagnose:
    def test_found_missed_and_extra_objects(self, ndim: int) -> None:
        true = draw(ndim, (3, 0, 10), (9, 20, 30))
        predicted = draw(ndim, (5, 1, 10), (2, 40, 50))
        assert kinds(true, predicted) == [
            (Kind.MISSED, (9,), ()),
            (Kind.EXTRA, (), (2,)),
            (Kind.FOUND, (3,), (5,)),
        ]

    def test_one_object_over_two_true_ones_is_a_merge(self, ndim: int) -> None:
        true = draw(ndim, (1, 0, 10), (2, 10, 20))
        assert kinds(true, draw(ndim, (7, 0, 20)), 0.6) == [(Kind.MERGE, (1, 2), (7,))]

    def test_swallowing_a_small_neighbour_is_a_merge_beside_the_pair(self, ndim: int) -> None:
        true = draw(ndim, (1, 0, 16), (2, 16, 20))
        assert kinds(true, draw(ndim, (7, 0, 20))) == [(Kind.MERGE, (1, 2), (7,)), (Kind.FOUND, (1,), (7,))]

    def test_two_objects_in_one_true_one_are_a_split(self, ndim: int) -> None:
        predicted = draw(ndim, (4, 0, 10), (5, 10, 20))
        assert kinds(draw(ndim, (1, 0, 20)), predicted, 0.6) == [(Kind.SPLIT, (1,), (4, 5))]

    def test_a_chip_beside_the_pair_is_a_split(self, ndim: int) -> None:
        predicted = draw(ndim, (4, 0, 16), (5, 16, 20))
        assert kinds(draw(ndim, (1, 0, 20)), predicted) == [(Kind.SPLIT, (1,), (4, 5)), (Kind.FOUND, (1,), (4,))]

    def test_half_an_object_is_no_main_part(self, ndim: int) -> None:
        true, predicted = draw(ndim, (1, 0, 10), (2, 12, 22)), draw(ndim, (7, 5, 22))
        assert (Kind.MERGE, (1, 2), (7,)) not in kinds(true, predicted)

    def test_place_to_look_at_lies_in_the_object(self, ndim: int) -> None:
        true = np.zeros((8,) * (ndim - 1) + (40,), np.int32)
        # A ring: its centroid is outside of it.
        true[..., 1:7, 10:17] = 4
        true[..., 3:5, 12:15] = 0
        found = diagnose(compare(true, np.zeros_like(true))).findings[0]
        assert true[tuple(int(v) for v in found.center)] == 4
        assert found.size == np.count_nonzero(true)
        assert (found.lower[-1], found.upper[-1]) == (10, 17)

    def test_nothing_and_nothing(self, ndim: int) -> None:
        empty = np.zeros((4,) * ndim, np.int32)
        assert kinds(empty, empty) == []


def test_a_pair_below_the_threshold_keeps_its_iou() -> None:
    found = diagnose(compare(draw(2, (1, 0, 10)), draw(2, (1, 5, 15))))
    assert [(f.kind, round(f.iou, 3)) for f in found.findings] == [(Kind.MISSED, 0.333), (Kind.EXTRA, 0.333)]


def test_pairs_come_worst_first() -> None:
    true = draw(2, (1, 0, 10), (2, 20, 30), (3, 40, 50))
    predicted = draw(2, (1, 0, 10), (2, 20, 28), (3, 40, 49))
    assert [f.true_ids for f in diagnose(compare(true, predicted)).findings] == [(2,), (3,), (1,)]


def test_overlapping_truth_as_planes() -> None:
    planes = np.stack([draw(2, (1, 0, 12)), np.zeros((6, 60), np.int32), draw(2, (1, 8, 20))]) != 0
    found = kinds(planes, draw(2, (6, 0, 11)))
    assert found == [(Kind.MISSED, (3,), ()), (Kind.FOUND, (1,), (6,))]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_kinds_add_up_to_the_scores(threshold: float, rng: np.random.Generator) -> None:
    true, predicted = (np.kron(rng.integers(0, 12, (12, 12)), np.ones((4, 4), int)).astype(np.int32) for _ in range(2))
    predicted = np.where(rng.random(true.shape) < 0.9, true, predicted)
    row = match(true, predicted, [threshold])[0]
    found = diagnose(compare(true, predicted), threshold)
    assert found.count(Kind.FOUND) == row.tp
    assert np.count_nonzero(found.true_kinds != Kind.FOUND) == row.fn
    assert np.count_nonzero(found.predicted_kinds != Kind.FOUND) == row.fp
