"""Images that are no TIFF, and what is left out of a folder."""

from __future__ import annotations

import os
import sys
import types

import numpy as np
import pytest
from PIL import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files import formats
from embedseg_napari.core.files.formats import left_out
from embedseg_napari.core.files.tiff import list_images, read_image


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "gif", "pgm"])
def test_grey_pictures_keep_every_value(tmp_path, rng, ending):
    array = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / f"a.{ending}")
    picture = read_image(tmp_path / f"a.{ending}")
    assert picture.axes == "YX"
    np.testing.assert_array_equal(picture.array, array)
    assert list_images(tmp_path) == [tmp_path / f"a.{ending}"]


def test_sixteen_bits_of_a_png_are_kept_in_grey_and_in_colour(tmp_path, rng):
    import imagecodecs

    for shape, axes in (((20, 30), "YX"), ((20, 30, 3), "YXC")):
        array = rng.integers(0, 65535, shape).astype(np.uint16)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
        picture = read_image(tmp_path / "a.png")
        assert picture.axes == axes
        np.testing.assert_array_equal(picture.array, array)


def test_jpeg_is_close(tmp_path):
    array = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").array.astype(int) - array).max() < 8


def test_numbers_in_a_palette_are_those_of_the_objects(tmp_path):
    labels = np.zeros((20, 30), np.uint8)
    labels[3:6, 4:9], labels[10:15, 20:25] = 1, 2
    picture = Image.fromarray(labels).convert("P")
    picture.putpalette([0, 0, 0, 250, 3, 9, 7, 8, 200])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", labels=True).array, labels)
    assert read_image(tmp_path / "a.png", say=print).array.shape == (20, 30, 3)


def test_colours_are_an_image_but_no_mask_and_opaque_alpha_is_nothing(tmp_path, rng):
    array = rng.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    array[..., 3] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array, array[..., :3])
    with pytest.raises(DataError, match="colour picture"):
        read_image(tmp_path / "a.png", labels=True)


def test_frames_are_what_is_seen_whatever_palettes_they_have(tmp_path, rng):
    path = tmp_path / "movie.gif"
    frames = rng.integers(0, 256, (3, 20, 30)).astype(np.uint8)
    frames[1] //= 64
    images = [Image.fromarray(frame) for frame in frames]
    for first in ("L", "P"):
        images[0].convert(first).save(path, save_all=True, append_images=images[1:])
        np.testing.assert_array_equal(read_image(path).array, frames)
        np.testing.assert_array_equal(read_image(path, labels=True).array, frames)
    picture = Image.fromarray(frames[1])
    picture.putpalette([0, 0, 0, 250, 3, 9, 7, 8, 200, 90, 90, 90])
    picture.save(path, save_all=True, append_images=images[::2])
    seen, said = np.stack([frames[1], frames[0], frames[2]])[..., None].repeat(3, axis=-1), []
    seen[0] = np.asarray(picture.convert("RGB"))
    movie = read_image(path, "TYXC", say=said.append)
    np.testing.assert_array_equal(movie.array, seen)
    assert said == ["its colours are read as red, green and blue."]
    with pytest.raises(DataError, match="is a colour picture; a mask needs one number per pixel"):
        read_image(path, labels=True)


@pytest.mark.parametrize(("name", "package"), [("a.czi", "bioio-czi"), ("a.ND2", "bioio-nd2"), ("a.lif", "bioio-lif")])
def test_a_format_of_a_microscope_names_the_package_that_reads_it(tmp_path, name, package):
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(DataError, match=f"pip install bioio {package}"):
        read_image(tmp_path / name)
    assert list_images(tmp_path) == []
    assert package in left_out(tmp_path)[tmp_path / name]


def test_a_package_that_is_installed_reads_its_format(tmp_path, monkeypatch):
    class BioImage:
        def __init__(self, path):
            self.data = np.arange(2 * 3 * 20 * 30, dtype=np.uint16).reshape(1, 2, 3, 20, 30)
            self.dims = types.SimpleNamespace(order="TCZYX")
            self.scenes, self.current_scene = ("first", "second"), "first"
            self.physical_pixel_sizes = types.SimpleNamespace(Z=1.5, Y=0.2, X=0.2)
            self.channel_names = ["dapi", "gfp"]
            self.time_interval = None

    for name, module in (("bioio", types.ModuleType("bioio")), ("bioio_czi", types.ModuleType("bioio_czi"))):
        module.__spec__ = types.SimpleNamespace(name=name)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["bioio"].BioImage = BioImage
    formats.readable.cache_clear()
    try:
        (tmp_path / "a.czi").write_bytes(b"whatever")
        said = []
        assert list_images(tmp_path) == [tmp_path / "a.czi"]
        picture = read_image(tmp_path / "a.czi", say=said.append)
    finally:
        formats.readable.cache_clear()
    assert (picture.axes, picture.spacing, picture.unit) == ("CZYX", (1.5, 0.2, 0.2), "um")
    assert picture.channel_names == ("dapi", "gfp")
    assert "2 scenes" in said[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_left_out_of_a_folder_is_told_with_its_reason(tmp_path):
    for name in ("a.tif", "notes.txt", "b.mrc", ".hidden.czi"):
        (tmp_path / name).touch()
    (tmp_path / "c.tif").symlink_to(tmp_path / "nowhere.tif")
    os.mkfifo(tmp_path / "d.tif")
    (tmp_path / "e.zarr").mkdir()
    found = left_out(tmp_path)
    assert [path.name for path in found] == ["b.mrc", "c.tif", "d.tif", "e.zarr"]
    assert "nowhere.tif" in found[tmp_path / "c.tif"]
    assert "pipe" in found[tmp_path / "d.tif"]
    for name in ("c.tif", "d.tif"):
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)


def test_a_picture_that_its_file_cannot_hold_is_refused(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match=r"a\.png: "):
        read_image(tmp_path / "a.png")


def test_damaged_pictures_raise_nothing_but_a_data_error(tmp_path, rng):
    Image.fromarray(rng.integers(0, 256, (20, 30)).astype(np.uint8)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    for length in range(0, len(data) - 30, 20):
        (tmp_path / "cut.png").write_bytes(data[:length])
        with pytest.raises(DataError, match=r"cut\.png"):
            read_image(tmp_path / "cut.png")
