"""Centres: the exact medoid equals brute force on every kind of shape, and the reference of the original program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from embedseg_napari.core.data import medoid as centers
from embedseg_napari.core.data import objects
from embedseg_napari.core.data.medoid import medoid
from embedseg_napari.core.data.objects import measure_objects, update_objects
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def brute_force(mask: np.ndarray, spacing: tuple[float, ...] | None = None) -> tuple[int, ...]:
    at = np.argwhere(mask)
    scaled = at * np.ones(mask.ndim) if spacing is None else at * np.array(spacing)
    sums = np.array([np.sqrt(((scaled - point) ** 2).sum(1)).sum() for point in scaled])
    return tuple(at[np.flatnonzero(sums <= sums.min() * (1 + 1e-12))[0]].tolist())


def center(mask: np.ndarray, kind: centers.CenterKind, spacing: tuple[float, ...] | None = None) -> tuple[float, ...]:
    """Centre of a single object."""
    return tuple(measure_objects((mask != 0).astype(np.uint8), kind, spacing).centers[0].tolist())


def ball(shape: tuple[int, ...], inner: float, outer: float) -> np.ndarray:
    """Pixels between two radii (as fractions of the half sides)."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    return (radius <= outer) & (radius >= inner)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 16), st.integers(1, 16)),
        st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
    ),
    seed=st.integers(0, 2**31),
    density=st.sampled_from([0.05, 0.3, 0.8, 1.0]),
    step=st.sampled_from([1.0, 2.18, 0.3]),
)
def test_medoid_equals_brute_force(shape: tuple[int, ...], seed: int, density: float, step: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    mask.flat[rng.integers(mask.size)] = True
    spacing = (step,) + (1.0,) * (len(shape) - 1)
    assert medoid(mask, spacing) == brute_force(mask, spacing)


@pytest.mark.parametrize(
    ("shape", "inner", "outer"),
    [
        ((60, 61), 0.0, 1.0),
        ((61, 61), 0.9, 1.0),  # a thin ring: nearly all members are equivalent
        ((90, 40), 0.7, 0.95),
        ((18, 20, 22), 0.0, 1.0),
        ((21, 21, 21), 0.8, 1.0),
    ],
)
def test_medoid_of_filled_and_hollow_shapes(shape: tuple[int, ...], inner: float, outer: float) -> None:
    mask = ball(shape, inner, outer)
    spacing = (2.0,) + (1.0,) * (len(shape) - 1)
    assert medoid(mask) == brute_force(mask)
    assert medoid(mask, spacing) == brute_force(mask, spacing)


@pytest.mark.parametrize("largest_transform", [centers.MAX_TRANSFORM, 0])
def test_medoid_where_bounds_do_not_decide(monkeypatch: pytest.MonkeyPatch, largest_transform: int) -> None:
    monkeypatch.setattr(centers, "MAX_CUTS", 1)
    monkeypatch.setattr(centers, "MAX_TRANSFORM", largest_transform)
    for shape in ((31, 40), (9, 14, 12)):
        mask = ball(shape, 0.5, 1.0)
        assert medoid(mask) == brute_force(mask)


def test_ties_go_to_the_first_in_array_order() -> None:
    assert medoid(np.ones((2, 2))) == (0, 0)
    assert medoid(np.ones((4, 4))) == (1, 1)
    assert medoid(np.ones((4, 4, 4)), (2.18, 1.0, 1.0)) == (1, 1, 1)
    assert center(np.ones((4, 4)), "approximate-medoid", (2.18, 1.3)) == (1, 1)
    assert medoid(np.ones((1, 1))) == (0, 0)


def test_spacing_counts() -> None:
    # A bar along y and a longer one along x: which one rules depends on the pixel size.
    mask = np.zeros((9, 13), bool)
    mask[:, 0] = True
    mask[0, :] = True
    assert medoid(mask, (1.0, 1.0)) == brute_force(mask)
    assert medoid(mask, (10.0, 1.0)) == brute_force(mask, (10.0, 1.0))
    assert medoid(mask, (10.0, 1.0)) != medoid(mask, (1.0, 10.0))


def test_centroid_may_be_a_fraction() -> None:
    assert center(np.array([[1, 1, 0], [0, 0, 1]]), "centroid") == pytest.approx((1 / 3, 1.0))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match="at least one pixel"):
        medoid(np.zeros((3, 3), bool))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, 1.0, 1.0)])
def test_a_spacing_that_does_not_fit_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="2 axes"):
        medoid(np.ones((3, 3)), spacing)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["medoid", "approximate-medoid", "centroid"])
