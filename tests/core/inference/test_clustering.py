"""Clustering: perfect maps give the objects back; the fast ways equal the definition, pixel by pixel."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from embedseg_napari.core.compiled.background_import import CompiledModule
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import EmbedSegWarning, SettingsError, Stopped
from embedseg_napari.core.inference import clustering, clustering_compiled
from embedseg_napari.core.inference.clustering import cluster, cluster_by, warm_up
from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAYS = ["numpy", "compiled"]


ORDER = ("seed_threshold", "foreground_threshold", "min_object_size", "seeds")


def run(
    way: str, maps: EmbeddingMaps, *values: Any, should_stop: Callable[[], bool] | None = None, **more: Any
) -> clustering.ClusterResult:
    """Cluster in one given way, with settings in the order that `cluster` takes them."""
    settings = PredictionConfig.parse({**dict(zip(ORDER, values, strict=False)), **more})
    if way == "compiled":
        warm_up(wait=True)
        assert clustering.KERNEL.is_ready()
        return cluster_by(maps, settings, should_stop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering.KERNEL, "ready", lambda: None)
        patch.setattr(clustering.KERNEL, "is_ready", lambda: False)
        return cluster_by(maps, settings, should_stop)


def by_definition(
    maps: EmbeddingMaps,
    seed_threshold: float,
    foreground_threshold: float,
    min_object_size: int,
    faint_seeds: float = 0,
) -> tuple[np.ndarray, list[int]]:
    """The greedy algorithm as the paper tells it, all pixels for every seed; labels and flat seed positions.

    With faint seeds once more in what is left, where nine tenths of a proposal must be free; then what is smaller than
    0.3 of the others' median goes, unless it touches the border.
    """
    seed_map = maps.seed_map.ravel()
    grid = np.indices(maps.seed_map.shape).reshape(maps.ndim, -1)
    embedding = (grid + maps.offsets.reshape(maps.ndim, -1)).astype(np.float32).astype(np.float64)
    margins = maps.margins.reshape(maps.ndim, -1).astype(np.float64)
    foreground = seed_map > np.float32(foreground_threshold)
    labels = np.zeros(seed_map.size, np.int32)
    starts: list[int] = []
    n_bright = 0
    for lowest, share in ((seed_threshold, 0.5), (seed_threshold - faint_seeds, 0.9)):
        unclustered = foreground & (labels == 0)
        while share == 0.5 or faint_seeds > 0:
            score = np.where(unclustered, seed_map, -1)
            seed = int(score.argmax())
            if score[seed] < 0 or score[seed] < np.float32(lowest):
                break
            if share == 0.9 and score[seed] >= np.float32(seed_threshold):
                unclustered[seed] = False
                continue
            unclustered[seed] = False
            scaled = (embedding - embedding[:, seed, None]) / margins[:, seed, None]
            proposal = foreground & ((scaled**2).sum(0) < 1)
            n, n_fresh = int(proposal.sum()), int((proposal & unclustered).sum())
            if (n if share == 0.5 else n_fresh) > min_object_size and n < np.ceil(n_fresh / share):
                starts.append(seed)
                labels[proposal & (labels == 0) if share == 0.9 else proposal] = len(starts)
            unclustered &= ~proposal
        if share == 0.5:
            n_bright = len(starts)
    sizes = np.bincount(labels, minlength=len(starts) + 1)
    bright = sizes[1 : n_bright + 1][sizes[1 : n_bright + 1] > 0]
    inner = np.zeros(maps.seed_map.shape, bool)
    inner[(slice(1, -1),) * maps.ndim] = True
    for faint in range(n_bright + 1, len(starts) + 1):
        if len(bright) and sizes[faint] < 0.3 * np.median(bright) and inner.ravel()[labels == faint].all():
            labels[labels == faint] = 0
    present = np.unique(labels)
    present = present[present > 0]
    out = np.zeros_like(labels)
    for number, old in enumerate(present, 1):
        out[labels == old] = number
    return out.reshape(maps.seed_map.shape), [starts[old - 1] for old in present]


def perfect_maps(labels: np.ndarray) -> EmbeddingMaps:
    """Every pixel of an object points at its centroid; margins just hold that point."""
    grid = np.indices(labels.shape, dtype=np.float32)
    offsets, margins = np.zeros_like(grid), np.full_like(grid, 2.0)
    seed_map = np.zeros(labels.shape, np.float32)
    for label in np.unique(labels[labels > 0]):
        at = labels == label
        center = grid[:, at].mean(1)
        offsets[:, at] = center[:, None] - grid[:, at]
        seed_map[at] = 0.99 - 0.01 * np.sqrt((offsets[:, at] ** 2).sum(0))
    return EmbeddingMaps(offsets, margins, seed_map)


def random_maps(
    shape: tuple[int, ...], seed: int, reach: float, margin: float, spread: float, levels: int
) -> EmbeddingMaps:
    """Noise, with many equal seed values and many equal embeddings."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(0, reach, (len(shape), *shape)).round(rng.integers(0, 3)).astype(np.float32)
    margins = (margin * rng.lognormal(0, spread, (len(shape), *shape))).astype(np.float32)
    seed_map = (rng.integers(0, levels + 1, shape) / levels).astype(np.float32)
    return EmbeddingMaps(offsets, margins, seed_map)


