"""Pixels that show nothing of the sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from embedseg_napari.core.data import spoiled_pixels
from embedseg_napari.core.data.spoiled_pixels import Mended, Spoiled, find_padding, mend
from embedseg_napari.core.data.synthetic import nuclei

TYPES = ["uint8", "uint16", "int16", "float32", "float64"]


def picture(shape: tuple[int, ...] = (1, 96, 120), dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """Blurred spots on a noisy ground."""
    rng = np.random.default_rng(seed)
    spots = (rng.random(shape[1:]) > 0.995).astype(float)
    blurred = ndimage.gaussian_filter(spots, [1, 3, 3][-len(shape) + 1 :])
    image = 20 + 60 * blurred / max(blurred.max(), 1e-9) + rng.normal(0, 1.5, shape[1:])
    return np.broadcast_to(image, shape).clip(1).astype(dtype)


def mended(image: np.ndarray) -> Mended:
    return mend(image, 1, 99.8)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1, 96, 120), (2, 96, 120), (1, 20, 64, 80), (1, 9, 7), (1, 1, 1)])
def test_a_good_image_stays_the_same_array(shape: tuple[int, ...], dtype: str) -> None:
    image = picture(shape, dtype)
    found = mended(image)
    assert found.image is image
    assert found.outside is None
    assert str(found.found) == ""


@pytest.mark.parametrize("ndim", [2, 3])
def test_generated_nuclei_are_left_alone(ndim: int) -> None:
    image = nuclei((128, 128) if ndim == 2 else (24, 64, 64), seed=3).image
    assert mended(image.reshape(1, *image.shape[-ndim:])).found == Spoiled()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 96, 120), (1, 20, 64, 80)])
@pytest.mark.parametrize("n", [1, 30, 100])
def test_hot_pixels_are_filled_in(shape: tuple[int, ...], dtype: str, n: int) -> None:
    clean, rng = picture(shape, dtype), np.random.default_rng(1)
    image = clean.copy()
    image.reshape(-1)[rng.choice(image.size, n, replace=False)] = 30_000
    out = mended(image)
    assert out.found.n_far == n
    assert np.abs(out.image.astype(float) - clean).max() < 40
    assert np.abs(image.astype(float) - clean).max() > 20_000, "the given image is left alone"


def test_cosmic_rays_are_filled_in_even_where_they_decide_the_percentile() -> None:
    clean = picture((1, 128, 128))
    image = clean.copy()
    rng = np.random.default_rng(2)
    for y, x in rng.integers(2, 120, (25, 2)):
        for step in range(6):
            image[0, y + step, x + step] = rng.integers(3000, 60_000)
    out = mended(image)
    assert out.found.n_far > 120
    assert out.image.max() < 300


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("axis", [1, 2])
def test_dead_and_hot_lines_are_filled_in(value: int, width: int, axis: int) -> None:
    clean = picture() + 500
    image = clean.copy()
    line: tuple[int | slice, ...] = (0, *[slice(None)] * (axis - 1), slice(40, 40 + width))
    image[line] = value
    out = mended(image)
    assert out.found != Spoiled()
    assert np.abs(out.image.astype(int) - clean).max() < 50


@pytest.mark.parametrize("value", [0, 255])
def test_dead_columns_are_told_on_a_dark_background(value: int) -> None:
    """As dark as the background, they show only where they cut through an object."""
    image = np.random.default_rng(0).integers(0, 4, (1, 96, 120)).astype(np.uint8)
    image[0, 20:40, 30:70] = image[0, 60:80, 50:100] = 120
    good = image.copy()
    image[..., 4::9] = value
    out = mended(image)
    at = np.arange(4, 120, 9)
    through = [column for column in at if value or 33 < column < 97]
    assert len(through) <= out.found.n_lines <= len(at)
    differs = np.abs(out.image[..., through].astype(float) - good[..., through]) > 4
    # Where objects end, the pixels around do not say on which side a column lies.
    assert differs.mean() < 0.1
    assert mended(good).image is good


def test_a_plane_that_was_dropped_is_filled_in() -> None:
    clean = picture((1, 24, 48, 48)) + 500
    image = clean.copy()
    image[0, 11] = 0
    out = mended(image)
    assert out.found.n_lines == 1
    assert np.abs(out.image[0, 11].astype(int) - clean[0, 11]).max() < 60


def test_lines_of_the_sample_stay() -> None:
    image = picture((1, 128, 128))
    image[0, 10:70, 60:62] += 70
    image[0, 100:103, 5:120] += 70
    assert mended(image).found.n_lines == 0


def test_light_at_a_corner_shows_nothing() -> None:
    image = picture((1, 128, 128))
    image[0, :16, :16] = 3000
    out = mended(image)
    assert out.outside is not None
    assert out.outside[0, :16, :16].all()
    assert out.outside.sum() == 256
    assert out.found.n_glare == 256


def test_a_few_bright_objects_on_noise_are_no_glare() -> None:
    image = np.random.default_rng(0).normal(100, 5, (1, 128, 128)).astype(np.float32)
    image[0, 30:42, 30:42] = 3000
    assert mended(image).image is image


def test_bright_objects_with_edges_are_no_glare() -> None:
    image = picture((1, 256, 256)).astype(float)
    y, x = np.mgrid[:256, :256]
    image[0] += 3000 / (1 + np.exp(np.hypot(y - 128, x - 128) - 18))
    assert mended(image).found.n_glare == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_filled_in(bad: float) -> None:
    clean = picture(dtype="float32")
    image = clean.copy()
    image[0, 40:42, 50:52] = bad
    out = mended(image)
    assert out.found == Spoiled(n_not_finite=4)
    assert np.abs(out.image - clean).max() < 40
    image[:] = bad
    out = mended(image)
    assert np.isfinite(out.image).all()
    assert out.outside is not None
    assert out.outside.all()


def test_a_large_part_without_numbers_is_outside() -> None:
    image = picture(dtype="float32")
    image[0, :, :40] = np.nan
    out = mended(image)
    assert out.outside is not None
    np.testing.assert_array_equal(out.outside[0], np.arange(120)[None] < np.full((96, 1), 40))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("padding", [0, 30])
def test_what_one_channel_lacks_is_left_to_the_others(first: bool, padding: int) -> None:
    one, other = picture(dtype="float32"), picture(dtype="float32", seed=1)
    other[0, :, :40] = np.nan
    image = np.concatenate([other, one] if first else [one, other])
    image = np.pad(image, [(0, 0), (0, 0), (0, padding)])
    out = mended(image)
    assert out.outside is not None
    here, there = (1, 0) if first else (0, 1)
    assert out.outside[here].sum() == 96 * padding
    assert out.outside[there].sum() == 96 * (padding + 40)
    np.testing.assert_array_equal(out.image[here], image[here])


@pytest.mark.parametrize("shape", [(1, 96, 120), (3, 96, 120), (1, 16, 64, 80)])
def test_zeros_around_an_image_are_padding(shape: tuple[int, ...]) -> None:
    inner = picture(shape) + 100
    width = [(0, 0), *[(2, 2)] * (len(shape) - 3), (30, 10), (0, 50)]
    padding = find_padding(np.pad(inner, width))
    assert padding is not None
    np.testing.assert_array_equal(padding, np.pad(np.zeros(shape[1:], bool), width[1:], constant_values=True))


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 65535), (np.float32, -9999.0), (np.uint8, 7)])
def test_any_value_around_an_image_is_padding(dtype, value) -> None:
    inner = np.random.default_rng(0).integers(10, 200, (1, 60, 70)).astype(dtype)
    for width in (((0, 0), (12, 12), (12, 12)), ((0, 0), (15, 0), (0, 0))):
        padding = find_padding(np.pad(inner, width, constant_values=value))
        assert padding is not None
        np.testing.assert_array_equal(padding, np.pad(np.zeros((60, 70), bool), width[1:], constant_values=True))


def test_large_images_are_counted_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = np.random.default_rng(1).integers(1, 60, (1, 64, 80)).astype(np.uint8)
    # One at the side of the picture, and one within it, which is none of the padding.
    inner[0, 0, 5] = inner[0, 30, 40] = 0
    expected = np.pad(np.zeros((64, 80), bool), ((10, 3), (0, 20)), constant_values=True)
    expected[10, 5] = True
    monkeypatch.setattr(spoiled_pixels, "SLAB", 500)
    padding = find_padding(np.pad(inner, ((0, 0), (10, 3), (0, 20))))
    assert padding is not None
    np.testing.assert_array_equal(padding, expected)


def test_an_even_background_is_no_padding() -> None:
    image = np.full((1, 64, 64), 30, np.uint8)
    image[0, 20:40, 16:50] = np.random.default_rng(0).integers(60, 200, (20, 34))
    image[0, 45:60, 20:30] = 99
    assert find_padding(image) is None


def test_a_turned_image_has_padding_in_its_corners() -> None:
    turned = ndimage.rotate(picture((1, 200, 200)).astype(float)[0] + 100, 30, order=0)[None]
    padding = find_padding(turned)
    assert padding is not None
    np.testing.assert_array_equal(padding, turned[0] == 0)


def test_a_background_that_was_set_to_zero_is_no_padding() -> None:
    for seed in range(5):
        image = picture((1, 200, 200), seed=seed)
        assert find_padding(np.where(image > 35, image, 0)) is None
    single = np.zeros((1, 100, 100), np.uint8)
    y, x = np.mgrid[:100, :100]
    single[0][np.hypot(y - 50, x - 50) < 15] = 90
    assert find_padding(single) is None
    assert find_padding(np.zeros((1, 30, 30), np.uint8)) is None


def test_words() -> None:
    assert str(Spoiled(2, 1) + Spoiled(0, 0, 0, 1)) == (
        "Taken as missing, and filled in from around: 2 values that are no finite numbers, 1 hot or dead pixel, 1 dead "
        "or hot line."
    )
    assert "5 pixels of one value around the image taken as padding" in str(Spoiled(n_padding=5))
