"""Files to arrays and back."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.tiff import list_images, read_image, write_image, write_labels
from embedseg_napari.core.files.units import normalize_unit

TYPES = ["bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"]
LAYOUTS = {
    "YX": (20, 31),
    "ZYX": (5, 20, 31),
    "CYX": (3, 20, 31),
    "YXC": (20, 31, 3),
    "TYX": (4, 20, 31),
    "ZCYX": (5, 2, 20, 31),
    "CZYX": (2, 5, 20, 31),
    "TZCYX": (3, 5, 2, 20, 31),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axes", LAYOUTS)
def test_round_trip_keeps_every_bit_and_what_it_means(tmp_path, rng, axes, dtype):
    shape = LAYOUTS[axes]
    array = (rng.random(shape) * 120).astype(dtype) if dtype != "bool" else rng.random(shape) > 0.5
    spacing = (0.5, 0.127, 0.128) if "Z" in axes else (0.127, 0.128)
    names = ("dapi", "gfp", "rfp")[: shape[axes.index("C")]] if "C" in axes else ()
    write_image(tmp_path / "a.tif", array, axes, spacing, "um", channel_names=names)
    picture = read_image(tmp_path / "a.tif")
    assert sorted(picture.axes) == sorted(axes)
    assert not picture.axes_guessed
    back = picture.array.transpose([picture.axes.index(letter) for letter in axes])
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert picture.spacing == pytest.approx(spacing, rel=1e-8)
    assert picture.unit == "um"
    assert picture.channel_names == names
    assert picture.path == tmp_path / "a.tif"


@settings(max_examples=30, deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f4", "<u2", "<f8", "<i4"]), hnp.array_shapes(min_dims=2, max_dims=3, min_side=2)
    )
)
def test_any_values_survive(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("any") / "a.tif"
    write_image(path, array, "ZYX"[-array.ndim :])
    back = read_image(path).array
    assert back.tobytes() == array.tobytes()
    assert back.dtype == array.dtype


@pytest.mark.parametrize(
    ("top", "dtype"), [(255, "uint16"), (65535, "uint16"), (65536, "uint32"), (2**31 - 1, "uint32")]
)
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "TZYX"])
def test_labels_keep_their_ids_in_the_smallest_type(tmp_path, axes, top, dtype):
    labels = np.zeros((*LAYOUTS["TZCYX"][: len(axes) - 2], 8, 9), np.int32)
    labels[..., 2:4, 3:5] = 7
    labels[..., 6, 6] = top
    write_labels(tmp_path / "a.tif", labels, axes, (2.0, 0.5, 0.25)[-axes.count("Z") - 2 :], "um")
    picture = read_image(tmp_path / "a.tif")
    assert picture.array.dtype == dtype
    assert picture.axes == axes
    np.testing.assert_array_equal(picture.array.astype(np.int64), labels)


@pytest.mark.parametrize("labels", [np.full((4, 4), -1), np.full((4, 4), 2**32), np.zeros((4, 4), np.float32)])
def test_labels_that_would_change_are_refused(tmp_path, labels):
    with pytest.raises(DataError, match=r"a\.tif"):
        write_labels(tmp_path / "a.tif", labels, "YX")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
@pytest.mark.parametrize("unit", [None, "nm", "mm", "um"])
def test_unit_and_uncalibrated_steps_come_back(tmp_path, dtype, unit):
    write_image(tmp_path / "a.tif", np.ones((3, 4, 5), dtype), "ZYX", (2.18, 1.0, 1.0), unit)
    picture = read_image(tmp_path / "a.tif")
    assert picture.spacing == pytest.approx((2.18, 1.0, 1.0))
    assert picture.unit == unit


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_without_spacing_nothing_is_made_up(tmp_path, dtype):
    write_image(tmp_path / "a.tif", np.ones((4, 5), dtype), "YX")
    picture = read_image(tmp_path / "a.tif")
    assert picture.spacing is None
    assert picture.unit is None


def test_large_arrays_become_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("embedseg_napari.core.files.tiff.BIGTIFF_BYTES", 1000)
    array = np.arange(2000, dtype=np.uint16).reshape(2, 20, 50)
    write_image(tmp_path / "a.tif", array, "ZYX", (3.0, 1.0, 1.0), "um")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
    picture = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array, array)
    assert picture.spacing == (3.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *((text, "um") for text in ("micron", "microns", "um", "µm", "μm", "\\u00B5m", "Micrometer", " um ")),
        *((text, None) for text in (None, "", "pixel", "Pixels")),
        ("nanometer", "nm"),
        ("inch", "inch"),
    ],
)
def test_units(text, unit):
    assert normalize_unit(text) == unit


STORED = {
    "plain": {},
    "compressed": {"compression": "zlib"},
    "tiled": {"compression": "zlib", "tile": (16, 16)},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    "pages": {"metadata": None},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STORED)
def test_a_file_cut_short_is_an_error_never_fewer_planes(tmp_path, rng, kind):
    array = rng.integers(0, 200, (6, 32, 48)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", array, photometric="minisblack", **STORED[kind])
    data = (tmp_path / "whole.tif").read_bytes()
    for length in np.linspace(0, 0.98 * len(data), 25).astype(int):
        (tmp_path / "cut.tif").write_bytes(data[:length])
        try:
            picture = read_image(tmp_path / "cut.tif")
        except DataError as error:
            assert "cut.tif" in str(error)  # noqa: PT017
        else:
            # Only what follows the pixels was lost.
            assert length > array.nbytes
            np.testing.assert_array_equal(picture.array, array)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STORED)
def test_damaged_bytes_raise_nothing_but_a_data_error(tmp_path, rng, kind):
    array = rng.integers(0, 200, (3, 16, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", array, photometric="minisblack", **STORED[kind])
    data = (tmp_path / "whole.tif").read_bytes()
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 500), 4):
            broken[place] = rng.integers(256)
        (tmp_path / "broken.tif").write_bytes(bytes(broken))
        try:
            read_image(tmp_path / "broken.tif")
        except DataError as error:
            assert "broken.tif" in str(error)  # noqa: PT017
            refused += 1
    assert refused


def test_what_is_no_tiff_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "b.tif").write_text("not an image")
    (tmp_path / "c.tif").mkdir()
    (tmp_path / "e.txt").write_text("not an image")
    for name, fault in (
        ("a.png", "cannot be read"),
        ("b.tif", "holds text and no image"),
        ("c.tif", "folder"),
        ("d.tif", "no such"),
        ("e.txt", "not an image that can be read here"),
    ):
        with pytest.raises(DataError, match=fault) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("n", [3, 4])
def test_few_planes_that_are_stored_like_colours_are_labels_where_their_axes_are_named(tmp_path, n):
    """So older versions of tifffile write them where nothing else is said."""
    labels = np.arange(n * 20 * 30, dtype=np.uint8).reshape(n, 20, 30)
    tifffile.imwrite(tmp_path / "movie.tif", labels, photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(tmp_path / "movie.tif") as tif:
        assert tif.series[0].axes == "SYX"
    read = read_image(tmp_path / "movie.tif", "TYX", labels=True)
    np.testing.assert_array_equal(read.array, labels)
    assert read.axes == "TYX"
    with pytest.raises(DataError, match="stored as colours, name its axes, such as TYX"):
        read_image(tmp_path / "movie.tif", labels=True)
    with pytest.raises(DataError, match=r"grey\.$"):
        read_image(tmp_path / "movie.tif", "CYX", labels=True)
    tifffile.imwrite(tmp_path / "picture.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(DataError, match=r"grey\.$"):
        read_image(tmp_path / "picture.tif", "TYX", labels=True)


def test_files_are_listed_in_natural_order(tmp_path):
    for name in ("t10.tif", "t2.TIFF", "t1.tif", ".hidden.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["t1.tif", "t2.TIFF", "t10.tif"]
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "none")


def test_nothing_is_overwritten_unasked(tmp_path):
    write_image(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), "YX")
    with pytest.raises(DataError, match="exists already"):
        write_image(tmp_path / "a.tif", np.ones((4, 5), np.uint8), "YX")
    assert not read_image(tmp_path / "a.tif").array.any()
    write_image(tmp_path / "a.tif", np.ones((4, 5), np.uint8), "YX", overwrite=True)
    assert read_image(tmp_path / "a.tif").array.all()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device"), ValueError])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, interruption):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")

    def half(path):
        path.write_bytes(b"half")
        raise interruption

    with pytest.raises((DataError, KeyboardInterrupt, ValueError)):
        write_atomically(target, half)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="rights of files are those of Unix")
def test_written_files_have_ordinary_rights(tmp_path):
    write_image(tmp_path / "new" / "a.tif", np.zeros((4, 5), np.uint8), "YX")
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "new" / "a.tif").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_folders_made_for_a_file_that_was_not_written_are_taken_away(tmp_path):
    (tmp_path / "old").mkdir()

    def fail(target):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    for folder in ("old", "old/new", "new/deep"):
        with pytest.raises(DataError, match="No space left"):
            write_atomically(tmp_path / folder / "a.tif", fail)
    assert [path.relative_to(tmp_path).name for path in tmp_path.rglob("*")] == ["old"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_image(tmp_path / "file" / "a.tif", np.zeros((4, 5), np.uint8), "YX")


@pytest.mark.parametrize(
    ("array", "axes", "spacing", "fault"),
    [
        (np.zeros((4, 5), np.uint8), "ZYX", None, "do not fit"),
        (np.zeros((4, 5), np.uint8), "YX", (1.0, 1.0, 1.0), "one positive value"),
        (np.zeros((4, 5), np.uint8), "YX", (0.0, 1.0), "one positive value"),
        (np.zeros((4, 5), np.int64), "YX", None, "int64"),
        (np.zeros((4, 5), np.complex64), "YX", None, "complex64"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_file(tmp_path, array, axes, spacing, fault):
    with pytest.raises(DataError, match=fault):
        write_image(tmp_path / "a.tif", array, axes, spacing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axes", "stored", "spacing"),
    [
        ("YX", "YX", (2.0, 1.0)),
        ("XY", "YX", (1.0, 2.0)),
        ("TXY", "TYX", (1.0, 2.0)),
        ("XYZ", "ZYX", (1.0, 2.0, 3.0)),
        ("ZTYX", "ZTYX", (3.0, 2.0, 1.0)),
    ],
)
def test_labels_are_stored_in_the_order_of_their_image(tmp_path, axes, stored, spacing):
    shape = {"T": 3, "Z": 4, "Y": 5, "X": 7}
    labels = np.arange(np.prod([shape[a] for a in axes])).reshape([shape[a] for a in axes])
    known = (3.0, 2.0, 1.0)[-len(spacing) :]
    write_labels(tmp_path / "a.tif", labels, axes, known, "um", keep_order=True)
    plain = read_image(tmp_path / "a.tif")
    assert (plain.axes, plain.spacing) == (stored, spacing)
    np.testing.assert_array_equal(plain.array, labels)
    # Named as the image was, every axis has its own size again.
    assert read_image(tmp_path / "a.tif", axes).spacing == known