shapes = st.one_of(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)),
)


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
@pytest.mark.parametrize("ndim", [2, 3])
def test_faint_objects_are_found_where_they_are_large_or_cut_by_the_border(way: str, ndim: int) -> None:
    labels = np.zeros((20, 60)[-2:] if ndim == 2 else (3, 20, 60), np.int32)
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
    if ndim == 3:
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["greedy", "local_maxima"])
def test_no_foreground_and_no_seeds(way: str, ndim: int, kind: str) -> None:
    shape = (4,) * ndim
    for value in (0.0, 0.6):
        maps = EmbeddingMaps(
            np.zeros((ndim, *shape), np.float32), np.ones((ndim, *shape), np.float32), np.full(shape, value, np.float32)
        )
        found = run(way, maps, 0.9, 0.5, 0, kind)
        assert found.labels.shape == shape
        assert found.labels.max() == 0
        assert found.centers.shape == (0, ndim)
        assert found.scores.shape == (0,)


@pytest.mark.parametrize("way", WAYS)
def test_values_that_are_no_numbers_belong_to_nothing(way: str, blobs: Callable[..., Any]) -> None:
    _, labels = blobs(2)
    maps = perfect_maps(labels)
    expected = run(way, maps).labels
    at = tuple(np.argwhere(labels == 1)[5])
    maps.offsets[(0, *at)] = np.nan
    at_inf = tuple(np.argwhere(labels == 2)[7])
    maps.offsets[(1, *at_inf)] = np.inf
    far = tuple(np.argwhere(labels == 3)[3])
    maps.offsets[(1, *far)] = 1e30
    lost = tuple(np.argwhere(labels == 4)[0])
    maps.seed_map[lost] = np.nan
    odd = tuple(np.argwhere(labels == 5)[0])
    maps.margins[(0, *odd)] = np.nan
    found = run(way, maps).labels
    for place in (at, at_inf, far, lost):
        assert found[place] == 0
        expected[place] = 0
    assert_array_equal(found > 0, expected > 0)


def test_maps_that_hold_no_numbers_are_spoken_of(blobs: Callable[..., Any]) -> None:
    _, labels = blobs(2)
    maps = perfect_maps(labels)
    maps.seed_map[:] = np.nan
    with pytest.warns(EmbedSegWarning, match=rf"no number \(NaN\) at {labels.size} pixels"):
        assert not cluster(maps).any()
    maps = perfect_maps(labels)
    maps.offsets[(0, *np.argwhere(labels == 1)[5])] = np.nan
    with pytest.warns(EmbedSegWarning, match=r"no number \(NaN\) at 1 pixel,"):
        assert cluster(maps).max() == labels.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster(perfect_maps(labels))


