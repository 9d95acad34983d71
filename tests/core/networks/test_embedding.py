from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.networks.embedding import decode


@pytest.mark.parametrize("ndim", [2, 3])
def test_follows_the_formula(rng: np.random.Generator, ndim: int) -> None:
    spacing = (0.004, 0.001, 0.002)[-ndim:]
    raw = rng.normal(0, 0.5, (2 * ndim + 1, *(4, 5, 6)[-ndim:]))
    offsets, margins, seed_map = (part.numpy() for part in decode(torch.from_numpy(raw.astype(np.float32)), spacing))
    step = np.reshape(spacing, (-1, *[1] * ndim))
    np.testing.assert_allclose(offsets, np.tanh(raw[:ndim]) / step, rtol=1e-5)
    np.testing.assert_allclose(margins, np.sqrt(np.log(2) / np.exp(10 * raw[ndim:-1])) / step, rtol=1e-5)
    np.testing.assert_allclose(seed_map, 1 / (1 + np.exp(-raw[-1])), rtol=1e-5)
    # A point one margin away from the centre lies where phi is one half.
    phi = np.exp(-((margins[0] * spacing[0]) ** 2) * np.exp(10 * raw[ndim]))
    np.testing.assert_allclose(phi, 0.5, rtol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("value", [-1e4, -30.0, 30.0, 1e4])
def test_margins_of_an_untrained_network_stay_usable(ndim: int, value: float) -> None:
    raw = torch.full((2 * ndim + 1, *(3,) * ndim), value)
    offsets, margins, _ = decode(raw, (1 / 1023,) * ndim)
    assert torch.isfinite(margins).all()
    assert (margins > 0).all()
    assert torch.isfinite(offsets).all()


def test_batches_and_reduced_precision_are_decoded_in_float32() -> None:
    raw = torch.randn(3, 5, 8, 8)
    offsets, margins, seed_map = decode(raw.bfloat16(), (1 / 1023, 1 / 1023))
    assert offsets.shape == margins.shape == (3, 2, 8, 8)
    assert seed_map.shape == (3, 8, 8)
    assert offsets.dtype == margins.dtype == seed_map.dtype == torch.float32
    one = decode(raw.bfloat16()[1], (1 / 1023, 1 / 1023))
    torch.testing.assert_close(offsets[1], one[0], rtol=0, atol=0)


def test_maps_of_different_sizes_are_refused() -> None:
    field = np.zeros((2, 4, 5), np.float32)
    with pytest.raises(ValueError, match="seed map"):
        EmbeddingMaps(field, field, np.zeros((5, 4), np.float32))
    assert EmbeddingMaps(field, field, field[0]).ndim == 2
