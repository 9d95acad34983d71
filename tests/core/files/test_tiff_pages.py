"""What a TIFF says and what it holds: one, several, or fewer images than it promises."""

from __future__ import annotations

import subprocess
import sys
import uuid
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.runs import never

PIXELS = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">{images}</OME>'
)
IMAGE = (
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{type}" SizeX="{x}" SizeY="{y}" '
    'SizeZ="{z}" SizeC="{c}" SizeT="{t}" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image>'
)


def xml(x=48, y=32, z=1, c=1, t=1, data="<TiffData/>", kind="uint16", own=""):
    return PIXELS.format(uuid=own, images=IMAGE.format(type=kind, x=x, y=y, z=z, c=c, t=t, data=data)).encode()


@pytest.fixture
def planes(rng):
    return rng.integers(0, 5000, (6, 32, 48)).astype(np.uint16)


def pages(path, planes, description=None):
    with tifffile.TiffWriter(path) as tif:
        for plane in planes:
            tif.write(plane, description=description, metadata=None, contiguous=False, photometric="minisblack")
            description = None


@pytest.mark.parametrize(
    ("description", "promised"),
    [
        (xml(c=4), 4),
        (xml(z=7, t=2), 14),
        (xml(data='<TiffData IFD="0" PlaneCount="9"/>'), 9),
        (b"ImageJ=1.54f\nimages=12\nslices=12\n", 12),
        (b"ImageJ=1.54f\nimages=8\nframes=4\nslices=2\nhyperstack=true\n", 8),
        (b'{"shape": [5, 32, 48]}', 5),
    ],
)
def test_fewer_planes_than_promised_are_refused_or_read_as_what_they_are(tmp_path, planes, description, promised):
    pages(tmp_path / "a.tif", planes[:1], description)
    with pytest.raises(DataError, match=rf"a\.tif: .*promises {promised} planes, but the file holds 1.*--axes"):
        read_image(tmp_path / "a.tif")
    said = []
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", "YX", say=said.append).array, planes[0])
    assert "promises" in said[0]