def test_one_outlier_does_not_change_the_rest(blobs: Callable[..., Any]) -> None:
    _, labels = blobs(3)
    maps = perfect_maps(labels)
    far = tuple(np.argwhere(labels == 1)[3])
    maps.offsets[(2, *far)] = -1e9
    assert_array_equal(run("compiled", maps).labels, run("numpy", maps).labels)


@pytest.mark.parametrize("way", WAYS)
def test_arrays_that_are_read_only_or_not_contiguous(way: str, blobs: Callable[..., Any]) -> None:
    _, labels = blobs(2)
    maps = perfect_maps(labels)
    expected = run(way, maps).labels
    strided = EmbeddingMaps(
        np.asfortranarray(maps.offsets), np.repeat(maps.margins, 2, axis=2)[:, :, ::2], np.asfortranarray(maps.seed_map)
    )
    assert_array_equal(run(way, strided).labels, expected)
    for array in (maps.offsets, maps.margins, maps.seed_map):
        array.flags.writeable = False
    assert_array_equal(run(way, maps).labels, expected)


@pytest.mark.parametrize("way", WAYS)
def test_stops_when_asked(way: str, blobs: Callable[..., Any]) -> None:
    maps = perfect_maps(blobs(2)[1])
    with pytest.raises(Stopped):
        run(way, maps, should_stop=lambda: True)
    assert_array_equal(run(way, maps, should_stop=lambda: False).labels, run(way, maps).labels)


def test_stopping_is_asked_between_parts_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps((80, 80), 0, 1.0, 3.0, 0.0, 1000)
    expected = run("compiled", maps, 0.5)
    monkeypatch.setattr(clustering_compiled, "CHUNK_WORK", 1)
    asked: list[int] = []

    def count() -> bool:
        asked.append(1)
        return False

    found = run("compiled", maps, 0.5, should_stop=count)
    assert len(asked) > 100
    assert_array_equal(found.labels, expected.labels)


def test_a_typo_is_one_sentence(blobs: Callable[..., Any]) -> None:
    maps = perfect_maps(blobs(2)[1])
    with pytest.raises(SettingsError, match="'greedy' or 'local_maxima'"):
        cluster(maps, seeds="local-maxima")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="margin_scale"):
        cluster(maps, margin_scale=0)


def test_numpy_hands_over_when_the_compiled_way_becomes_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps((30, 30), 3, 1.0, 3.0, 0.3, 1000)
    expected = run("numpy", maps, 0.5)
    module, asked = clustering.KERNEL.wait(), []

    def is_ready() -> bool:
        asked.append(1)
        return len(asked) > 3

    monkeypatch.setattr(clustering.KERNEL, "ready", lambda: module if len(asked) > 3 else None)
    monkeypatch.setattr(clustering.KERNEL, "is_ready", is_ready)
    assert_array_equal(cluster_by(maps, PredictionConfig(seed_threshold=0.5)).labels, expected.labels)
    assert len(asked) == 4


def test_little_work_is_done_without_the_compiled_loop(monkeypatch: pytest.MonkeyPatch, blobs) -> None:
    monkeypatch.setattr(clustering, "KERNEL", CompiledModule(clustering.KERNEL.name, clustering.KERNEL.without))
    warm_up(n_pixels=1000)
    assert cluster(perfect_maps(blobs(2)[1])).max() > 0
    assert not clustering.KERNEL.is_compiling()
    assert not clustering.KERNEL.is_ready()
    warm_up()
    assert clustering.KERNEL.wait() is not None


def test_works_without_numba(monkeypatch: pytest.MonkeyPatch, blobs: Callable[..., Any]) -> None:
    maps = perfect_maps(blobs(2)[1])
    expected = run("compiled", maps).labels
    monkeypatch.setattr(clustering, "KERNEL", CompiledModule(clustering.KERNEL.name, clustering.KERNEL.without))
    monkeypatch.setitem(__import__("sys").modules, "embedseg_napari.core.inference.clustering_kernel", None)
    monkeypatch.delattr("embedseg_napari.core.inference.clustering_kernel", raising=False)
    warm_up(wait=True)
    assert not clustering.KERNEL.is_ready()
    assert_array_equal(cluster(maps), expected)
