"""Which way objects are clustered, and how it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clustering_steps import WAYS, perfect_maps, random_maps, run
from numpy.testing import assert_array_equal

from embedseg_napari.core.clustering import clustering, compiled
from embedseg_napari.core.clustering.clustering import cluster, cluster_by, warm_up
from embedseg_napari.core.compiled.background_import import CompiledModule
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("way", WAYS)
def test_stops_when_asked(way: str, blobs: Callable[..., Any]) -> None:
    maps = perfect_maps(blobs(2)[1])
    with pytest.raises(Stopped):
        run(way, maps, should_stop=lambda: True)
    assert_array_equal(run(way, maps, should_stop=lambda: False).labels, run(way, maps).labels)


def test_stopping_is_asked_between_parts_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps((80, 80), 0, 1.0, 3.0, 0.0, 1000)
    expected = run("compiled", maps, 0.5)
    monkeypatch.setattr(compiled, "CHUNK_WORK", 1)
    asked: list[int] = []

    def count() -> bool:
        asked.append(1)
        return False

    found = run("compiled", maps, 0.5, should_stop=count)
    assert len(asked) > 100
    assert_array_equal(found.labels, expected.labels)


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
    monkeypatch.setitem(__import__("sys").modules, "embedseg_napari.core.clustering.kernel", None)
    monkeypatch.delattr("embedseg_napari.core.clustering.kernel", raising=False)
    warm_up(wait=True)
    assert not clustering.KERNEL.is_ready()
    assert_array_equal(cluster(maps), expected)
