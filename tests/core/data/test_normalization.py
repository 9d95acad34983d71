"""Intensities on a common scale."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data import normalization
from embedseg_napari.core.data.normalization import apply_normalization, normalization_parameters, normalize

METHODS = ["percentile", "mean-std", "dtype-range"]
TYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 40, 50), (1, 8, 20, 30)])
def test_percentiles_become_0_and_1_in_each_channel(rng, shape, dtype):
    image = (rng.random(shape) * 100 * np.arange(1, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))).astype(dtype)
    out = normalize(image, NormalizationConfig(low=5, high=95))
    assert out.dtype == np.float32
    assert out.shape == shape
    for channel in out:
        np.testing.assert_allclose(np.percentile(channel, [5, 95]), [0, 1], atol=1e-5)
        # Not clipped.
        assert channel.min() < 0
        assert channel.max() > 1


@pytest.mark.parametrize("dtype", TYPES)
def test_mean_and_deviation(rng, dtype):
    out = normalize((rng.random((2, 40, 50)) * 100).astype(dtype), NormalizationConfig(method="mean-std"))
    np.testing.assert_allclose(out.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("int16", 32767), ("float32", 1)])
def test_division_by_the_largest_value_of_the_type(dtype, top):
    image = np.array([[[0, 1], [1, 0]]], dtype)
    np.testing.assert_allclose(normalize(image, NormalizationConfig(method="dtype-range")), image / top, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_constant_channel_becomes_finite(method, dtype):
    out = normalize(np.full((1, 9, 9), 7, dtype), NormalizationConfig(method=method))
    assert np.isfinite(out).all()
    if method != "dtype-range":
        assert not out.any()


@pytest.mark.parametrize("method", METHODS)
def test_black_and_white_images(method):
    image = np.zeros((1, 8, 8), bool)
    image[0, :4] = True
    out = normalize(image, NormalizationConfig(method=method))
    assert (out[image] > out[~image].max()).all()
    np.testing.assert_array_equal(out, normalize(image.astype(np.float32), NormalizationConfig(method=method)))


def test_a_few_bright_pixels_on_flat_ground_keep_their_range():
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 0, :3] = 200
    out = normalize(image, NormalizationConfig())
    assert out.min() == 0
    assert out.max() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_spoil_neither_measure_nor_result(rng, method, bad):
    image = rng.random((1, 30, 30)).astype(np.float32)
    expected = normalize(image, NormalizationConfig(method=method))
    image[0, 3, 4] = bad
    out = normalize(image, NormalizationConfig(method=method))
    assert np.isfinite(out).all()
    assert out[0, 3, 4] == 0
    keep = np.ones((30, 30), bool)
    keep[3, 4] = False
    np.testing.assert_allclose(out[0][keep], expected[0][keep], atol=0.05)
    image[:] = bad
    assert not normalize(image, NormalizationConfig(method=method)).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-60, 1e-30, 1e30, 1e60])
@pytest.mark.parametrize("method", ["percentile", "mean-std"])
def test_scale_is_never_zero_nor_infinite(rng, method, size):
    shift, scale = normalization_parameters(rng.random((1, 20, 20)) * size, NormalizationConfig(method=method))
    assert (scale > 0).all()
    assert np.isfinite(scale).all()
    assert np.isfinite(shift).all()


def test_wide_integers_keep_their_differences():
    image = (1 << 28) + np.arange(100, dtype=np.int32).reshape(1, 10, 10)
    out = apply_normalization(image, np.array([1 << 28], np.float32), np.array([100], np.float32))
    np.testing.assert_allclose(out.ravel(), np.arange(100) / 100, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 400, 500), (1, 20, 100, 100)])
def test_large_images_are_measured_on_a_regular_sample(rng, monkeypatch, shape):
    image = rng.random(shape).astype(np.float32)
    exact = normalization_parameters(image, NormalizationConfig())
    monkeypatch.setattr(normalization, "SAMPLE", 10_000)
    sampled = normalization_parameters(image, NormalizationConfig())
    assert not np.array_equal(sampled[0], exact[0])
    np.testing.assert_allclose(sampled, exact, atol=0.01)


def test_the_image_is_left_alone(rng):
    image = rng.random((1, 9, 9)).astype(np.float32)
    before = image.copy()
    normalize(image, NormalizationConfig())
    np.testing.assert_array_equal(image, before)
