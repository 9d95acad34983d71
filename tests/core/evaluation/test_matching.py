"""Scores: hand-made cases, a search over all matchings, and the reference of the original program."""

from __future__ import annotations

import warnings
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedseg_napari.core.errors import DataError, EmbedSegWarning
from embedseg_napari.core.evaluation.matching import (
    IOU_THRESHOLDS,
    MatchRow,
    lenient_ap,
    match,
    matched_pairs,
    overlaps,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def table_by_planes(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """IoU of all pairs of planes."""
    return np.array([[(a & b).sum() / (a | b).sum() for b in predicted] for a in true])


def as_planes(labels: np.ndarray) -> np.ndarray:
    ids = np.unique(labels)
    return np.stack([labels == i for i in ids[ids > 0]]) if ids.any() else np.zeros((0, *labels.shape), bool)


@pytest.mark.parametrize("ndim", [2, 3])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([0.1, 0.3, 0.5, 0.7]))
def test_as_many_pairs_as_any_matching_has(ndim: int, seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (6, 7) if ndim == 2 else (3, 4, 5)
    true = rng.random((rng.integers(1, 5), *shape)) < 0.5
    predicted = rng.random((rng.integers(1, 5), *shape)) < 0.5
    true[:, *(0,) * ndim] = predicted[:, *(0,) * ndim] = True
    iou = table_by_planes(true, predicted)
    wide = iou if iou.shape[0] <= iou.shape[1] else iou.T
    best = max(
        sum(wide[i, j] >= threshold for i, j in enumerate(p)) for p in permutations(range(wide.shape[1]), len(wide))
    )
    (row,) = match(true, predicted, [threshold])
    assert (row.tp, row.fp, row.fn) == (best, len(predicted) - best, len(true) - best)
    found = overlaps(true, predicted)
    pairs = matched_pairs(found, threshold)
    assert len(set(found.true_index[pairs])) == len(set(found.predicted_index[pairs])) == len(pairs)
    for k in pairs:
        assert found.iou[k] == pytest.approx(iou[found.true_index[k], found.predicted_index[k]])


@pytest.mark.parametrize("ndim", [2, 3])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), n=st.integers(0, 6))
def test_labels_and_planes_of_the_same_objects_score_alike(ndim: int, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (8, 9) if ndim == 2 else (4, 5, 6)
    true = rng.integers(0, n + 1, shape)
    predicted = np.where(rng.random(shape) < 0.7, true, rng.integers(0, n + 1, shape))
    if not true.any() or not predicted.any():
        return
    expected = match(true, predicted, [0.2, 0.5, 0.8])
    assert match(as_planes(true), predicted, [0.2, 0.5, 0.8]) == expected
    assert match(true, as_planes(predicted), [0.2, 0.5, 0.8]) == expected
    assert match(as_planes(true), as_planes(predicted), [0.2, 0.5, 0.8]) == expected


def test_equals_the_original_program(golden: Callable[[str], Path]) -> None:
    reference = np.load(golden("matching.npz"))
    for true, predicted, values in zip(reference["truth"], reference["predicted"], reference["values"], strict=True):
        rows = match(true, predicted, reference["thresholds"])
        found = [[getattr(row, column) for column in reference["columns"]] for row in rows]
        np.testing.assert_allclose(found, values, rtol=1e-12)


def test_default_thresholds_and_perfect_score() -> None:
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((4, 4), int))
    rows = match(labels, labels)
    assert [row.threshold for row in rows] == list(IOU_THRESHOLDS) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    assert all((row.tp, row.fp, row.fn) == (11, 0, 0) for row in rows)
    assert all(row.ap == row.f1 == row.precision == row.recall == row.pq == 1 for row in rows)


def test_a_pair_exactly_at_the_threshold_counts() -> None:
    true, predicted = np.zeros((1, 20), int), np.zeros((1, 20), int)
    true[0, :20], predicted[0, :11] = 5, 9
    assert [row.tp for row in match(true, predicted, [0.5, 0.55, 0.56])] == [1, 1, 0]


def test_scores_of_a_mixed_case() -> None:
    true = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3, 3]])
    predicted = np.array([[7, 7, 7, 0, 0, 9, 9, 0, 0, 4]])
    row = match(true, predicted, [0.6])[0]
    assert (row.tp, row.fp, row.fn) == (2, 1, 1)
    assert row.ap == pytest.approx(0.5)
    assert row.precision == row.recall == row.f1 == pytest.approx(2 / 3)
    assert row.pq == pytest.approx((0.75 + 1.0) / 3)


@pytest.mark.parametrize(
    ("true", "predicted", "ap"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0)], ids=["nothing", "missed", "invented"]
)
@pytest.mark.parametrize("as_stack", [False, True])
def test_empty_images(true: int, predicted: int, ap: float, as_stack: bool) -> None:
    a, b = np.full((3, 3), true), np.full((3, 3), predicted)
    (row,) = match(a[None] > 0 if as_stack else a, b, [0.5])
    assert row.ap == row.f1 == row.pq == ap
    assert lenient_ap(a[None] > 0 if as_stack else a, b, [0.5]) == [ap]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_any_whole_number_type_huge_and_negative_ids(dtype: type) -> None:
    labels = np.zeros((4, 4), dtype)
    labels[1, 1:3] = 1
    other = np.where(labels != 0, np.int64(2**50), 0)
    assert match(labels, other, [0.9])[0].ap == 1
    assert match(-other, labels, [0.9])[0].ap == 1


