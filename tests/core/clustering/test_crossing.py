"""Objects that share pixels, in label images that cut none."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.clustering.crossing import crossings, in_groups, painted
from embedseg_napari.core.clustering.whole_objects import WholeObject
from embedseg_napari.core.errors import Stopped


def bar(label, box):
    box = tuple(slice(*side) for side in box)
    return WholeObject(label, box, np.ones([side.stop - side.start for side in box], bool))


def objects_at_random(rng, ndim=2, n=40, size=60):
    found = []
    for label in range(1, n + 1):
        sides = rng.integers(3, 14, ndim)
        start = [int(rng.integers(0, size - side)) for side in sides]
        one = bar(label, [(a, a + int(side)) for a, side in zip(start, sides, strict=True)])
        found.append(WholeObject(label, one.box, rng.random(one.mask.shape) < 0.7))
    return found


@pytest.mark.parametrize("ndim", [2, 3])
def test_no_object_is_cut_in_the_groups(rng, ndim):
    shape = (60,) * ndim
    objects = objects_at_random(rng, ndim, n=40 if ndim == 2 else 80)
    groups = in_groups(objects, shape)
    sizes = [len(np.unique(group)) - 1 for group in groups]
    assert sizes[0] == max(sizes)
    assert len(groups) > 1
    for one in objects:
        home = [group for group in groups if (group == one.label).any()]
        assert len(home) == 1
        own = np.zeros(shape, bool)
        own[one.box] = one.mask
        np.testing.assert_array_equal(home[0] == one.label, own)


def test_two_groups_are_enough_for_bars_that_cross_a_grid():
    across = [bar(n + 1, ((4 * n, 4 * n + 2), (0, 40))) for n in range(6)]
    upright = [bar(n + 7, ((0, 40), (4 * n, 4 * n + 2))) for n in range(4)]
    # In an order that misleads whoever takes the first group that is free.
    mixed = [one for pair in zip(across, upright, strict=False) for one in pair] + across[4:]
    found = crossings(mixed)
    assert found.n_crossing == 10
    assert [len(group) for group in found.groups()] == [6, 4]


def test_objects_that_touch_with_a_few_pixels_do_not_cross_but_stay_whole():
    first, second = bar(1, ((0, 10), (0, 10))), bar(2, ((9, 20), (9, 20)))
    found = crossings([first, second])
    assert found.n_crossing == 0
    assert len(found.groups()) == 2
    apart = crossings([first, bar(2, ((10, 20), (10, 20)))])
    assert (apart.n_crossing, apart.groups()) == (0, [[0, 1]])


def test_nothing_is_no_group():
    found = crossings([])
    assert (found.n_crossing, found.groups(), in_groups([], (4, 4))) == (0, [], [])
    assert not painted([], [], (4, 4)).any()


def test_a_stop_is_heard(rng):
    with pytest.raises(Stopped):
        in_groups(objects_at_random(rng), (60, 60), lambda: True)
