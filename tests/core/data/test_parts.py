"""Parts of images on the disk that stand for the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from embedseg_napari.core.data import parts as module
from embedseg_napari.core.data.parts import parts_with

SIDES = {2: (16, 16), 3: (6, 10, 10)}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "SIDES", SIDES)


def holds(part, center):
    return all(a <= round(c) < b for a, c, b in zip(part.start, center, part.stop, strict=True))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("n_objects", [1, 2, 30])
def test_every_part_holds_an_object_and_none_overlap(ndim, n_objects):
    rng = np.random.default_rng(n_objects)
    for n in range(5, 50):
        shape = (n, *(40,) * (ndim - 1))
        centers = rng.uniform(0, np.array(shape) - 1, (n_objects, ndim))
        parts = parts_with(centers, shape)
        assert 1 <= len(parts) <= module.MOST
        for part in parts:
            assert any(holds(part, center) for center in centers)
            sides = tuple(b - a for a, b in zip(part.start, part.stop, strict=True))
            assert sides == tuple(map(min, SIDES[ndim], shape))
            assert min(part.start) >= 0
            assert all(b <= side for b, side in zip(part.stop, shape, strict=True))
        for one, other in itertools.combinations(parts, 2):
            pairs = zip(one.start, one.stop, other.start, other.stop, strict=True)
            assert any(b <= c or d <= a for a, b, c, d in pairs)


@pytest.mark.parametrize("n", [16, 17, 31, 32, 40, 48, 80])
def test_an_object_anywhere_is_seen(n):
    for at in range(n):
        (part,) = parts_with(np.array([[at, 3.0]]), (n, 16))
        assert part.start[0] <= at < part.stop[0]


@pytest.mark.parametrize("n", [9, 16, 31, 33, 64, 81])
def test_without_objects_the_middle_is_taken(n):
    (part,) = parts_with(np.zeros((0, 2)), (n, 20))
    side = min(n, 16)
    assert part == ((n // 2 - side // 2, 2), (n // 2 - side // 2 + side, 18))


def test_of_many_the_fullest_of_neighbours_are_taken():
    row = np.arange(8, 16 * 16, 16.0)
    centers = np.stack([np.full(24, 8.0), np.sort(np.concatenate([row, row[::2]]))], 1)
    parts = parts_with(centers, (16, 16 * 16))
    assert [part.start[1] for part in parts] == list(range(0, 16 * 16, 32))
