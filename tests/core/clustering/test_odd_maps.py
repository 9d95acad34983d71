"""Clustering of maps that are empty, hold no numbers or lie in memory otherwise."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from clustering_steps import WAYS, perfect_maps, run
from numpy.testing import assert_array_equal

from embedseg_napari.core.clustering.clustering import cluster
from embedseg_napari.core.errors import EmbedSegWarning, SettingsError
from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Callable


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
@pytest.mark.parametrize("kind", ["greedy", "local_maxima"])
def test_values_that_are_no_numbers_belong_to_nothing(way: str, kind: str, blobs: Callable[..., Any]) -> None:
    _, labels = blobs(2)
    maps = perfect_maps(labels)
    expected = run(way, maps, seeds=kind).labels
    assert expected.max() == labels.max()
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
    found = run(way, maps, seeds=kind).labels
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


def test_a_typo_is_one_sentence(blobs: Callable[..., Any]) -> None:
    maps = perfect_maps(blobs(2)[1])
    with pytest.raises(SettingsError, match="'greedy' or 'local_maxima'"):
        cluster(maps, seeds="local-maxima")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="margin_scale"):
        cluster(maps, margin_scale=0)
