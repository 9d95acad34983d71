"""``embedseg export`` and ``embedseg import`` as a user types them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.files.plane_stack import write_planes
from embedseg_napari.core.files.tiff import read_image, write_image, write_labels
from embedseg_napari.jobs import exchange, label_files


@pytest.fixture
def files(tmp_path):
    """A volume's labels and its image, with a pixel size."""
    labels = np.zeros((4, 20, 30), np.int32)
    labels[1:3, 2:6, 3:8], labels[2, 10:15, 20:30], labels[2, 12, 22:25] = 4, 9, 0
    write_labels(tmp_path / "labels.tif", labels, "ZYX", (2, 0.5, 0.25), "um")
    write_image(tmp_path / "image.tif", np.zeros((4, 20, 30), np.uint8), "ZYX", (2, 0.5, 0.25), "um")
    return tmp_path, labels


@pytest.mark.parametrize(("kind", "name"), [("imagej", "a.zip"), ("geojson", "a.geojson"), ("coco", "a.json")])
def test_there_and_back(embedseg, files, kind, name) -> None:
    folder, labels = files
    ended = embedseg("export", folder / "labels.tif", "--format", kind, "--output", folder / name)
    assert ended.status == 0, ended.err
    assert "2 objects exported" in ended.out
    ended = embedseg("import", folder / name, "--like", folder / "image.tif", "--output", folder / "back.tif")
    assert ended.status == 0, ended.err
    assert "2 objects imported" in ended.out
    picture = read_image(folder / "back.tif", labels=True)
    np.testing.assert_array_equal(picture.array, labels)
    assert (picture.axes, picture.spacing, picture.unit) == ("ZYX", (2, 0.5, 0.25), "um")


def test_geojson_has_measurements(embedseg, files) -> None:
    folder, _ = files
    words = ("--format", "geojson", "--image", folder / "image.tif", "--output", folder / "a.geojson")
    assert embedseg("export", folder / "labels.tif", *words).status == 0
    feature = json.loads((folder / "a.geojson").read_text())["features"][0]
    assert feature["properties"]["measurements"]["volume_um3"] == 40 * 0.25
    assert feature["properties"]["measurements"]["intensity_max_0"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "empty.tif", "--format", "imagej", "--output", "a.zip"], "holds no objects"),
        (["export", "labels.tif", "--format", "matlab", "--output", "a.mat"], "no format 'matlab'"),
        (["export", "labels.tif", "--format", "imagej", "--output", "old.zip"], "add --overwrite"),
        (["export", "labels.tif", "--format", "ctc", "--output", "a.zip"], "choose a folder"),
        (["import", "labels.tif", "--like", "image.tif", "--output", "a.tif"], "annotations are read from"),
        (["import", "old.zip", "--like", "image.tif", "--output", "a.png"], "labels are written as .tif"),
        (["import", "old.zip", "--like", "image.tif", "--output", "labels.tif"], "add --overwrite"),
        (["import", "old.zip", "--like", "image.tif", "--output", "a.tif"], "cannot be read as a zip"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(embedseg, files, monkeypatch, words, said) -> None:
    folder, _ = files
    monkeypatch.chdir(folder)
    (folder / "old.zip").write_text("kept")
    tifffile.imwrite(folder / "empty.tif", np.zeros((5, 5), np.uint8), photometric="minisblack")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ended = embedseg(*words)
    assert ended.status == 1
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["x.ome.tif", "link.ome.tif"])
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    "words",
    [
        ["import", "a.zip", "--like", "x.ome.tif", "--output"],
        ["export", "labels.tif", "--format", "ome-tiff", "--image", "x.ome.tif", "--output"],
        ["export", "x.ome.tif", "--format", "ome-tiff", "--output"],
    ],
)
def test_what_is_read_is_never_replaced(embedseg, files, monkeypatch, words, more, name) -> None:
    folder, _ = files
    monkeypatch.chdir(folder)
    assert embedseg("export", "labels.tif", "--format", "imagej", "--output", "a.zip").status == 0
    (folder / "image.tif").rename("x.ome.tif")
    (folder / "link.ome.tif").hardlink_to("x.ome.tif")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ended = embedseg(*words, name, *more)
    assert (ended.status, "is one of the files that are read" in ended.err) == (1, True)
    assert "--overwrite" not in ended.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["mask000.tif", "link.tif"])
