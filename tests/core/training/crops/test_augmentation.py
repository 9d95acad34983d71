"""Geometry and intensity changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from embedseg_napari.core.config import AugmentationConfig
from embedseg_napari.core.training.crops.augmentation import change_intensities, gaussian_blur, random_matrix

NONE = {"flips": False, "scale": 0, "shift": 0, "gain": 0, "offset": 0, "gamma": 0, "noise": 0}


@pytest.mark.parametrize(("ndim", "count"), [(2, 8), (3, 16)])
def test_flips_and_turns_are_the_whole_group(ndim, count):
    rng = np.random.default_rng(0)
    found = {tuple(random_matrix(AugmentationConfig(scale=0), ndim, rng).round(6).ravel() + 0.0) for _ in range(400)}
    assert len(found) == count
    for matrix in found:
        m = np.array(matrix).reshape(ndim, ndim)
        assert np.allclose(np.abs(m).sum(0), 1)
        assert np.allclose(np.abs(m).sum(1), 1)


def test_rotation_stays_in_the_plane_and_scale_keeps_its_range():
    rng = np.random.default_rng(0)
    config = AugmentationConfig(flips=False, rotation=True, scale=0.5)
    factors = []
    for _ in range(200):
        m = random_matrix(config, 3, rng)
        assert np.allclose(m[0, 1:], 0)
        assert np.allclose(m[1:, 0], 0)
        factors.append(m[0, 0])
    assert min(factors) >= 1 / 1.5 - 1e-9
    assert max(factors) <= 1.5 + 1e-9
    assert max(factors) > 1.3


def test_nothing_asked_changes_nothing():
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(change_intensities(images, AugmentationConfig(**NONE), np.random.default_rng(0)), images)


@pytest.mark.parametrize("shape", [(2, 1, 21, 23), (2, 2, 5, 17, 19)])
def test_blur_is_a_gaussian_in_the_plane(shape):
    images = torch.rand(shape)
    blurred = gaussian_blur(images, [0.0, 1.5])
    torch.testing.assert_close(blurred[0], images[0], atol=1e-5, rtol=0)
    expected = images[1].numpy()
    for axis in (-1, -2):
        expected = gaussian_filter1d(expected, 1.5, axis=axis, mode="nearest", truncate=10 / 3)
    np.testing.assert_allclose(blurred[1].numpy(), expected, atol=2e-3)


def test_gain_and_noise_stay_in_their_ranges():
    images = torch.ones(64, 1, 16, 16)
    changed = change_intensities(images, AugmentationConfig(**{**NONE, "gain": 0.3}), np.random.default_rng(0))
    assert float(changed.min()) >= 0.7
    assert float(changed.max()) <= 1.3
    noisy = change_intensities(images, AugmentationConfig(**{**NONE, "noise": 0.2}), np.random.default_rng(0))
    spread = noisy.flatten(1).std(1)
    assert float(spread.max()) < 0.25
    assert float(spread.min()) >= 0
    assert float(spread.max()) > 0.1