def test_overlapping_truth_one_to_one_and_lenient() -> None:
    # Two equal true objects, one prediction on both: one to one finds one of them, the lenient score both.
    planes = np.zeros((3, 4, 4), bool)
    planes[0, :2], planes[1, :2], planes[2, 3] = True, True, True
    predicted = np.zeros((4, 4), int)
    predicted[:2] = 1
    assert match(planes, predicted, [0.5])[0].tp == 1
    assert match(planes, predicted, [0.5])[0].ap == pytest.approx(1 / 3)
    assert lenient_ap(planes, predicted, [0.5]) == [pytest.approx(2 / 3)]


def test_empty_planes_are_no_objects() -> None:
    planes = np.zeros((3, 4, 4), bool)
    planes[1, 2] = True
    assert overlaps(planes, planes[1].astype(int)).true_ids.tolist() == [2]
    assert match(planes, planes[1].astype(int), [0.5])[0].ap == 1


@pytest.mark.parametrize(
    ("a", "b"), [((4, 4), (4, 5)), ((2, 4, 4), (5, 4)), ((3, 2, 4, 4), (4, 4)), ((2, 4, 4), (3, 4, 4))]
)
def test_different_images_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="same image"):
        match(np.zeros(a, int), np.zeros(b, int))


def test_fractions_are_no_labels() -> None:
    with pytest.raises(DataError, match="whole numbers"):
        match(np.zeros((3, 3)), np.zeros((3, 3), int))


@pytest.mark.parametrize("binary", [lambda labels: labels > 0, lambda labels: (labels > 0).astype(np.uint8)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_binary_mask_is_spoken_of(ndim: int, binary: Callable[[np.ndarray], np.ndarray]) -> None:
    labels = np.zeros((12,) * (ndim - 2) + (40, 40), np.uint16)
    labels[..., 2:12, 2:12], labels[..., 20:36, 20:36] = 1, 2
    with pytest.warns(EmbedSegWarning, match="The truth: 2 separate pieces share one number"):
        (row,) = match(binary(labels), labels, [0.5])
    assert row.tp + row.fn == 1
    with pytest.warns(EmbedSegWarning, match="The prediction: 2 separate pieces share one number"):
        match(labels, binary(labels), [0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match(labels, labels, [0.5])
        match(labels == 1, labels, [0.5])


def test_frames_of_a_time_lapse_are_matched_one_by_one() -> None:
    true = np.zeros((3, 8, 8), int)
    true[:, :4, :4] = 1
    predicted = np.roll(true, 1, axis=-1)
    predicted[2] = true[2, ::-1]
    (row,) = match(true, predicted, [0.5], axes="TYX")
    assert (row.tp, row.fp, row.fn, row.ap) == (2, 1, 1, pytest.approx(2 / 3))
    frames = [match(*pair, [0.5]) for pair in zip(true, predicted, strict=True)]
    assert row == MatchRow.pooled([rows[0] for rows in frames])
    turned = [np.moveaxis(array, 0, 2) for array in (true, predicted)]
    assert match(*turned, [0.5], axes="yxt") == [row]
    planes = (true == 1)[:, None]
    for pair in ((planes, predicted), (planes, (predicted == 1)[:, None])):
        assert match(*pair, [0.5], axes="TYX") == [row]
    unknown = np.zeros(true.shape, bool)
    unknown[2] = True
    (row,) = match(true, predicted, [0.5], unknown, axes="TYX")
    assert (row.tp, row.fp, row.fn) == (2, 0, 0)
    # Three axes of which nothing is said are a volume, and so are those that are called one.
    assert match(true, predicted, [0.5], planes=False) == match(true, predicted, [0.5], axes="ZYX")
    assert match(true, predicted, [0.5], axes="ZYX")[0].fn == 1


@pytest.mark.parametrize(
    ("shapes", "axes", "words"),
    [
        (((3, 8, 8), (2, 8, 8)), "TYX", "3 frames and the prediction 2"),
        (((0, 8, 8), (0, 8, 8)), "TYX", "0 frames"),
        (((3, 8, 8), (3, 8, 8)), "TCYX", "do not fit labels"),
        (((8, 8), (8, 8)), "TYX", "do not fit labels"),
        (((3, 8, 8), (3, 8, 8)), "TWX", "unknown letter"),
    ],
)
def test_axes_that_do_not_fit_are_a_sentence(shapes, axes: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        match(*(np.zeros(shape, int) for shape in shapes), axes=axes)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_truth_that_is_known_on_some_planes_is_no_binary_mask(axis: int) -> None:
    ball = (sum((np.indices((20, 20, 20)) - 8) ** 2) < 50).astype(np.uint8)
    unknown = np.ones(ball.shape, bool)
    np.moveaxis(unknown, axis, 0)[[2, 5, 8, 11, 14]] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = match(np.where(unknown, 0, ball), ball, [0.5], ignore=unknown)
    assert row.tp == 1
