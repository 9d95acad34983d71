"""Physical size of pixels: units of each axis, and what other programs read of the files written here."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.files.tiff import read_image, write_image

STACK = np.zeros((5, 8, 9), np.uint16)


def ome(path, **metadata):
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX", **metadata}, photometric="minisblack")


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("Å", 2000.0, (5000.0, 2000.0, "Å")),
        ("\N{ANGSTROM SIGN}", 2000.0, (5000.0, 2000.0, "Å")),
        ("pm", 200_000.0, (500_000.0, 200_000.0, "pm")),
        ("nm", 200.0, (500.0, 200.0, "nm")),
        ("nanometers", 200.0, (500.0, 200.0, "nm")),
        ("µm", 0.2, (0.5, 0.2, "um")),
        ("mm", 2e-4, (5e-4, 2e-4, "mm")),
        ("cm", 2e-5, (5e-5, 2e-5, "cm")),
        ("m", 2e-7, (5e-7, 2e-7, "m")),
        ("in", 0.2 / 25_400, (0.5, 0.2, "um")),
        ("thou", 0.2 / 25.4, (0.5, 0.2, "um")),
        ("km", 2e-10, (0.5, 0.2, "um")),
    ],
)
def test_ome_units_from_angstrom_to_metre(tmp_path, unit, value, expected):
    size = {f"PhysicalSize{a}{part}": what for a in "XY" for part, what in (("", value), ("Unit", unit))}
    ome(tmp_path / "a.tif", **size, PhysicalSizeZ=0.5, PhysicalSizeZUnit="µm")
    picture = read_image(tmp_path / "a.tif")
    z, yx, short = expected
    assert picture.spacing == pytest.approx((z, yx, yx))
    assert picture.unit == short


def test_a_depth_that_is_no_length_says_nothing(tmp_path):
    size = {"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 7.0, "PhysicalSizeZUnit": "reference frame"}
    ome(tmp_path / "a.tif", **size)
    assert read_image(tmp_path / "a.tif").spacing == (0.2, 0.2, 0.2)


@pytest.mark.parametrize(
    ("description", "spacing", "unit"),
    [
        ("unit=nm\nzunit=micron\nspacing=0.5", (500.0, 200.0, 200.0), "nm"),
        ("unit=nm\nyunit=micron\nspacing=500", (500.0, 200_000.0, 200.0), "nm"),
        ("unit=micrometres\nspacing=0.5", (0.5, 200.0, 200.0), "um"),
        ("unit=\\u00B5m\nspacing=-0.5", (0.5, 200.0, 200.0), "um"),
        ("unit=\\u00C5\nspacing=0.5", (0.5, 200.0, 200.0), "Å"),
        ("unit=inch\nspacing=0.00005", (1.27, 5_080_000.0, 5_080_000.0), "um"),
    ],
)
def test_imagej_units_of_each_axis(tmp_path, description, spacing, unit):
    text = f"ImageJ=1.54f\nimages=5\nslices=5\n{description}\n"
    tifffile.imwrite(tmp_path / "a.tif", STACK, description=text, metadata=None, resolution=(1 / 200, 1 / 200))
    picture = read_image(tmp_path / "a.tif")
    assert picture.spacing == pytest.approx(spacing)
    assert picture.unit == unit


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected"),
    [(50_000, "CENTIMETER", 0.2), (127_000, "INCH", 0.2), (300, "INCH", None), (72, "INCH", None), (28.35, 3, None)],
)
def test_resolution_tags_are_those_of_a_microscope_or_of_a_printer(tmp_path, per_unit, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    picture = read_image(tmp_path / "a.tif")
    assert picture.spacing == (None if expected is None else pytest.approx((expected, expected)))
    assert picture.unit == (None if expected is None else "um")


@pytest.mark.parametrize("unit", ["um", "nm", "Å", "mm", "pm", "cm", "m", "sec", "Füße\n", None])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_every_unit_can_be_written_and_a_length_comes_back(tmp_path, unit, name):
    write_image(tmp_path / name, STACK, "ZYX", (3.0, 0.5, 0.25), unit)
    picture = read_image(tmp_path / name)
    assert picture.spacing == pytest.approx((3.0, 0.5, 0.25))
    if unit not in ("sec", "Füße\n"):
        assert picture.unit == unit
    with tifffile.TiffFile(tmp_path / name) as tif:
        assert tif.is_ome == (name == "a.ome.tif")
        if tif.is_ome:
            pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
            assert pixels.get("PhysicalSizeXUnit") in {"µm", "nm", "Å", "mm", "pm", "cm", "m", "pixel"}
            assert float(pixels.get("PhysicalSizeZ")) == 3.0
        else:
            assert tif.imagej_metadata["slices"] == 5
            assert tif.imagej_metadata["spacing"] == 3.0


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_the_interval_of_frames_is_kept_in_seconds(tmp_path, name):
    write_image(tmp_path / name, STACK, "TYX", (0.5, 0.25), "um", interval=0.75)
    assert read_image(tmp_path / name).interval == 0.75
    text = "ImageJ=1.54f\nimages=5\nframes=5\nfinterval=2\ntunit=min\n"
    tifffile.imwrite(tmp_path / "b.tif", STACK, description=text, metadata=None)
    assert read_image(tmp_path / "b.tif").interval == 120.0


def test_names_of_channels_with_signs_of_xml_are_kept(tmp_path):
    names = ("<DAPI> & co", 'a"b', "grün")
    for name in ("a.tif", "a.ome.tif"):
        write_image(tmp_path / name, STACK[:3], "CYX", channel_names=names)
        assert read_image(tmp_path / name).channel_names == names
