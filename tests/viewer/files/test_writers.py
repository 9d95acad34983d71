"""Layers to files and back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.folders import FilePair
from embedseg_napari.core.evaluation.label_pair import read_pair
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.exchange import ExportJob, export_file
from embedseg_napari.viewer.file_metadata import watch_layers
from embedseg_napari.viewer.files.writers import file_names, write_labels_layer, write_layers

UM = ("micrometer",)


@pytest.mark.parametrize(
    ("axes", "shape", "scale", "spacing"),
    [
        ("yx", (8, 9), (0.5, 0.25), (0.5, 0.25)),
        ("zyx", (4, 8, 9), (2.0, 0.5, 0.25), (2.0, 0.5, 0.25)),
        ("tyx", (4, 8, 9), (1.0, 0.5, 0.25), (0.5, 0.25)),
    ],
)
def test_labels_keep_ids_axes_and_pixel_size(layer_viewer, tmp_path, axes, shape, scale, spacing):
    ids = np.zeros(shape, np.int32)
    ids[..., 2:5, 3:6] = 70_000
    layer = layer_viewer.add_labels(ids, scale=scale, units=UM * len(shape), axis_labels=tuple(axes))
    path = tmp_path / "labels.tif"
    assert layer.save(str(path), plugin="embedseg-napari") == [str(path)]
    picture = read_image(path)
    np.testing.assert_array_equal(picture.array, ids)
    assert picture.array.dtype == np.uint32
    assert picture.axes == axes.upper()
    assert picture.unit == "um"
    np.testing.assert_allclose(picture.spacing, spacing, rtol=1e-6)


@pytest.mark.parametrize("axes", ["xy", "zxy", "yxz", "txy", "yzx"])
def test_labels_lie_on_their_image_whatever_its_axes(layer_viewer, tmp_path, axes):
    shape = (5, 8, 9)[-len(axes) :]
    ids = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    scale = [{"x": 0.25, "y": 0.5, "z": 2.0, "t": 1.0}[letter] for letter in axes]
    place = {"scale": scale, "units": ["second" if letter == "t" else "micrometer" for letter in axes]}
    labels = layer_viewer.add_labels(ids, name="alone", axis_labels=tuple(axes), **place)
    labels.save(str(tmp_path / "alone.tif"), plugin="embedseg-napari")
    layer_viewer.add_image(ids, name="image", axis_labels=tuple(axes), **place)
    layer_viewer.layers.save(str(tmp_path / "out"), plugin="embedseg-napari")
    for path in (tmp_path / "alone.tif", tmp_path / "out" / "alone.tif", tmp_path / "out" / "image.tif"):
        picture = read_image(path)
        np.testing.assert_array_equal(picture.array, ids)
        # Each place keeps its pixel size, under the letter that it has in a TIFF.
        sizes = dict(zip(spatial_axes(picture.axes), picture.spacing, strict=True))
        for letter, size in zip(picture.axes, scale, strict=True):
            assert letter == "T" or sizes[letter] == pytest.approx(size)


@pytest.mark.parametrize("ending", ["tif", "ome.tif"])
@pytest.mark.parametrize("axes", ["nyx", "nzyx"])
@pytest.mark.parametrize("n", [3, 5])
def test_planes_of_one_object_each_come_back_as_such(layer_viewer, tmp_path, axes, n, ending):
    masks = np.zeros((n, 20, 30) if axes == "nyx" else (n, 4, 20, 30), np.uint8)
    for plane in range(n):
        masks[plane, ..., 3:9, 2 * plane : 2 * plane + 5] = 1
    names, n_space = tuple(axes), len(axes) - 1
    place = {"scale": (1, *(0.5,) * n_space), "units": ("pixel", *UM * n_space)}
    layer = layer_viewer.add_labels(masks, axis_labels=names, **place)
    path = tmp_path / f"worms.{ending}"
    layer.save(str(path), plugin="embedseg-napari")
    watch_layers(layer_viewer)
    (again,) = layer_viewer.open(str(path), plugin="napari", layer_type="labels")
    np.testing.assert_array_equal(again.data, masks)
    assert tuple(again.axis_labels) == names
    np.testing.assert_allclose(again.scale, layer.scale)
    # Commands know it, too.
    assert drain(export_file(ExportJob(path, "coco", tmp_path / "a.json"), never)) == n
    (pair,), _ = read_pair(FilePair("worms", path, path))
    assert pair.are_planes


def test_planes_of_one_object_each_in_frames_are_no_volumes(layer_viewer, tmp_path):
    layer = layer_viewer.add_labels(np.ones((2, 3, 8, 9), int), axis_labels=("t", "n", "y", "x"))
    layer.save(str(tmp_path / "worms.tif"), plugin="embedseg-napari")
    assert read_image(tmp_path / "worms.tif").axes == "TCYX"


def test_labels_without_metadata_get_none(tmp_path):
    path = tmp_path / "labels.tif"
    write_labels_layer(str(path), np.ones((8, 9), int), {"scale": (1, 1), "units": ("pixel", "pixel")})
    assert read_image(path).spacing is None


def test_several_layers_become_a_folder_of_files(layer_viewer, tmp_path):
    place = {"scale": (0.5, 0.5), "units": UM * 2, "axis_labels": ("y", "x")}
    image = np.arange(72, dtype=np.uint16).reshape(8, 9)
    layer_viewer.add_image(image, name="a/b", **place)
    layer_viewer.add_labels(np.ones((8, 9), np.int64), name="a/b", **place)
    layer_viewer.add_points([[1.0, 2.0], [3.0, 4.0]], name="seeds", features={"score": [0.5, 0.25]}, **place)
    folder = tmp_path / "out"
    written = layer_viewer.layers.save(str(folder), plugin="embedseg-napari")
    assert sorted(path.rsplit("/", 1)[-1] for path in written) == ["a_b [1].tif", "a_b.tif", "seeds.csv"]
    np.testing.assert_array_equal(read_image(folder / "a_b.tif").array, image)
    np.testing.assert_allclose(read_image(folder / "a_b [1].tif").spacing, (0.5, 0.5))
    with (folder / "seeds.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["axis-0"], row["axis-1"], row["score"]) for row in rows] == [
        ("1.0", "2.0", "0.5"),
        ("3.0", "4.0", "0.25"),
    ]
    (points,) = layer_viewer.open(str(folder / "seeds.csv"), plugin="napari")
    np.testing.assert_allclose(points.data, [[1, 2], [3, 4]])


def test_channel_names_of_images_are_kept(tmp_path):
    meta = {
        "name": "cells",
        "scale": (1.0, 0.5, 0.5),
        "units": ("pixel", *UM * 2),
        "axis_labels": ("c", "y", "x"),
        "metadata": {"channel_names": ["red", "green"]},
    }
    (path,) = write_layers(str(tmp_path / "out"), [(np.ones((2, 8, 9), np.float16), meta, "image")])
    picture = read_image(path)
    assert picture.channel_names == ("red", "green")
    assert picture.array.dtype == np.float32


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50, 4), (2, 40, 50, 3)])
def test_colours_of_layers_are_kept(layer_viewer, tmp_path, rng, dtype, shape):
    colours, n = rng.integers(0, 200, shape).astype(dtype), len(shape) - 1
    place = {"scale": (1.0, 0.5, 0.25)[-n:], "units": ("pixel", *UM * 2)[-n:], "axis_labels": ("t", "y", "x")[-n:]}
    layer_viewer.add_image(colours, name="tissue", rgb=True, **place)
    layer_viewer.layers.save(str(tmp_path / "out"), plugin="embedseg-napari")
    picture = read_image(tmp_path / "out" / "tissue.tif")
    assert (picture.axes, picture.is_colour) == ("TYX"[-n:] + "C", True)
    assert (picture.spacing, picture.unit) == ((0.5, 0.25), "um")
    np.testing.assert_array_equal(picture.array, colours)
    (layer,) = layer_viewer.open(str(tmp_path / "out" / "tissue.tif"), plugin="napari")
    watch_layers(layer_viewer)
    assert layer.rgb
    np.testing.assert_array_equal(layer.data, colours)
    np.testing.assert_allclose(layer.scale[-2:], (0.5, 0.25))


@pytest.mark.parametrize("place", [{}, {"scale": (0.5, 0.25), "units": UM * 2}])
@pytest.mark.parametrize("n", [3, 4])
def test_colours_of_a_picture_whose_axes_have_no_names_are_kept(layer_viewer, tmp_path, rng, n, place):
    colours = rng.integers(0, 200, (40, 50, n)).astype(np.uint8)
    layer_viewer.add_image(colours, name="tissue", rgb=True, **place)
    layer_viewer.layers.save(str(tmp_path / "out"), plugin="embedseg-napari")
    picture = read_image(tmp_path / "out" / "tissue.tif")
    assert (picture.axes, picture.is_colour) == ("YXC", True)
    assert picture.spacing == (place["scale"] if place else None)
    np.testing.assert_array_equal(picture.array, colours)


def test_nothing_is_overwritten_in_a_folder(tmp_path):
    layers = [(np.ones((8, 9), np.uint8), {"name": name}, "labels") for name in "ab"]
    (tmp_path / "b.tif").write_bytes(b"precious")
    with pytest.raises(DataError, match=r"b\.tif: exists already"):
        write_layers(str(tmp_path), layers)
    assert (tmp_path / "b.tif").read_bytes() == b"precious"
    assert not (tmp_path / "a.tif").exists()


def test_file_names_are_legal_and_differ():
    assert file_names(["a:b", "a/b", "A_B", " .. ", "x"]) == ["a_b", "a_b-2", "A_B-3", "layer", "x"]


def test_a_layer_that_cannot_be_written_is_named_and_the_others_are_written(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("embedseg_napari.viewer.files.writers.show_warning", said.append)
    good = (np.ones((8, 9), np.uint16), {"name": "good"}, "image")
    bad = (np.ones((8, 9), complex), {"name": "bad"}, "image")
    negative = (np.full((8, 9), -1), {"name": "negative"}, "labels")
    assert write_layers(str(tmp_path / "out"), [bad, good, negative]) == [str(tmp_path / "out" / "good.tif")]
    assert said
    assert "bad (" in said[0]
    assert "negative (" in said[0]
    with pytest.raises(DataError, match="nothing was written: bad"):
        write_layers(str(tmp_path / "none"), [bad])


def test_frames_keep_their_interval_and_a_name_of_ome_makes_one(tmp_path):
    meta = {"scale": (2.0, 0.5, 0.5), "units": ("minute", "micrometer", "micrometer"), "axis_labels": ("t", "y", "x")}
    path = tmp_path / "a.ome.tif"
    write_labels_layer(str(path), np.ones((3, 8, 9), np.uint16), meta)
    picture = read_image(path)
    assert (picture.axes, picture.interval, picture.spacing) == ("TYX", 120.0, (0.5, 0.5))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome


def test_all_layers_of_a_tracked_movie_are_saved(layer_viewer, tmp_path):
    layer_viewer.add_labels(np.ones((2, 8, 9), int), name="cells", axis_labels=("t", "y", "x"))
    layer_viewer.add_shapes([np.array([[0, 1, 1], [0, 1, 5], [0, 5, 5]])], shape_type="polygon", name="area")
    layer_viewer.add_shapes(name="empty", ndim=3)
    layer_viewer.add_tracks(np.array([[7, 0, 1, 1], [7, 1, 2, 3]]), name="tracks")
    # Without a plugin's name napari looks for one that takes all of them.
    written = layer_viewer.layers.save(str(tmp_path / "all"))
    assert sorted(Path(path).name for path in written) == ["area.csv", "cells.tif", "empty.csv", "tracks.csv"]
    with (tmp_path / "all" / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["track"], row["axis-0"], row["axis-2"]) for row in rows] == [("7", "0.0", "1.0"), ("7", "1.0", "3.0")]
    (area,) = layer_viewer.open(tmp_path / "all" / "area.csv")
    assert len(area.data[0]) == 3
