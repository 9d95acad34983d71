from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.inference.tiling import (
    DEFAULT_OVERLAP,
    DEFAULT_TILE,
    HUGE,
    HUGE_TILE,
    Blender,
    best_tile,
    plan_tiles,
    resolve_tile,
)

if TYPE_CHECKING:
    from embedseg_napari.core.config import Architecture

side = st.integers(1, 90)
eights = st.integers(1, 6).map(lambda n: 8 * n)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(side, eights, st.integers(0, 40)), min_size=1, max_size=3))
def test_tiles_cover_every_pixel_with_a_total_weight_of_one(axes: list[tuple[int, int, int]]) -> None:
    shape, tile, overlap = zip(*axes, strict=True)
    sizes, overlaps = resolve_tile(len(axes), tile, overlap)
    tiles = plan_tiles(shape, sizes, overlaps)
    total, blender = np.zeros((1, *shape), np.float32), Blender(tiles, shape)
    for one in tiles:
        assert all(start % 8 == 0 for start in one.start)
        assert one.shape == tiles[0].shape
        assert all(n % 8 == 0 and n <= limit for n, limit in zip(one.shape, sizes, strict=True))
        assert all(part.stop - part.start >= 0 for part in one.within(shape))
        part = blender.add(np.ones((1, *one.shape), np.float32), one)
        # Each pixel is handed out once.
        total[(slice(None), *(slice(a, a + n) for a, n in zip(one.start, part.shape[1:], strict=True)))] += part
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), eights, st.integers(0, 24))
def test_neighbours_overlap_at_least_as_much_as_asked(length: int, tile: int, overlap: int) -> None:
    (size,), (least,) = resolve_tile(1, [tile], [overlap])
    starts = [one.start[0] for one in plan_tiles([length], [size], [least])]
    ends = [one.start[0] + one.shape[0] for one in plan_tiles([length], [size], [least])]
    assert starts[0] == 0
    assert 0 <= ends[-1] - length < 8
    assert all(end - start >= least for end, start in zip(ends, starts[1:], strict=False))


def test_tiles_are_as_few_and_as_small_as_possible() -> None:
    tiles = plan_tiles((2048, 1000), (1280, 1280), (256, 256))
    assert [one.start for one in tiles] == [(0, 0), (896, 0)]
    assert tiles[0].shape == (1152, 1000)


@pytest.mark.parametrize(
    ("shape", "overlap", "tiles"),
    [
        ((2304, 2304), (128, 128), (1, (2304, 2304))),
        ((4096, 4096), (128, 128), (4, (2112, 2112))),
        # What is short along one axis may be long along another.
        ((1000, 5000), (128, 128), (1, (1000, 5000))),
        ((144, 224, 224), (32, 64, 64), (1, (144, 224, 224))),
        ((64, 512, 512), (32, 64, 64), (2, (64, 512, 288))),
    ],
)
def test_the_shape_of_tiles_suits_the_image(shape, overlap, tiles) -> None:
    plan = plan_tiles(shape, best_tile(shape, overlap), overlap)
    assert (len(plan), plan[0].shape) == tiles


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=2, max_size=2), st.sampled_from([0, 64, 128, 256]))
def test_the_best_tiles_are_no_more_work_and_no_larger_than_default_ones(shape: list[int], overlap: int) -> None:
    default, overlaps = resolve_tile(2, None, overlap)
    work, largest = [], []
    for tile in (default, best_tile(shape, overlaps)):
        plan = plan_tiles(shape, tile, overlaps)
        largest.append(math.prod(plan[0].shape))
        work.append(len(plan) * largest[-1])
    is_huge = math.prod(shape) >= HUGE
    assert work[1] <= work[0] * (1.1 if is_huge else 1)
    assert largest[1] <= math.prod(default) * (HUGE_TILE if is_huge else 1)


def test_tiles_of_huge_images_are_smaller_and_those_of_huge_volumes_are_not() -> None:
    for shape, part in (((5800, 5800), HUGE_TILE), ((128, 520, 520), 1)):
        assert math.prod(shape) >= HUGE
        default, overlap = resolve_tile(len(shape), None, None)
        held = math.prod(best_tile(shape, overlap)) / math.prod(default)
        assert part - 0.3 < held <= part
    assert held > HUGE_TILE


def test_a_model_keeps_the_tile_and_the_overlap_that_it_was_saved_with(pass_through) -> None:
    model = pass_through(2, prediction=PredictionConfig(tile=(64, 64), tile_overlap=(24, 24)))
    model.embed(np.zeros((5, 100, 64), np.float32))
    assert model.network.shapes == [(1, 5, 64, 64)] * 2
    model.embed(np.zeros((5, 100, 64), np.float32), tile=96, tile_overlap=0)
    assert model.network.shapes[2:] == [(1, 5, 56, 64)] * 2


def test_small_images_are_one_tile() -> None:
    (one,) = plan_tiles((61, 70), *resolve_tile(2, None, None))
    assert one.start == (0, 0)
    assert one.shape == (64, 72)
    assert all((weights == 1).all() for weights in one.weights)


def test_the_cut_edge_of_a_tile_counts_for_nothing() -> None:
    first, second = plan_tiles((80,), (48,), (16,))
    assert (first.shape, second.start) == ((48,), (32,))
    assert (first.weights[0][-4:] == 0).all()
    assert (second.weights[0][:4] == 0).all()
    assert (np.diff(second.weights[0][:16]) >= 0).all()


@pytest.mark.parametrize("architecture", ["unet", "branched-erfnet"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_defaults(ndim: int, architecture: Architecture) -> None:
    overlap = DEFAULT_OVERLAP[architecture][ndim]
    assert resolve_tile(ndim, None, None, architecture) == (DEFAULT_TILE[ndim], overlap)
    assert resolve_tile(ndim, 64, None, architecture)[1] == tuple(min(o, 32) for o in overlap)
    assert resolve_tile(ndim, 64, 9) == ((64,) * ndim, (16,) * ndim)


@pytest.mark.parametrize("tile", [(64,), (64, 64, 64), (60, 64), (0, 64), (-8, 64), 12])
def test_wrong_tiles_are_a_sentence(tile: object) -> None:
    with pytest.raises(SettingsError, match="tile"):
        resolve_tile(2, tile, None)  # type: ignore[arg-type]


def test_negative_overlap_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="tile_overlap"):
        resolve_tile(2, None, (-1, 8))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("size", [8, 24, 32])
def test_tiled_maps_are_those_of_the_whole(pass_through, rng: np.random.Generator, ndim: int, size: int) -> None:
    raw = rng.normal(0, 0.5, (2 * ndim + 1, *(13, 45, 70)[-ndim:])).astype(np.float32)
    model = pass_through(ndim)
    whole, tiled = model.embed(raw), model.embed(raw, tile=size)
    assert len(model.network.shapes) > 2
    assert len(set(model.network.shapes[1:])) == 1
    np.testing.assert_allclose(tiled.offsets, whole.offsets, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(tiled.margins, whole.margins, rtol=1e-4)
    np.testing.assert_allclose(tiled.seed_map, whole.seed_map, rtol=1e-5)
