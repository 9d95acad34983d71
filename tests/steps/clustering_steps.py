"""Clustering in a given way, by its definition, and maps to cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st

from embedseg_napari.core.clustering import clustering
from embedseg_napari.core.clustering.clustering import cluster_by, warm_up
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Callable

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
    0.3 of the others' median goes, unless it touches the border; an axis of one pixel has none.
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
    inner[tuple(slice(1, -1) if n > 1 else slice(None) for n in inner.shape)] = True
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
