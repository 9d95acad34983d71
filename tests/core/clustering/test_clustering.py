"""Clustering: perfect maps give the objects back; the fast ways equal the definition, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from clustering_steps import WAYS, by_definition, perfect_maps, random_maps, run, shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=shapes,
    seed=st.integers(0, 2**31),
    reach=st.sampled_from([0.0, 0.3, 3.0, 40.0]),
    margin=st.sampled_from([1e-3, 0.7, 2.0, 5.7, 300.0]),
    spread=st.sampled_from([0.0, 0.3, 2.0]),
    levels=st.sampled_from([3, 20, 10_000]),
    thresholds=st.sampled_from([(0.9, 0.5), (0.4, 0.6), (1.0, 0.0), (0.0, 0.2)]),
    min_object_size=st.sampled_from([0, 3, 20]),
    faint_seeds=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
)
def test_equals_the_definition(
    way: str,
    shape: tuple[int, ...],
    seed: int,
    reach: float,
    margin: float,
    spread: float,
    levels: int,
    thresholds: tuple[float, float],
    min_object_size: int,
    faint_seeds: float,
) -> None:
    maps = random_maps(shape, seed, reach, margin, spread, levels)
    # Division here and multiplication by the inverse there may round a pixel on the margin differently; these
    # margins keep pixels off it.
    found = run(way, maps, *thresholds, min_object_size, faint_seeds=faint_seeds)
    labels, seeds = by_definition(maps, *thresholds, min_object_size, faint_seeds)
    assert_array_equal(found.labels, labels)
    assert_array_equal(found.scores, maps.seed_map.ravel()[seeds])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.one_of(st.just((90, 110)), st.just((9, 30, 34))),
    seed=st.integers(0, 2**31),
    reach=st.sampled_from([0.0, 1.0, 10.0]),
    margin=st.sampled_from([0.05, 3.0, 5.7, 1e4]),
    spread=st.sampled_from([0.0, 1.0]),
    kind=st.sampled_from(["greedy", "local_maxima"]),
)
def test_both_ways_agree_on_larger_maps(
    shape: tuple[int, ...], seed: int, reach: float, margin: float, spread: float, kind: str
) -> None:
    maps = random_maps(shape, seed, reach, margin, spread, 1000)
    plain, compiled = (run(way, maps, 0.6, 0.3, 2, kind, faint_seeds=0.2) for way in WAYS)
    assert_array_equal(compiled.labels, plain.labels)
    assert_array_equal(compiled.centers, plain.centers)
    assert_array_equal(compiled.scores, plain.scores)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["greedy", "local_maxima"])
def test_perfect_maps_give_the_objects_back(
    way: str, ndim: int, kind: str, blobs: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    _, labels = blobs(ndim)
    found = run(way, perfect_maps(labels), 0.9, 0.5, 0, kind)
    assert found.labels.dtype == np.int32
    pairs = np.unique(np.stack([labels.ravel(), found.labels.ravel()]), axis=1)
    assert pairs.shape[1] == labels.max() + 1
    assert set(pairs[1]) == set(range(labels.max() + 1))
    for row, center in enumerate(found.centers):
        assert_allclose(center, np.argwhere(found.labels == row + 1).mean(0), atol=1e-3)
    assert np.all(np.diff(found.scores) <= 0)


@pytest.mark.parametrize("n_planes", [1, 2])
def test_local_maxima_of_few_planes_are_seeds(n_planes: int, blobs: Callable[..., Any]) -> None:
    labels = np.stack([blobs(2)[1]] * n_planes)
    assert_array_equal(run("compiled", perfect_maps(labels), seeds="local_maxima").labels > 0, labels > 0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_equals_the_original_program(golden: Callable[[str], Path], ndim: int) -> None:
    reference = np.load(golden(f"cluster_{ndim}d.npz"))
    raw = reference["raw"].astype(np.float64)
    spacing = np.full(ndim, 1 / 1023)
    if ndim == 3:
        spacing[0] = float(reference["anisotropy"]) / 1023
    shape = (ndim,) + (1,) * ndim
    # Channels there are x, y, z.
    offsets = np.tanh(raw[ndim - 1 :: -1]) / spacing.reshape(shape)
    margins = np.sqrt(np.log(2)) * np.exp(-5 * raw[2 * ndim - 1 : ndim - 1 : -1]) / spacing.reshape(shape)
    maps = EmbeddingMaps(
        offsets.astype(np.float32), margins.astype(np.float32), (1 / (1 + np.exp(-raw[-1]))).astype(np.float32)
    )
    keys = [key for key in reference if key.startswith("labels_")]
    assert len(keys) == 4
    for key in keys:
        *first, foreground, smallest = key.split("_")[1:]
        kind = "local_maxima" if len(first) == 2 else "greedy"
        threshold = 0.9 if kind == "local_maxima" else float(first[0])
        for way in WAYS:
            found = run(way, maps, threshold, float(foreground), int(smallest), kind).labels
            pairs, counts = np.unique(np.stack([reference[key].ravel(), found.ravel()]), axis=1, return_counts=True)
            # One to one, but for a pixel in ten thousand.
            best = {old: counts[pairs[0] == old].max() for old in np.unique(pairs[0])}
            assert sum(best.values()) >= found.size * (1 - 1e-4), key
            assert found.max() == len(np.unique(reference[key])) - 1, key


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", [(), (1,), (3,)])
def test_faint_objects_are_found_where_they_are_large_or_cut_by_the_border(way: str, depth: tuple[int, ...]) -> None:
    labels = np.zeros((*depth, 20, 60), np.int32)
    for number, (rows, columns) in enumerate(
        [
            (slice(4, 14), slice(2, 12)),
            (slice(4, 14), slice(20, 30)),
            (slice(8, 13), slice(36, 41)),
            (slice(8, 13), slice(55, 60)),
        ],
        1,
    ):
        labels[..., rows, columns] = number
    maps = perfect_maps(labels)
    maps.seed_map[labels >= 2] -= 0.12
    if depth == (3,):
        # Not cut above and below.
        maps.seed_map[[0, 2]] = 0
    assert run(way, maps).labels.max() == 1
    found = run(way, maps, faint_seeds=0.1).labels
    assert_array_equal(found > 0, (maps.seed_map > 0.5) & (labels != 3))
    assert found.max() == 3
    assert run(way, maps, faint_seeds=0.02).labels.max() == 1


@pytest.mark.parametrize("way", WAYS)
def test_seed_at_the_threshold_counts_and_foreground_at_it_does_not(way: str) -> None:
    seed_map = np.array([[0.9, 0.6, 0.6, 0.5, 0.5]], np.float32)
    maps = EmbeddingMaps(np.zeros((2, 1, 5), np.float32), np.full((2, 1, 5), 10, np.float32), seed_map)
    assert_array_equal(run(way, maps, 0.9, 0.5).labels, [[1, 1, 1, 0, 0]])
    assert run(way, maps, 0.901, 0.5).labels.max() == 0


@pytest.mark.parametrize("way", WAYS)
def test_objects_need_more_than_the_smallest_size(way: str) -> None:
    maps = EmbeddingMaps(
        np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 10, np.float32), np.full((2, 3), 0.95, np.float32)
    )
    assert run(way, maps, min_object_size=5).labels.max() == 1
    assert run(way, maps, min_object_size=6).labels.max() == 0


@pytest.mark.parametrize("way", WAYS)
def test_the_seed_does_not_count_as_unclustered(way: str) -> None:
    # Two pixels: one of two unclustered is not more than half. Three: two of three is.
    for n, expected in ((2, 0), (3, 1)):
        maps = EmbeddingMaps(
            np.zeros((2, 1, n), np.float32), np.full((2, 1, n), 10, np.float32), np.full((1, n), 0.95, np.float32)
        )
        assert run(way, maps).labels.max() == expected


@pytest.mark.parametrize("way", WAYS)
def test_wholly_overwritten_objects_are_dropped_and_ids_have_no_gaps(way: str) -> None:
    # The first seed takes 3 pixels around it; the second's wide ellipse takes all 12, 9 of them fresh.
    seed_map = np.full((1, 12), 0.6, np.float32)
    seed_map[0, 1], seed_map[0, 8] = 0.99, 0.95
    margins = np.full((2, 1, 12), 1.5, np.float32)
    margins[:, 0, 8] = 50
    found = run(way, EmbeddingMaps(np.zeros((2, 1, 12), np.float32), margins, seed_map))
    assert_array_equal(found.labels, np.ones((1, 12)))
    assert_allclose(found.scores, [0.95])
    assert_allclose(found.centers, [[0, 8]])


@pytest.mark.parametrize(("shape", "margin"), [((128, 160), 45.0), ((16, 32, 40), 12.0)])
@pytest.mark.parametrize("seeds", ["greedy", "local_maxima"])
def test_ellipses_over_many_boxes_equal_the_plain_way(shape: tuple[int, ...], margin: float, seeds: str) -> None:
    maps = random_maps(shape, 0, 3.0, margin, 0.3, 1000)
    plain, fast = (run(way, maps, 0.3, 0.1, 0, seeds) for way in WAYS)
    assert plain.labels.max() > 3
    assert_array_equal(fast.labels, plain.labels)
    assert_array_equal(fast.seeds, plain.seeds)
