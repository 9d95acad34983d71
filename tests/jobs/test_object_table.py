"""One table of objects, wherever it is shown or written."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from embedseg_napari.core.clustering.whole_objects import WholeObject
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.jobs.object_table import as_csv, object_table, read_tables


@pytest.fixture
def volume() -> Segmentation:
    """Two objects; the second one's seed points off its centre."""
    labels = np.zeros((4, 5, 6), np.int32)
    labels[0, 0, :3] = 1
    labels[2, 2:4, 2:4] = 2
    centers = np.array([[0, 0, 1], [2, 2.25, 2.5]], np.float32)
    return Segmentation(labels, centers, np.array([0.95, 0.5], np.float32), PredictionConfig())


def test_a_row_per_object(volume) -> None:
    head = "image,label,score,size,center_z,center_y,center_x,centroid_z,centroid_y,centroid_x"
    assert as_csv([object_table(volume, "ZYX", image="a, b.tif")]).splitlines() == [
        head,
        '"a, b.tif",1,0.9500,3,0.0000,0.0000,1.0000,0.0000,0.0000,1.0000',
        '"a, b.tif",2,0.5000,4,2.0000,2.2500,2.5000,2.0000,2.5000,2.5000',
    ]


def test_places_are_those_of_the_whole_image(volume) -> None:
    film = Segmentation.stack([volume, volume])
    table = object_table(film, "TZYX", (7, 0, 100, 200))
    assert table["frame"].tolist() == [7, 7, 8, 8]
    assert table["label"].tolist() == [1, 2, 3, 4]
    assert table["centroid_y"].tolist() == [100, 102.5] * 2
    assert table["center_x"].tolist() == [201, 202.5] * 2


def test_objects_that_share_pixels_have_their_whole_size_and_centre(volume) -> None:
    turned = volume.turned("XYZ")
    first = WholeObject(1, (slice(0, 1), slice(0, 1), slice(0, 5)), np.ones((1, 1, 5), bool))
    second = WholeObject(2, (slice(2, 3), slice(2, 4), slice(1, 4)), np.ones((1, 2, 3), bool))
    table = object_table(turned, "XYZ", whole=iter([first, second]))
    assert table["size"].tolist() == [5, 6]
    assert [table[f"centroid_{letter}"].tolist() for letter in "zyx"] == [[0, 2], [0, 2.5], [2, 2]]


def test_images_of_several_kinds_share_a_table(volume) -> None:
    plane = Segmentation(volume.labels[2] // 2, np.array([[2.5, 2.5]], np.float32), np.ones(1), PredictionConfig())
    nothing = Segmentation(np.zeros((4, 4), np.int32), np.zeros((0, 2), np.float32), np.zeros(0), PredictionConfig())
    tables = [
        object_table(plane, "YX", image="plane.tif"),
        object_table(nothing, "YX", image="nothing.tif"),
        object_table(Segmentation.stack([volume, volume]), "TZYX", image="film.tif"),
    ]
    rows = list(csv.DictReader(as_csv(tables).splitlines()))
    assert [row["image"] for row in rows] == ["plane.tif"] + ["film.tif"] * 4
    assert [row["frame"] for row in rows] == ["", "0", "0", "1", "1"]
    assert [row["centroid_z"] for row in rows] == ["", "0.0000", "2.0000", "0.0000", "2.0000"]


def test_a_table_that_was_read_is_written_as_it_was(tmp_path, volume) -> None:
    text = as_csv([object_table(volume, "ZYX", image="a, b.ome.tif"), object_table(volume, "ZYX", image="c")])
    (tmp_path / "a.csv").write_text(text)
    tables = read_tables(tmp_path / "a.csv")
    assert list(tables) == ["a, b.ome", "c"]
    assert as_csv(list(tables.values())) == text
    (tmp_path / "a.csv").write_text(text.splitlines()[0])
    assert read_tables(tmp_path / "a.csv") == {}


@pytest.mark.parametrize(
    "table",
    [
        b"label,score\n1,2\n",
        b"label,score,size,center_x\n1,1,1,1\n",
        b"image,label,score,size,center_x\n\xff,1,1,1,1\n",
        b"image,label,score,size,center_x\na,1,1,1,1\nb,1,1\n",
        b"image,label,score,size,center_x\na,1,1,1,1,mine\n",
        b"image,label,score,size,center_x\n,1,1,1,1\n",
        b"",
        None,
    ],
)
def test_of_files_that_are_no_such_tables_nothing_is_read(tmp_path, table) -> None:
    if table is not None:
        (tmp_path / "a.csv").write_bytes(table)
    assert read_tables(tmp_path / "a.csv") is None
