from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.percentiles import MANY, percentiles

RANKS = [0, 1, 5, 33.3, 50, 95, 99.8, 99.99, 100]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("n", [1, 7, MANY - 1, MANY, MANY + 1, 3 * MANY + 17])
def test_agrees_with_numpy_to_the_last_bit(rng, kind, n):
    for values in (rng.gamma(2, 30, n), rng.integers(0, 3, n), np.full(n, 200)):
        given = np.clip(values, 0, 255).astype(kind)
        assert np.array_equal(percentiles(given, RANKS), np.percentile(given, RANKS))


def test_the_whole_range_and_parts_of_an_array_count(rng):
    image = rng.integers(0, 1 << 16, (700, 900), dtype=np.uint16)
    image[0, :2] = 0, (1 << 16) - 1
    for part in (image, image[::2], image.T, image[:, ::3]):
        assert np.array_equal(percentiles(part, RANKS), np.percentile(part, RANKS))
