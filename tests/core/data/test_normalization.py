"""Intensities on a common scale."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data import spoiled_pixels
from embedseg_napari.core.data.normalization import Scaling, measure_scaling, normalize

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
        # Not clipped at 0 and 1.
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
@pytest.mark.parametrize("clip", [3.0, None])
def test_values_that_are_no_numbers_spoil_neither_measure_nor_result(rng, method, bad, clip):
    config = NormalizationConfig(method=method, clip=clip)
    image = rng.random((1, 30, 30)).astype(np.float32)
    expected = normalize(image, config)
    image[0, 3, 4] = bad
    out = normalize(image, config)
    assert np.isfinite(out).all()
    keep = np.ones((30, 30), bool)
    keep[3, 4] = False
    np.testing.assert_allclose(out[0][keep], expected[0][keep], atol=0.05)
    image[:] = bad
    assert not normalize(image, config).any()


@pytest.mark.parametrize("method", ["percentile", "mean-std"])
@pytest.mark.parametrize("shape", [(1, 64, 80), (2, 12, 40, 40)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_one_hot_pixel_changes_nothing_but_itself(rng, method, shape, dtype):
    config = NormalizationConfig(method=method)
    image = (100 + 50 * rng.random(shape)).astype(dtype)
    expected = normalize(image, config)
    at = (0, *(n // 2 for n in shape[1:]))
    image[at] = 60_000
    out = normalize(image, config)
    np.testing.assert_allclose(out, expected, atol=2.5 if method == "mean-std" else 1.01)
    out[at] = expected[at]
    np.testing.assert_allclose(out, expected, atol=0.02)
    assert normalize(image, NormalizationConfig(method=method, clip=None)).max() > 50


def test_values_are_kept_within_the_limit():
    image = np.zeros((1, 60, 60), np.float32)
    image[0, ::2] = 1
    y, x = np.mgrid[:60, :60]
    # A tent: no single pixel stands out, and there is no gap.
    image[0] += np.maximum(0, 4 - np.hypot(y - 30, x - 30)) * 10
    assert normalize(image, NormalizationConfig(low=10, high=80)).max() == 3
    assert normalize(image, NormalizationConfig(low=10, high=80, clip=10)).max() == 10
    assert normalize(image, NormalizationConfig(low=10, high=80, clip=None)).max() > 30
    top = normalize(image, NormalizationConfig(low=10, high=80, method="mean-std"))
    assert top.max() < normalize(image, NormalizationConfig(method="mean-std", clip=None)).max()


def test_padding_is_left_out_and_dark(rng):
    inner = (100 + 50 * rng.random((1, 40, 50))).astype(np.uint16)
    out = normalize(np.pad(inner, [(0, 0), (20, 20), (0, 30)]), NormalizationConfig())
    np.testing.assert_allclose(out[:, 20:60, :50], normalize(inner, NormalizationConfig()))
    assert not out[:, :20].any()
    assert not out[:, :, 50:].any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lost", [slice(0, 20), slice(None)])
def test_what_one_channel_lacks_changes_no_other(rng, method, lost):
    config = NormalizationConfig(method=method)
    one, other = rng.random((2, 40, 50)).astype(np.float32)
    other[:, lost] = np.nan
    alone = [normalize(channel[None], config)[0] for channel in (one, other)]
    np.testing.assert_array_equal(normalize(np.stack([one, other]), config), alone)
    np.testing.assert_array_equal(normalize(np.stack([other, one]), config), alone[::-1])
    assert not alone[1][:, lost].any()


def test_the_value_of_full_range_can_be_given():
    image = np.array([[[0, 2000], [4095, 1000]]], np.uint16)
    config = NormalizationConfig(method="dtype-range", full_range=4095)
    np.testing.assert_allclose(normalize(image, config), image / 4095, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-60, 1e-30, 1e30, 1e60])
@pytest.mark.parametrize("method", ["percentile", "mean-std"])
def test_scale_is_never_zero_nor_infinite(rng, method, size):
    found = measure_scaling(rng.random((1, 20, 20)) * size, NormalizationConfig(method=method))
    assert (found.scale > 0).all()
    assert np.isfinite(found.scale).all()
    assert np.isfinite(found.shift).all()
    normalize(rng.random((1, 20, 20)) * size, NormalizationConfig(method=method))


def test_wide_integers_keep_their_differences():
    image = (1 << 28) + np.arange(100, dtype=np.int32).reshape(1, 10, 10)
    shift, scale, limit = (np.array([value], np.float32) for value in (1 << 28, 100, np.inf))
    out = Scaling(shift, scale, -limit, limit).apply(image)
    np.testing.assert_allclose(out.ravel(), np.arange(100) / 100, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 400, 500), (1, 20, 100, 100)])
def test_large_images_are_measured_on_a_regular_sample(rng, monkeypatch, shape):
    image = rng.random(shape).astype(np.float32)
    exact = measure_scaling(image, NormalizationConfig())
    monkeypatch.setattr(spoiled_pixels, "SAMPLE", 10_000)
    sampled = measure_scaling(image, NormalizationConfig())
    assert not np.array_equal(sampled.shift, exact.shift)
    np.testing.assert_allclose(sampled.shift, exact.shift, atol=0.01)
    np.testing.assert_allclose(sampled.scale, exact.scale, atol=0.01)


def test_the_image_is_left_alone(rng):
    image = rng.random((1, 9, 9)).astype(np.float32)
    before = image.copy()
    normalize(image, NormalizationConfig())
    np.testing.assert_array_equal(image, before)