def test_what_is_read_is_not_replaced_by_a_folder_either(embedseg, files, name) -> None:
    folder, labels = files
    (folder / "labels.tif").rename(folder / "mask000.tif")
    (folder / "link.tif").hardlink_to(folder / "mask000.tif")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ended = embedseg("export", folder / name, "--format", "ctc", "--output", folder, "--overwrite")
    assert (ended.status, "mask000.tif: is one of the files that are read" in ended.err) == (1, True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    # One of another name is not replaced.
    (folder / "mask000.tif").unlink()
    (folder / "link.tif").rename(folder / "labels.tif")
    ended = embedseg("export", folder / "labels.tif", "--format", "ctc", "--output", folder, "--overwrite")
    assert ended.status == 0, ended.err
    np.testing.assert_array_equal(read_image(folder / "labels.tif").array, labels)


def test_large_labels_are_exported_in_parts_and_memory_is_told(embedseg, files, monkeypatch) -> None:
    folder, labels = files
    monkeypatch.setattr(label_files, "WHOLE", 0)
    monkeypatch.setattr(exchange, "WORTH_TELLING", 100)
    words = ("export", folder / "labels.tif", "--format", "geojson", "--output")
    ended = embedseg(*words, folder / "a.geojson")
    assert ended.status == 0, ended.err
    assert "exporting as geojson takes about" in ended.out
    embedseg("import", folder / "a.geojson", "--like", folder / "image.tif", "--output", folder / "back.tif")
    np.testing.assert_array_equal(read_image(folder / "back.tif", labels=True).array, labels)
    monkeypatch.setattr(exchange, "memory_of_machine", lambda: 1000)
    ended = embedseg(*words, folder / "b.geojson")
    assert ended.status == 1
    assert "and this machine has 0.0 GB; choose ome-zarr" in ended.err
    assert not (folder / "b.geojson").exists()


def test_a_folder_is_told_to_be_one(embedseg, files) -> None:
    folder, _ = files
    ended = embedseg("export", folder, "--format", "geojson", "--output", folder / "a.geojson")
    assert ended.status == 1
    assert f"one by one, such as {folder / 'image.tif'}" in ended.err


def test_an_image_that_does_not_name_time_has_the_axes_of_its_labels(embedseg, tmp_path) -> None:
    labels = np.zeros((4, 20, 30), np.int32)
    labels[:, 2:6, 3:8] = 1
    write_labels(tmp_path / "l.tif", labels, "TYX")
    tifffile.imwrite(tmp_path / "m.tif", labels.astype(np.uint8) * 7, photometric="minisblack")
    words = ("--format", "geojson", "--image", tmp_path / "m.tif", "--output", tmp_path / "a.geojson")
    ended = embedseg("export", tmp_path / "l.tif", *words)
    assert ended.status == 0, ended.err
    assert "intensity" in (tmp_path / "a.geojson").read_text()


@pytest.mark.parametrize("is_ours", [True, False])
def test_planes_are_exported_whole(embedseg, tmp_path, is_ours) -> None:
    planes = np.zeros((2, 20, 30), np.uint8)
    planes[0, 8:12], planes[1, :, 9:13] = 1, 1
    words = ["--format", "geojson", "--output", tmp_path / "a.geojson"]
    if is_ours:
        write_planes(tmp_path / "planes.tif", planes > 0, 2, (20, 30), "YX", (0.5, 0.5), "um")
    else:
        tifffile.imwrite(tmp_path / "planes.tif", planes)
        words += ["--planes", "--spacing", "0.5,0.5"]
    ended = embedseg("export", tmp_path / "planes.tif", *words)
    assert ended.status == 0, ended.err
    assert "2 objects exported" in ended.out
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    areas = {one["properties"]["label"]: one["properties"]["measurements"]["area_um2"] for one in features}
    assert areas == {1: 4 * 30 * 0.25, 2: 20 * 4 * 0.25}
    # Nobody could say who touches whom of objects that share pixels.
    assert not any("touching_neighbours" in one["properties"]["measurements"] for one in features)
    ended = embedseg("export", tmp_path / "planes.tif", "--planes", "--format", "mesh", "--output", tmp_path / "a.ply")
    assert (ended.status, "one number for each" in ended.err.replace("\n", " ")) == (1, True)
    assert not (tmp_path / "a.ply").exists()


@pytest.mark.parametrize("n", [3, 5])
def test_planes_of_other_programs_are_told_from_labels(embedseg, tmp_path, n) -> None:
    """Three are stored as if they were colours, unless the program says otherwise; ImageJ's are channels."""
    planes = np.zeros((n, 40, 40), np.uint8)
    for index in range(n):
        planes[index, 6 * index : 6 * index + 12, 6 * index : 6 * index + 12] = 255
    plain = {"photometric": "rgb", "planarconfig": "separate"} if n == 3 else {"photometric": "minisblack"}
    for name, options in (("plain", plain), ("imagej", {"imagej": True}), ("named", {"metadata": {"axes": "CYX"}})):
        tifffile.imwrite(tmp_path / f"{name}.tif", planes, ome=name == "named", **options)
        words = ("--format", "coco", "--output", tmp_path / f"{name}.json")
        ended = embedseg("export", tmp_path / f"{name}.tif", "--planes", *words)
        assert (ended.status, f"{n} objects exported" in ended.out) == (0, True), ended.err
        ended = embedseg("export", tmp_path / f"{name}.tif", *words, "--overwrite")
        said = "seems to hold planes" if name != "plain" or n > 3 else "stored as colours"
        assert said in ended.err
        assert ended.status == (0 if name == "plain" and n > 3 else 1)
    colours = np.stack([planes[0]] * 3, -1)
    tifffile.imwrite(tmp_path / "colours.tif", colours, photometric="rgb")
    ended = embedseg("export", tmp_path / "colours.tif", "--planes", "-f", "coco", "-o", tmp_path / "b.json")
    assert (ended.status, "is a colour picture" in ended.err) == (1, True)


def test_labels_are_no_planes(embedseg, tmp_path) -> None:
    labels = np.zeros((2, 20, 30), np.uint8)
    labels[0, 2:5], labels[0, 10:15], labels[1, 3:6] = 1, 2, 3
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    ended = embedseg("export", tmp_path / "labels.tif", "--planes", "-f", "coco", "-o", tmp_path / "a.json")
    assert (ended.status, "plane 0 holds several numbers, and a stack of planes has one" in ended.err) == (1, True)


def test_planes_are_no_labels(embedseg, tmp_path) -> None:
    write_planes(tmp_path / "planes.tif", iter(np.ones((2, 20, 30), bool)), 2, (20, 30), "YX")
    ended = embedseg("measure", tmp_path / "planes.tif", "--output", tmp_path / "a.csv")
    assert (ended.status, "holds planes of one object each" in ended.err) == (1, True)
    tifffile.imwrite(tmp_path / "one.tif", np.ones((20, 30), np.uint8))
    ended = embedseg("export", tmp_path / "one.tif", "--planes", "-f", "coco", "-o", tmp_path / "a.json")
    assert (ended.status, "is no stack of planes" in ended.err) == (1, True)
