"""``embedseg measure`` as a user types it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from store_steps import write_store

from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.measure import blocks
from embedseg_napari.jobs import label_files


@pytest.fixture
def files(tmp_path):
    """A label image with a pixel size, and its image of two channels."""
    labels = np.zeros((20, 30), np.int32)
    labels[2:6, 3:8], labels[10:15, 20:30] = 4, 9
    image = np.random.default_rng(0).integers(0, 255, (2, 20, 30)).astype(np.uint8)
    write_labels(tmp_path / "labels" / "a.tif", labels, "YX", (0.5, 0.25), "um")
    write_image(tmp_path / "images" / "a.tif", image, "CYX")
    return tmp_path, labels, image


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_object_in_micrometres(embedseg, files) -> None:
    folder, _, image = files
    ended = embedseg(
        "measure", folder / "labels/a.tif", "--image", folder / "images/a.tif", "--output", folder / "t.csv"
    )
    assert ended.status == 0, ended.err
    assert "2 objects measured" in ended.out
    first, second = rows(folder / "t.csv")
    assert (first["label"], second["label"]) == ("4", "9")
    assert float(first["area_um2"]) == 20 * 0.125
    assert float(first["centroid_y_um"]) == 3.5 * 0.5
    assert float(first["centroid_x_um"]) == 5 * 0.25
    assert float(second["intensity_mean_1"]) == pytest.approx(image[1, 10:15, 20:30].mean())
    assert (first["touches_border"], second["touches_border"]) == ("False", "True")


def test_parquet_holds_the_same(embedseg, files) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder, *_ = files
    for name in ("t.csv", "t.parquet"):
        assert (
            embedseg("measure", folder / "labels/a.tif", "--output", folder / name, "--columns", "solidity").status == 0
        )
    table = pandas.read_parquet(folder / "t.parquet")
    pandas.testing.assert_frame_equal(table, pandas.read_csv(folder / "t.csv"), check_dtype=False)
    assert table["solidity"].tolist() == [1, 1]


def test_folders_give_one_table(embedseg, files) -> None:
    folder, labels, image = files
    write_labels(folder / "labels" / "b.tif", labels * (labels == 9), "YX")
    write_image(folder / "images" / "b.tif", image, "CYX")
    ended = embedseg("measure", folder / "labels", "--image", folder / "images", "--output", folder / "t.csv")
    assert ended.status == 0, ended.err
    assert [(row["image"], row["label"]) for row in rows(folder / "t.csv")] == [
        ("a.tif", "4"),
        ("a.tif", "9"),
        ("b.tif", "9"),
    ]


def test_labels_and_images_may_be_ome_zarr(embedseg, files) -> None:
    folder, *_ = files
    words = ("--format", "ome-zarr", "--output", folder / "a.ome.zarr")
    assert embedseg("export", folder / "labels/a.tif", *words).status == 0
    for labels, table in (("labels/a.tif", "t.csv"), ("a.ome.zarr", "z.csv")):
        ended = embedseg("measure", folder / labels, "--image", folder / "a.ome.zarr", "--output", folder / table)
        assert ended.status == 0, ended.err
    assert rows(folder / "z.csv") == rows(folder / "t.csv")


def test_scores_come_from_the_table_beside(embedseg, files) -> None:
    folder, *_ = files
    (folder / "labels" / "a.csv").write_text("image,label,score,size\na.tif,4,0.9312,20\na.tif,9,0.8000,51\n")
    ended = embedseg("measure", folder / "labels/a.tif", "--output", folder / "t.csv")
    assert "scores of 1 of 2 objects are those in a.csv" in ended.out
    assert [row["score"] for row in rows(folder / "t.csv")] == ["0.9312", "nan"]
    # A sign that begins comments elsewhere.
    (folder / "labels" / "a.csv").write_text("image,label,score,size\na #1.tif,4,0.9312,20\na #1.tif,9,0.8000,50\n")
    assert "scores of 2 of 2" in embedseg("measure", folder / "labels/a.tif", "--output", folder / "u.csv").out


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.zeros((5, 5), np.uint8), [], "holds no objects"),
        (np.ones((5, 5), np.float32), [], "whole numbers stored as float32"),
        (np.ones((5, 6), np.uint8), ["--image", "images/a.tif"], "the labels have"),
        (np.ones((5, 5), np.uint8), ["--output", "t.xlsx"], "choose one of these endings"),
        (np.ones((5, 5), np.uint8), ["--output", "images/a.tif"], "choose one of these endings"),
        (np.ones((5, 5), np.uint8), ["--output", "old.csv"], "exists already"),
        (np.ones((5, 5), np.uint8), ["--columns", "colour"], "no column 'colour'"),
        (np.ones((5, 5), np.uint8), ["--spacing", "1,1,1"], "--spacing needs one number"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(embedseg, files, monkeypatch, labels, options, words) -> None:
    folder, *_ = files
    monkeypatch.chdir(folder)
    (folder / "old.csv").write_text("kept")
    tifffile.imwrite(folder / "bad.tif", labels, photometric="minisblack")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    options = options if "--output" in options else [*options, "--output", "t.csv"]
    ended = embedseg("measure", "bad.tif", *options)
    assert ended.status == 1
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_large_stores_are_measured_in_blocks(embedseg, files, monkeypatch) -> None:
    folder, labels, image = files
    write_store(folder / "image.ome.zarr", image, "cyx", chunk=8)
    embedseg("export", folder / "labels/a.tif", "--format", "ome-zarr", "--output", folder / "labels.ome.zarr")
    (folder / "labels.csv").write_text("label,score,size\n9,0.5,50\n4,0.7500,20\n")
    words = ("measure", folder / "labels.ome.zarr", "--image", folder / "image.ome.zarr", "--columns", "surface")
    assert embedseg(*words, "--output", folder / "whole.csv").status == 0
    monkeypatch.setattr(label_files, "WHOLE", 0)
    monkeypatch.setattr(blocks, "MEMORY", 600)
    ended = embedseg(*words, "--output", folder / "blocks.csv")
    assert ended.status == 0, ended.err
    assert "20 x 30 pixels are measured in" in ended.out
    assert (folder / "blocks.csv").read_text() == (folder / "whole.csv").read_text()
    assert [row["score"] for row in rows(folder / "blocks.csv")] == ["0.75", "0.5"]
    # A TIFF that can be read in parts is.
    tifffile.imwrite(folder / "tiles.tif", np.pad(labels, 40), tile=(16, 16), compression="zlib")
    ended = embedseg("measure", folder / "tiles.tif", "--output", folder / "tiles.csv")
    assert "100 x 110 pixels are measured in" in ended.out
    assert [row["num_pixels"] for row in rows(folder / "tiles.csv")] == ["20", "50"]
    tifffile.imwrite(folder / "empty.tif", np.zeros((64, 64), np.uint8), tile=(16, 16))
    ended = embedseg("measure", folder / "empty.tif", "--output", folder / "empty.csv")
    assert ended.status == 1
    assert "holds no objects" in ended.err
    assert not (folder / "empty.csv").exists()


def test_all_frames_of_a_large_file_are_measured_however_they_are_stored(embedseg, files, monkeypatch) -> None:
    folder, labels, _ = files
    monkeypatch.setattr(label_files, "WHOLE", 0)
    with tifffile.TiffWriter(folder / "pages.tif") as tif:
        for frame in (labels, labels[::-1]):
            tif.write(frame)
    assert embedseg("measure", folder / "pages.tif", "--output", folder / "pages.csv").status == 0
    assert len(rows(folder / "pages.csv")) == 4
    with tifffile.TiffWriter(folder / "preview.tif") as tif:
        tif.write(labels)
        tif.write(labels[:8, :8])
    ended = embedseg("measure", folder / "preview.tif", "--output", folder / "preview.csv")
    assert (ended.status, len(rows(folder / "preview.csv"))) == (0, 2)
    assert "left out: 8 x 8" in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("stored", "axes"),
    [({}, "TYX"), ({"imagej": True, "metadata": {"axes": "ZYX"}}, "TYX"), ({"imagej": True}, "TCYX")],
)
def test_an_image_that_does_not_name_time_has_the_axes_of_its_labels(embedseg, tmp_path, stored, axes) -> None:
    labels = np.zeros((5, 20, 30), np.int32)
    labels[:, 2:6, 3:8] = 1
    image = np.random.default_rng(0).integers(0, 255, (5, *[2] * ("C" in axes), 20, 30)).astype(np.uint8)
    # Four dots per pixel of a micrometre each: what the file does not name has a pixel size.
    tifffile.imwrite(tmp_path / "m.tif", image, resolution=(4e4, 4e4), resolutionunit="CENTIMETER", **stored)
    write_labels(tmp_path / "l.tif", labels, "TYX")
    words = ("measure", tmp_path / "l.tif", "--image", tmp_path / "m.tif", "--output", tmp_path / "t.csv")
    ended = embedseg(*words)
    assert ended.status == 0, ended.err
    found = rows(tmp_path / "t.csv")
    assert [row["frame"] for row in found] == list("01234")
    assert float(found[3]["area_um2"]) == pytest.approx(20 / 16)
    last = image[3, 1] if "C" in axes else image[3]
    name = "intensity_mean_1" if "C" in axes else "intensity_mean_0"
    assert float(found[3][name]) == pytest.approx(last[2:6, 3:8].mean())
    assert "guessed" not in ended.out + ended.err
    assert ("taken for TYX" in ended.err) == ("metadata" in stored)


def test_axes_that_neither_file_names_are_told(embedseg, tmp_path) -> None:
    labels = np.zeros((5, 20, 30), np.uint16)
    labels[:, 2:6, 3:8] = 1
    for name in ("l.tif", "m.tif"):
        tifffile.imwrite(tmp_path / name, labels, photometric="minisblack")
    ended = embedseg("measure", tmp_path / "l.tif", "--image", tmp_path / "m.tif", "--output", tmp_path / "t.csv")
    assert ended.status == 0, ended.err
    assert "axes of l.tif, shape (5, 20, 30), were guessed to be ZYX; see --axes" in ended.out


def test_an_image_without_objects_is_one_of_many(embedseg, files) -> None:
    folder, labels, _ = files
    write_labels(folder / "labels" / "b.tif", labels * 0, "YX")
    ended = embedseg("measure", folder / "labels", "--output", folder / "t.csv")
    assert ended.status == 0, ended.err
    assert "b.tif: 0 objects" in ended.out
    assert [row["image"] for row in rows(folder / "t.csv")] == ["a.tif", "a.tif"]


def test_what_is_not_known_of_pixels_is_told(embedseg, files) -> None:
    folder, labels, image = files
    bright = image[0].astype(np.float32)
    bright[2, 3] = np.nan
    write_image(folder / "nan.tif", bright, "YX")
    tifffile.imwrite(
        folder / "odd.tif", labels.astype(np.uint16), imagej=True, resolution=(2, 2), metadata={"unit": "furlong"}
    )
    ended = embedseg("measure", folder / "odd.tif", "--image", folder / "nan.tif", "--output", folder / "t.csv")
    assert ended.status == 0
    assert "1 object of no known brightness" in ended.err
    assert "gives its pixel size in 'furlong', no known unit" in ended.out + ended.err
    assert [row["intensity_mean_0"] == "nan" for row in rows(folder / "t.csv")] == [True, False]
