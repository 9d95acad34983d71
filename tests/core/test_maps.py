"""Maps of the foreground alone: the same numbers at the same pixels."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps


@pytest.mark.parametrize("shape", [(20, 30), (6, 20, 30)])
def test_foreground_put_together_from_parts(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    ndim = len(shape)
    offsets, margins = rng.normal(size=(2, ndim, *shape)).astype(np.float32)
    seed_map = rng.random(shape).astype(np.float32)
    seed_map[..., 3, 25] = np.nan
    parts = []
    # The right half first: parts come in any order.
    for half in (slice(16, 30), slice(0, 16)):
        part = EmbeddingMaps(offsets[..., half], margins[..., half], seed_map[..., half])
        parts.append(part.above(0.5, (*(0,) * (ndim - 1), half.start), shape))
    found = ForegroundMaps.joined(parts)
    is_above = seed_map > 0.5
    assert (found.shape, found.ndim) == (shape, ndim)
    np.testing.assert_array_equal(found.pixels, np.flatnonzero(is_above))
    np.testing.assert_array_equal(found.offsets, offsets[:, is_above])
    np.testing.assert_array_equal(found.margins, margins[:, is_above])
    np.testing.assert_array_equal(found.seed_map, seed_map[is_above])
    assert found.count_missing() == np.isnan(seed_map).sum() > 0