def test_planes_without_a_place_and_planes_without_a_name_are_told(tmp_path, planes):
    pages(tmp_path / "a.tif", planes, xml(z=6, data='<TiffData IFD="0" PlaneCount="1"/><TiffData FirstZ="5" IFD="5"/>'))
    with pytest.raises(DataError, match="promises 6 planes, but says of 2 only where they are"):
        read_image(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", "ZYX", say=print).array.shape == planes.shape
    pages(tmp_path / "a.tif", planes, xml(z=4))
    said = []
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", say=said.append).array, planes[:4])
    assert "holds 6 planes, but its OME metadata names 4" in said[0]
    assert f"{open_image(tmp_path / 'a.tif').left_out}." == said[0]


def test_axes_of_length_one_are_left_out_unless_they_are_counted(tmp_path, planes):
    tifffile.imwrite(tmp_path / "a.tif", planes[None, :, None], photometric="minisblack", metadata={"axes": "QZCYX"})
    assert read_image(tmp_path / "a.tif").axes == "ZYX"
    assert read_image(tmp_path / "a.tif", "TZCYX").array.shape == (1, 6, 1, 32, 48)


def test_planes_of_another_size_than_promised_are_refused(tmp_path, planes):
    pages(tmp_path / "a.tif", planes[:1], xml(x=480, y=320))
    with pytest.raises(DataError, match="320 x 480 pixels, but the file holds some of 32 x 48"):
        read_image(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", "YX").array.shape == (32, 48)


def test_axes_that_were_given_go_before_the_description(tmp_path, planes):
    pages(tmp_path / "a.tif", planes, xml(z=3, t=2))
    assert read_image(tmp_path / "a.tif").axes == "TZYX"
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", "ZYX").array, planes)


def set_of_files(folder, planes, per_file, **sizes):
    names = [f"set_{k}.ome.tif" for k in range(len(planes) // per_file)]
    ids = [f"urn:uuid:{uuid.UUID(int=k + 1)}" for k in range(len(names))]
    letter = next(name.upper() for name, n in sizes.items() if n == len(planes))
    data = "".join(
        f'<TiffData First{letter}="{k * per_file}" IFD="0" PlaneCount="{per_file}">'
        f'<UUID FileName="{n}">{u}</UUID></TiffData>'
        for k, (n, u) in enumerate(zip(names, ids, strict=True))
    )
    for k, name in enumerate(names):
        part = planes[k * per_file : (k + 1) * per_file]
        pages(folder / name, part, xml(**sizes, data=data, own=ids[k]))
    return [folder / name for name in names]


@pytest.mark.parametrize(("sizes", "axes"), [({"t": 6}, "TYX"), ({"z": 6}, "ZYX"), ({"c": 6}, "CYX")])
@pytest.mark.parametrize("alone", [False, True])
def test_of_an_image_in_several_files_each_is_its_own_part(tmp_path, planes, sizes, axes, alone):
    files = set_of_files(tmp_path, planes, 2, **sizes)
    if alone:
        for file in (files[0], files[2]):
            file.unlink()
    said = []
    picture = read_image(files[1], say=said.append)
    np.testing.assert_array_equal(picture.array, planes[2:4])
    assert (picture.axes, picture.spacing[-2:], picture.unit) == (axes, (0.5, 0.5), "um")
    assert "other files" in said[0]
    with pytest.raises(DataError, match="one of several files of an image, and is read only whole"):
        open_image(files[1])


def test_a_single_plane_of_a_set_has_no_other_axes(tmp_path, planes):
    files = set_of_files(tmp_path, planes, 1, t=6)
    picture = read_image(files[4], say=lambda _: None)
    np.testing.assert_array_equal(picture.array, planes[4])
    assert picture.axes == "YX"


def test_a_file_of_its_own_under_another_name_is_whole(tmp_path, planes):
    data = '<TiffData IFD="0" PlaneCount="6"><UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData>'
    pages(tmp_path / "new.ome.tif", planes, xml(z=6, data=data, own="urn:uuid:1"))
    picture, image = read_image(tmp_path / "new.ome.tif"), open_image(tmp_path / "new.ome.tif")
    np.testing.assert_array_equal(picture.array, planes)
    np.testing.assert_array_equal(image[...], planes)
    assert picture.axes == image.axes == "ZYX"
    # Another file has the name that this one had.
    pages(tmp_path / "old.ome.tif", planes[::-1], xml(z=6, data=data, own="urn:uuid:1"))
    np.testing.assert_array_equal(open_image(tmp_path / "new.ome.tif")[...], planes)
    pages(tmp_path / "new.ome.tif", planes, xml(z=6, data=data))
    np.testing.assert_array_equal(read_image(tmp_path / "new.ome.tif").array, planes)
    with pytest.raises(DataError, match="read only whole"):
        open_image(tmp_path / "new.ome.tif")


def test_images_of_one_size_are_all_read(tmp_path, planes):
    said = []
    with tifffile.TiffWriter(tmp_path / "positions.ome.tif", ome=True) as tif:
        for plane in planes[:3]:
            tif.write(plane, metadata={"axes": "YX"})
    picture = read_image(tmp_path / "positions.ome.tif", say=said.append)
    np.testing.assert_array_equal(picture.array, planes[:3])
    assert (picture.axes, picture.axes_guessed) == ("TYX", False)
    assert "3 images of one size" in said[0]
    for index in range(5):
        tifffile.imwrite(tmp_path / "appended.tif", planes[index], append=index > 0)
    picture = read_image(tmp_path / "appended.tif", say=said.append)
    np.testing.assert_array_equal(picture.array, planes[:5])
    assert picture.axes == "TYX"
    assert read_image(tmp_path / "appended.tif", "ZYX", say=said.append).axes == "ZYX"


@pytest.mark.parametrize("ome", [False, True])
@pytest.mark.parametrize("first", ["small", "large"])
def test_a_small_picture_beside_the_image_is_left_out_and_named(tmp_path, planes, first, ome):
    images = [planes[0, :9, :7], planes[0]] if first == "small" else [planes[0], planes[0, :9, :7]]
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=ome) as tif:
        for image in images:
            tif.write(image, metadata={"axes": "YX"} if ome else None)
    said = []
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", say=said.append).array, planes[0])
    assert "left out: 9 x 7" in said[0]


def test_letters_of_other_sets_are_images_of_their_own_or_an_error(tmp_path, planes):
    tifffile.imwrite(tmp_path / "a.tif", planes, metadata={"axes": "PYX"}, photometric="minisblack")
    said = []
    assert read_image(tmp_path / "a.tif", say=said.append).axes == "TYX"
    assert "axis P" in said[0]


@pytest.mark.parametrize("axes", ["PTYX", "MPYX", "TPYX"])
def test_frames_of_positions_are_images_of_their_own(tmp_path, planes, axes):
    array = planes.reshape(2, 3, 32, 48)
    tifffile.imwrite(tmp_path / "b.tif", array, metadata={"axes": axes}, photometric="minisblack")
    said = []
    picture = read_image(tmp_path / "b.tif", say=said.append)
    assert picture.axes == "TYX"
    np.testing.assert_array_equal(picture.array, planes)
    assert f"axes {axes[0]} and {axes[1]} of {axes} are read as one set of 6 images" in said[-1]
    assert read_image(tmp_path / "b.tif", "TCYX").array.shape == array.shape


def test_positions_that_are_movies_are_read_frame_by_frame(tmp_path, planes):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for movie in planes.reshape(2, 3, 32, 48):
            tif.write(movie, metadata={"axes": "TYX"}, photometric="minisblack")
    picture = read_image(tmp_path / "a.ome.tif", say=lambda _: None)
    assert picture.axes == "TYX"
    np.testing.assert_array_equal(picture.array, planes)


def test_sets_between_other_axes_come_first(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (2, 4, 3, 16, 20)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "PZTYX"}, photometric="minisblack")
    picture = read_image(tmp_path / "a.tif", say=lambda _: None)
    assert picture.axes == "TZYX"
    np.testing.assert_array_equal(picture.array, array.swapaxes(1, 2).reshape(6, 4, 16, 20))


def test_a_letter_that_stands_twice_is_an_error(tmp_path, planes):
    tifffile.imwrite(
        tmp_path / "a.tif", planes.reshape(2, 3, 32, 48), metadata={"axes": "PPYX"}, photometric="minisblack"
    )
    with pytest.raises(DataError, match=r"axes PPYX.*--axes"):
        read_image(tmp_path / "a.tif")


HUGE = '<TiffData IFD="0" PlaneCount="900000000"/>'
ELSEWHERE = "".join(HUGE.replace("/>", f'><UUID FileName="{name}.tif">urn:uuid:1</UUID></TiffData>') for name in "ab")


@pytest.mark.parametrize(
    "description",
    [
        xml(64, 64, z=2 * 10**8, data='<TiffData IFD="0" PlaneCount="1"/>', kind="uint8"),
        xml(64, 64, data=HUGE, kind="uint8"),
        xml(64, 64, data='<TiffData FirstZ="900000000" IFD="0" PlaneCount="1"/>', kind="uint8"),
        xml(10**6, 10**6, kind="uint8"),
        xml(64, 64, z=-1, kind="uint8"),
        xml(64, 64, data=ELSEWHERE, kind="uint8"),
        xml(64, 64, data=ELSEWHERE, kind="uint8", own="urn:uuid:1"),
        xml(64, 64, data=HUGE, kind="uint8").replace(b"<OME", b"<!DOCTYPE OME><OME"),
        b"ImageJ=1.54f\nimages=900000000\nslices=900000000\n",
        b'{"shape": [900000000, 64, 64]}',
    ],
)
@pytest.mark.parametrize("read", ["tiff import read_image", "in_parts import open_image"])
def test_a_claim_costs_no_memory(tmp_path, description, read):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), description=description, metadata=None)
    code = (
        "import sys, resource; from embedseg_napari.core.errors import DataError\n"
        f"from embedseg_napari.core.files.{read} as read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read(sys.argv[1])\n"
        "except DataError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.tif")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout.split()[-1]) < 200, done.stdout


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
def test_pixels_that_the_file_cannot_hold_are_refused_before_memory_is_taken(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression=compression, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name, value in (("ImageWidth", 60_000), ("ImageLength", 60_000), ("RowsPerStrip", 60_000)):
            tif.pages.first.tags[name].overwrite(value)
    with pytest.raises(DataError, match=r"a\.tif: "):
        read_image(path)


def test_empty_compressed_images_are_no_bombs(tmp_path):
    array = np.zeros((40, 1024, 1024), np.uint16)
    for compression in ("zlib", "zstd", "lzw"):
        tifffile.imwrite(tmp_path / "a.tif", array, compression=compression, photometric="minisblack")
        assert read_image(tmp_path / "a.tif").array.shape == array.shape


MOVIE = np.random.default_rng(0).integers(0, 4000, (5, 2, 24, 32)).astype(np.uint16)
LAZY = [
    ({"imagej": True, "metadata": {"axes": "TCYX"}}, "TCYX"),
    ({"imagej": True, "metadata": {"axes": "TCYX"}, "compression": "zlib"}, "TCYX"),
    ({"metadata": {"axes": "TCYX"}, "ome": True, "compression": "zlib", "tile": (16, 16)}, "TCYX"),
    ({"metadata": None, "byteorder": ">"}, ""),
]


@pytest.mark.parametrize(("options", "axes"), LAZY)
def test_frames_that_stay_on_the_disk_are_those_of_the_whole(tmp_path, options, axes):
    path = tmp_path / "movie.tif"
    array = MOVIE if axes else MOVIE[:, 0]
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    whole, lazy = (read_image(path, lazily=lazily) for lazily in (False, True))
    assert isinstance(lazy.array, FramesOnDisk)
    assert replace(lazy, array=None) == replace(whole, array=None)
    assert (lazy.axes, lazy.array.shape, lazy.array.dtype) == (axes, array.shape, whole.array.dtype)
    np.testing.assert_array_equal(np.asarray(lazy.array), whole.array)
    np.testing.assert_array_equal(lazy.array[-1], array[-1])
    turned = lazy.array.transpose([0, *range(array.ndim - 1, 0, -1)])
    assert isinstance(turned, FramesOnDisk)
    np.testing.assert_array_equal(turned[2], array[2].T)
    np.testing.assert_array_equal(np.stack(list(lazy.array[:, None])), array[:, None])
    np.testing.assert_array_equal(lazy.array[1:3, ..., 4], array[1:3, ..., 4])
    with pytest.raises(IndexError):
        lazy.array[len(array)]


def test_what_must_be_read_whole_to_be_understood_is(tmp_path):
    path = tmp_path / "turned.tif"
    tifffile.imwrite(path, MOVIE[:, 0], photometric="miniswhite")
    lazy = read_image(path, lazily=True).array
    np.testing.assert_array_equal(lazy, 65535 - MOVIE[:, 0])


def test_damage_in_a_frame_on_the_disk_is_told_as_of_the_whole(tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": "TCYX"}, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        at, n = tif.pages[7].dataoffsets[0], tif.pages[7].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x55" * n)
    with pytest.raises(DataError) as whole:
        read_image(path)
    frames = read_image(path, lazily=True).array
    np.testing.assert_array_equal(frames[2], MOVIE[2])
    with pytest.raises(DataError) as later:
        frames.check(never)
    assert str(later.value) == str(whole.value)
    with pytest.raises(Stopped):
        frames.check(lambda: True)
