"""What the numbers in a file mean, whatever it says about how to paint them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import read_image


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "float32"])
def test_where_white_is_zero_the_image_is_turned_over(tmp_path, rng, dtype):
    array = rng.random((20, 30)) > 0.8 if dtype == "bool" else (rng.random((20, 30)) * 200).astype(dtype)
    turned = ~array if dtype == "bool" else (255 if dtype == "uint8" else 65535) - array if "u" in dtype else -array
    tifffile.imwrite(tmp_path / "a.tif", turned, photometric="miniswhite")
    said = []
    found = read_image(tmp_path / "a.tif", say=said.append).array
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(float) - found.min(), array.astype(float) - array.min(), atol=1e-4)
    assert "white is 0" in said[0]


def test_masks_keep_their_numbers_unless_the_background_would_be_white(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[3:6, 4:9], labels[10:15, 20:25] = 1, 2
    for stored in (labels, 65535 - labels):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif", labels=True, say=print).array, labels)


def test_what_imagej_inverts_on_the_screen_keeps_its_values(tmp_path, rng):
    array = rng.integers(0, 255, (20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite", description=b"ImageJ=1.54f\n", metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, array)


def palette(red, green, blue):
    return np.stack([red, green, blue]).astype(np.uint16) * 257


RAMP = np.arange(256)
MIXED = np.random.default_rng(0).permutation(256)


@pytest.mark.parametrize(
    ("colours", "axes", "expected"),
    [
        (palette(RAMP, RAMP, RAMP), "YX", lambda a: a),
        (palette(255 - RAMP, 255 - RAMP, 255 - RAMP), "YX", lambda a: 255 - a),
        (palette(MIXED, MIXED, MIXED), "YX", lambda a: MIXED[a]),
        (palette(0 * RAMP, RAMP, 0 * RAMP), "YX", lambda a: a),
        (palette(MIXED, RAMP, 255 - MIXED), "YXC", lambda a: np.stack([MIXED[a], a, 255 - MIXED[a]], -1)),
    ],
)
def test_a_palette_is_grey_a_scale_of_brightness_or_colours(tmp_path, rng, colours, axes, expected):
    array = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    array[0, 0] = 255
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="palette", colormap=colours)
    picture = read_image(tmp_path / "a.tif", say=print)
    assert picture.axes == axes
    np.testing.assert_array_equal(picture.array, expected(array))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", labels=True).array, array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("lazily", [False, True])
def test_alpha_that_hides_nothing_is_left_out(tmp_path, rng, dtype, planes, lazily):
    opaque = np.iinfo(dtype).max if dtype != "float32" else 1
    array = rng.integers(0, 200, (20, 30, 4)).astype(dtype)
    for alpha in (opaque, array[..., 2].copy()):
        array[..., 3] = alpha
        stored = array if planes == "contig" else array.transpose(2, 0, 1)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes)
        kept = array[..., : 3 if np.ndim(alpha) == 0 else 4]
        picture = read_image(tmp_path / "a.tif", lazily=lazily)
        assert (picture.axes, picture.is_colour) == (("YXC", True) if planes == "contig" else ("CYX", False))
        np.testing.assert_array_equal(picture.array, kept if planes == "contig" else kept.transpose(2, 0, 1))


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("axes", ["TYXS", "ZYXS"])
@pytest.mark.parametrize("last", [255, 7])
def test_alpha_of_frames_is_left_out_where_it_hides_nothing_in_any(tmp_path, rng, axes, lazily, last):
    array = rng.integers(0, 200, (3, 20, 30, 4)).astype(np.uint8)
    array[..., 3] = 255
    array[2, 3, 4, 3] = last
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", metadata={"axes": axes})
    picture = read_image(tmp_path / "a.tif", lazily=lazily)
    np.testing.assert_array_equal(np.asarray(picture.array), array[..., : 3 if last == 255 else 4])


def test_a_fourth_ink_is_no_alpha(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 30, 4), 255, np.uint8), photometric="separated")
    assert read_image(tmp_path / "a.tif").array.shape == (20, 30, 4)


@pytest.mark.parametrize(("painted", "samples"), [("rgb", 3), ("rgb", 4), ("separated", 4)])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_mask_in_colours_is_refused(tmp_path, rng, painted, samples, planes):
    array = rng.integers(0, 2, (20, 30, samples)).astype(np.uint8)
    stored = array if planes == "contig" else array.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=painted, planarconfig=planes)
    assert read_image(tmp_path / "a.tif").array.shape == stored.shape
    with pytest.raises(DataError, match="colour picture"):
        read_image(tmp_path / "a.tif", labels=True)