@pytest.mark.parametrize("batch", [1, 1 << 18])
def test_table_of_labels_and_of_planes(
    ndim: int,
    kind: centers.CenterKind,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
    blobs: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    monkeypatch.setattr(objects, "BATCH_PIXELS", batch)
    labels = blobs(ndim)[1].astype(np.int64)
    ids = np.array([0, 3, 4, 100_000, 7, 2**40, 12][: labels.max() + 1])
    spacing = (2.0,) + (1.0,) * (ndim - 1)
    table = measure_objects(ids[labels], kind, spacing)
    assert_array_equal(table.ids, np.sort(ids[1:]))
    for row, label in enumerate(table.ids):
        mask = ids[labels] == label
        at = np.argwhere(mask)
        assert_array_equal(table.lower[row], at.min(0))
        assert_array_equal(table.upper[row], at.max(0) + 1)
        assert table.sizes[row] == len(at)
        assert_allclose(table.centers[row], center(mask, kind, spacing), atol=1e-9)
    planes = np.stack([labels == 1, labels < 0, labels > 0, labels == 2])
    found = measure_objects(planes, kind, spacing, planes=True)
    assert_array_equal(found.ids, [1, 3, 4])
    assert_array_equal(found.sizes, planes.reshape(4, -1).sum(1)[[0, 2, 3]])
    for row, plane in zip(found.centers, planes[[0, 2, 3]], strict=True):
        assert_allclose(row, center(plane, kind, spacing), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_any_integer_type_and_negative_ids(dtype: type) -> None:
    labels = np.zeros((5, 6), dtype)
    labels[1, 2:5] = 9
    assert_array_equal(measure_objects(labels).centers, [[1, 3]])
    if np.dtype(dtype).kind == "i":
        labels[3, 3] = -2
        assert_array_equal(measure_objects(labels).ids, [-2, 9])


@pytest.mark.parametrize("planes", [False, True])
def test_nothing_to_measure(planes: bool) -> None:
    table = measure_objects(np.zeros((3, 4, 5), np.int32), planes=planes)
    ndim = 2 if planes else 3
    assert table.ids.shape == (0,)
    assert table.centers.shape == table.lower.shape == table.upper.shape == (0, ndim)


def test_equals_the_original_program(golden: Callable[[str], Path]) -> None:
    reference = np.load(golden("medoid.npz"))
    anisotropy = (float(reference["anisotropy"]), 1.0, 1.0)
    for labels, kind, expected, spacing in (
        ("labels_2d", "medoid", "medoid_2d", None),
        ("labels_2d", "approximate-medoid", "approximate_medoid_2d", None),
        ("labels_3d", "medoid", "medoid_3d", anisotropy),
    ):
        found = np.zeros(reference[labels].shape, bool)
        found[tuple(measure_objects(reference[labels], kind, spacing).centers.astype(int).T)] = True
        assert_array_equal(found, reference[expected])


@st.composite
def edits(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A label image and the same after some strokes."""
    ndim = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    before = draw(arrays(np.int32, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 5, 70_000])))
    after = before.copy()
    for _ in range(draw(st.integers(0, 3))):
        corner = [draw(st.integers(0, side - 1)) for side in shape]
        box = tuple(slice(at, at + draw(st.integers(1, 4))) for at in corner)
        after[box] = draw(st.sampled_from([0, 1, 5, 9]))
    return before, after


@settings(max_examples=150, deadline=None)
@given(edits(), st.sampled_from(["medoid", "approximate-medoid", "centroid"]), st.booleans())
def test_an_updated_table_is_the_table_of_all(
    pair: tuple[np.ndarray, np.ndarray], kind: centers.CenterKind, planes: bool
) -> None:
    before, after = pair
    spacing = (2.0,) + (1.0,) * (before.ndim - 1)
    changed = sorted({*before[before != after].tolist(), *after[before != after].tolist()} - {0})
    if planes:
        numbers = [1, 2, 5, 70_000]
        before, after = np.stack([before == i for i in numbers]), np.stack([after == i for i in [*numbers, 9]])
        changed = [[*numbers, 9].index(i) + 1 for i in changed]
    table, ids = update_objects(
        measure_objects(before, kind, spacing, planes=planes), before, after, kind, spacing, planes=planes
    )
    full = measure_objects(after, kind, spacing, planes=planes)
    assert ids.tolist() == sorted(changed)
    for name in ("ids", "centers", "lower", "upper", "sizes"):
        assert_array_equal(getattr(table, name), getattr(full, name))
        assert getattr(table, name).dtype == getattr(full, name).dtype


def test_planes_may_become_fewer() -> None:
    planes = np.zeros((3, 4, 4), bool)
    planes[0, 1:3, 1:3] = planes[2, 2:, 2:] = True
    table, ids = update_objects(measure_objects(planes, planes=True), planes, planes[:1], planes=True)
    assert ids.tolist() == [3]
    assert table.ids.tolist() == [1]


def test_only_changed_objects_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((6, 6), int))
    table = measure_objects(labels)
    after = labels.copy()
    after[0, 0] = 7
    measured = []
    real = objects.measure_objects
    monkeypatch.setattr(
        objects, "measure_objects", lambda part, *a, **k: measured.append(np.unique(part)) or real(part, *a, **k)
    )
    assert update_objects(table, labels, after)[1].tolist() == [1, 7]
    assert_array_equal(measured, [[0, 1, 7]])
    assert update_objects(table, labels, labels)[0] is table
    assert len(measured) == 1
