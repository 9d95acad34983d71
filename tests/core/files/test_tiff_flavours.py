"""Files as ImageJ, OME and others write them: axes, steps and names."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import list_images, read_image


def imagej(path, array, axes, resolution=None, **metadata):
    extra = {} if resolution is None else {"resolution": resolution}
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes, **metadata}, **extra)


def test_imagej_file_of_fiji(tmp_path):
    imagej(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint16), "ZYX", (4, 2), unit="\\u00B5m", spacing=1.5)
    picture = read_image(tmp_path / "a.tif")
    assert (picture.axes, picture.spacing, picture.unit) == ("ZYX", (1.5, 0.5, 0.25), "um")


def test_imagej_slices_without_distance_are_one_unit_apart_as_in_fiji(tmp_path):
    imagej(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint16), "ZYX", (4, 4), unit="micron")
    assert read_image(tmp_path / "a.tif").spacing == (1.0, 0.25, 0.25)


def test_imagej_file_without_unit_has_no_spacing(tmp_path):
    imagej(tmp_path / "a.tif", np.zeros((8, 9), np.uint16), "YX", (72, 72))
    assert read_image(tmp_path / "a.tif").spacing is None


@pytest.mark.parametrize(("labels", "names"), [(["a", "b"] * 3, ("a", "b")), (["1", "2", "3", "4", "5", "6"], ())])
def test_slice_labels_name_channels_only_where_they_repeat(tmp_path, labels, names):
    imagej(tmp_path / "a.tif", np.zeros((3, 2, 8, 9), np.uint16), "ZCYX", Labels=labels)
    assert read_image(tmp_path / "a.tif").channel_names == names


def test_ome_units_of_the_axes_may_differ(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 200}
    metadata |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 1.5, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((5, 8, 9), np.uint8), ome=True, metadata=metadata)
    picture = read_image(tmp_path / "a.ome.tif")
    assert picture.spacing == pytest.approx((1500, 200, 200))
    assert picture.unit == "nm"


def test_ome_slices_of_unknown_distance_are_taken_for_cubes(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((5, 8, 9), np.uint8), ome=True, metadata=metadata)
    assert read_image(tmp_path / "a.ome.tif").spacing == (0.3, 0.3, 0.3)


@pytest.mark.parametrize(
    ("array", "options", "axes"),
    [
        (np.zeros((8, 9), np.uint8), {}, "YX"),
        (np.zeros((8, 9, 3), np.uint8), {"photometric": "rgb"}, "YXC"),
        (np.zeros((3, 8, 9), np.uint8), {"photometric": "rgb", "planarconfig": "separate"}, "CYX"),
        (np.zeros((5, 8, 9), np.uint8), {"photometric": "minisblack"}, ""),
        (np.zeros((5, 8, 9), np.uint8), {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}, "ZYX"),
        (np.zeros((5, 8, 9), np.uint8), {"photometric": "minisblack", "metadata": None}, ""),
    ],
)
def test_axes_of_plain_files(tmp_path, array, options, axes):
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    picture = read_image(tmp_path / "a.tif")
    assert picture.axes == axes
    assert picture.axes_guessed == (axes == "")


def test_given_axes_replace_those_of_the_file(tmp_path):
    imagej(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint16), "TYX", (4, 4), unit="um", spacing=2.0)
    assert read_image(tmp_path / "a.tif").spacing == (0.25, 0.25)
    picture = read_image(tmp_path / "a.tif", "zyx")
    assert (picture.axes, picture.spacing) == ("ZYX", (2.0, 0.25, 0.25))
    with pytest.raises(DataError, match=r"a\.tif.*name 4 axes, the file has 3"):
        read_image(tmp_path / "a.tif", "CZYX")


def test_ome_planes_in_missing_files_are_an_error(tmp_path):
    uuid = "urn:uuid:11111111-1111-1111-1111-111111111111"
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((4, 8, 9), np.uint8), ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        text = tif.ome_metadata
    missing = f'<TiffData FirstZ="2" IFD="0" PlaneCount="2"><UUID FileName="b.ome.tif">{uuid}</UUID></TiffData>'
    here = '<TiffData IFD="0" PlaneCount="2"/>'
    start, end = text.index("<TiffData"), text.index("</Pixels>")
    text = text[:start] + here + missing + text[end:]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        for plane in np.ones((2, 8, 9), np.uint8):
            writer.write(plane, description=text, metadata=None, contiguous=False)
            text = None
    with pytest.raises(DataError, match="missing"):
        read_image(tmp_path / "a.ome.tif")


def test_broken_ome_text_costs_only_the_metadata(tmp_path, caplog):
    text = '<?xml version="1.0"?><OME xmlns="x"><Image><Pixels SizeX="9" </OME>'
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9), np.uint8), description=text, metadata=None)
    picture = read_image(tmp_path / "a.tif")
    assert picture.array.shape == (8, 9)
    assert picture.spacing is None


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shape", "dtype", "axes"),
    [
        ("dsb2018", (256, 256), "uint8", "YX"),
        ("bbbc010", (520, 696), "uint16", "YX"),
        ("usiigaci", (1022, 1024), "uint8", "YX"),
        ("bbbc050", (51, 124, 127), "uint16", ""),
        ("gonuclear", (100, 100, 100), "uint8", ""),
    ],
)
def test_real_files(shared_data, name, shape, dtype, axes):
    picture = read_image(list_images(shared_data(name) / "train" / "images")[0])
    assert (picture.array.shape, picture.array.dtype, picture.axes) == (shape, dtype, axes)
    assert picture.spacing is None
