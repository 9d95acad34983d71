"""Axes, pixel size and channels in the metadata of OME-Zarr, in the forms that its versions have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.metadata import Metadata
from embedseg_napari.core.files.ngff import read_ngff

if TYPE_CHECKING:
    from pathlib import Path

AXES = [
    {"name": "t", "type": "time", "unit": "minute"},
    {"name": "c", "type": "channel"},
    *({"name": letter, "type": "space", "unit": "micrometer"} for letter in "zyx"),
]
IMAGE = {
    "axes": AXES,
    "datasets": [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2, 1, 1.5, 0.25, 0.2]}]},
        {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [2, 1, 1.5, 0.5, 0.4]}]},
    ],
}
CHANNELS = {"channels": [{"label": "nuclei", "color": "0000FF"}, {"label": "membrane"}]}
EXPECTED = Metadata((1.5, 0.25, 0.2), "um", ("nuclei", "membrane"), 120.0)


def write(folder: Path, attributes: object, version: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (folder / ".zattrs").write_text(json.dumps(attributes))
    else:
        whole = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
        (folder / "zarr.json").write_text(json.dumps(whole))
    return folder


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_of_zarr_say_the_same(tmp_path, version):
    path = write(tmp_path / "im.zarr", {"multiscales": [IMAGE], "omero": CHANNELS}, version)
    assert read_ngff(path) == ("TCZYX", EXPECTED)


def test_a_single_resolution_has_pixels_of_its_own(tmp_path):
    path = write(tmp_path / "im.zarr", {"multiscales": [IMAGE]})
    (path / "1").mkdir()
    assert read_ngff(path / "1") == ("TCZYX", Metadata((1.5, 0.5, 0.4), "um", (), 120.0))
    assert read_ngff(path / "labels") is None


def test_of_a_folder_of_images_the_first_is_meant(tmp_path):
    write(tmp_path / "all.zarr" / "0", {"multiscales": [IMAGE]})
    write(tmp_path / "all.zarr" / "1", {"multiscales": []})
    write(tmp_path / "all.zarr" / "+", {"series": ["0"]})
    write(tmp_path / "all.zarr", {"bioformats2raw.layout": 3})
    found = read_ngff(tmp_path / "all.zarr")
    assert found is not None
    assert found[1].steps == (1.5, 0.25, 0.2)


def test_scales_of_all_resolutions_count_and_units_become_one(tmp_path):
    image = {
        "axes": [{"name": "z", "unit": "nanometer"}, {"name": "y", "unit": "micrometer"}, {"name": "x"}],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [250, 0.5, 0.5]}]}],
        "coordinateTransformations": [{"type": "translation", "translation": [9, 9, 9]}, {"scale": [2, 1, 1]}],
    }
    image["axes"][2] |= {"unit": "micrometer"}
    found = read_ngff(write(tmp_path / "im.zarr", {"multiscales": [image]}))
    assert found == ("ZYX", Metadata((0.5, 0.5, 0.5), "um", (), None))


@pytest.mark.parametrize("axes", [["z", "y", "x"], None])
def test_early_versions_name_axes_alone_or_none(tmp_path, axes):
    image = {"datasets": [{"path": "0"}]} | ({"axes": axes} if axes else {})
    found = read_ngff(write(tmp_path / "im.zarr", {"multiscales": [image]}))
    assert found == ("ZYX" if axes else "TCZYX", Metadata())


def test_axes_that_no_image_has_here_are_left_open(tmp_path):
    image = IMAGE | {"axes": [{"name": letter} for letter in "abcyx"]}
    assert read_ngff(write(tmp_path / "im.zarr", {"multiscales": [image]})) == ("", Metadata())


@pytest.mark.parametrize("omero", [None, {"channels": None}, {"channels": [{"label": None}, {}]}])
def test_what_is_empty_takes_nothing_else_with_it(tmp_path, omero):
    image = {**IMAGE, "coordinateTransformations": None}
    path = write(tmp_path / "im.zarr", {"multiscales": [image], "omero": omero})
    assert read_ngff(path) == ("TCZYX", Metadata(EXPECTED.steps, EXPECTED.unit, (), EXPECTED.interval))


def test_channels_may_be_numbered(tmp_path):
    path = write(tmp_path / "im.zarr", {"multiscales": [IMAGE], "omero": {"channels": [{"label": 405}, {}]}})
    found = read_ngff(path)
    assert found is not None
    assert found[1].channel_names == ("405", "")


def test_other_folders_say_nothing(tmp_path):
    assert read_ngff(tmp_path) is None
    assert read_ngff(write(tmp_path / "array.zarr", {"note": "mine"})) is None


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "[" * 5000, '{"multiscales": 5}', '{"multiscales": [{"datasets": []}]}',
        '{"multiscales": [{"axes": 1}]}',
        '{"multiscales": [{"datasets": [{"path": "0", "coordinateTransformations": [{"scale": [NaN, 1]}]}]}]}',
        '{"multiscales": [{"datasets": [{"path": "0", "coordinateTransformations": [{"scale": "big"}]}]}]}',
    ],
)  # fmt: skip
def test_damaged_metadata_is_a_sentence(tmp_path, text):
    (tmp_path / "im.zarr").mkdir()
    (tmp_path / "im.zarr" / ".zattrs").write_text(text)
    with pytest.raises(DataError, match=r"\.zattrs: .*; axes and pixel size are left open"):
        read_ngff(tmp_path / "im.zarr")
