"""Files of Fiji and QuPath dropped on napari, and saved from it."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.viewer.files.annotations import get_reader
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED

PLUGIN = "embedseg-napari"


@pytest.mark.parametrize("name", ["a.zip", "a.geojson", "a.json", "b.json"])
def test_annotations_lie_on_their_image(name, viewer, tmp_path) -> None:
    labels = np.zeros((3, 20, 30), int)
    labels[1, 2:6, 3:9], labels[2, 8:12, 20:] = 7, 3
    es.export_labels(labels, tmp_path / name, {"a.zip": "imagej", "a.json": "coco"}.get(name, "geojson"))
    image = viewer.add_image(np.zeros(labels.shape), scale=(2, 0.5, 0.5), translate=(0, 5, 6), units=("um",) * 3)
    (layer,) = viewer.open(tmp_path / name, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.scale.tolist() == image.scale.tolist()
    assert layer.translate.tolist() == image.translate.tolist()
    assert layer.units == image.units


def test_they_lie_on_no_seed_map_or_preview(viewer, tmp_path) -> None:
    labels = np.zeros((20, 30), int)
    labels[2:6, 3:9] = 7
    es.export_labels(labels, tmp_path / "a.zip", "imagej")
    image = viewer.add_image(np.zeros(labels.shape), name="cells")
    seeds = viewer.add_image(np.zeros((9, 9)), translate=(4, 5), metadata={RESULT: FOUND, SEGMENTED: "x"})
    for active in (viewer.add_labels(np.ones((9, 9), int), metadata={RESULT: FOUND}), seeds):
        viewer.layers.selection.active = active
        (layer,) = viewer.open(tmp_path / "a.zip", plugin=PLUGIN)
        np.testing.assert_array_equal(layer.data, labels)
        assert layer.translate.tolist() == image.translate.tolist()


def test_without_an_image_a_sentence_says_so(viewer, tmp_path) -> None:
    es.export_labels(np.ones((4, 4), int), tmp_path / "a.zip", "imagej")
    with pytest.raises(Exception, match="open the image that was annotated first"):
        viewer.open(tmp_path / "a.zip", plugin=PLUGIN)


def test_other_zips_are_left_to_others(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("image.tif", b"")
    assert get_reader(str(tmp_path / "a.zip")) is None
    (tmp_path / "b.zip").write_bytes(b"")
    assert get_reader(str(tmp_path / "b.zip")) is None


@pytest.mark.parametrize("content", ["{}", "[]", '[{"type": "shapes"}]', "{", '{"name": "x"}'])
def test_other_json_is_left_to_others(content, tmp_path) -> None:
    (tmp_path / "a.json").write_text(content)
    assert get_reader(str(tmp_path / "a.json")) is None


@pytest.mark.parametrize("name", ["a.zip", "a.geojson", "a.json"])
def test_labels_are_saved_by_ending(name, viewer, tmp_path) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (12, 15))
    layer = viewer.add_labels(labels)
    assert layer.save(str(tmp_path / name), plugin=PLUGIN)
    np.testing.assert_array_equal(es.import_labels(tmp_path / name, labels.shape), labels)


def test_surfaces_are_in_micrometres(viewer, tmp_path) -> None:
    trimesh = pytest.importorskip("trimesh")
    labels = np.zeros((6, 8, 8), int)
    labels[1:5, 2:6, 2:6] = 1
    layer = viewer.add_labels(labels, scale=(2000, 1000, 1000), units=("nm",) * 3)
    layer.save(str(tmp_path / "a.stl"), plugin=PLUGIN)
    np.testing.assert_allclose(trimesh.load_mesh(tmp_path / "a.stl").extents, [4, 4, 8])


@pytest.mark.parametrize("name", ["a.zip", "a.geojson", "a.json", "a.zarr", "a.ply", "a.stl"])
def test_labels_that_keep_a_place_for_channels_are_saved_by_ending(name, viewer, tmp_path) -> None:
    labels = np.zeros((6, 12, 15), int)
    labels[1:5, 2:6, 3:9] = 1
    layer = viewer.add_labels(labels[:, None], axis_labels="zcyx", scale=(2, 1, 0.5, 0.5), units=("um",) * 4)
    assert layer.save(str(tmp_path / name), plugin=PLUGIN)
    if name.endswith(("zip", "json")):
        np.testing.assert_array_equal(es.import_labels(tmp_path / name, labels.shape), labels)
    elif name == "a.zarr":
        image = open_image(tmp_path / name)
        assert (image.axes, image.spacing) == ("ZYX", (2, 0.5, 0.5))
    else:
        trimesh = pytest.importorskip("trimesh")
        np.testing.assert_allclose(trimesh.load_mesh(tmp_path / name).extents, [3, 2, 8])


@pytest.mark.parametrize("name", ["a.zip", "a.tif", "a.zarr"])
def test_painted_background_is_no_object_of_a_file(name, viewer, tmp_path) -> None:
    layers = AnnotationLayers(viewer)
    layers.watch(viewer.add_image(np.zeros((20, 30))))
    layers.make()
    layers.labels.data[2:6, 3:9], layers.labels.data[10:, 10:] = 1, BACKGROUND
    assert layers.labels.save(str(tmp_path / name), plugin=PLUGIN)
    if name == "a.zip":
        saved = es.import_labels(tmp_path / name, (20, 30))
    else:
        saved = read_image(tmp_path / name, labels=True).array
    np.testing.assert_array_equal(saved, np.where(layers.labels.data == 1, 1, 0))
    assert BACKGROUND in layers.labels.data


@pytest.mark.parametrize("name", ["a.zip", "a.geojson", "a.json"])
def test_labels_of_a_part_are_saved_on_their_image(name, viewer, tmp_path) -> None:
    image = viewer.add_image(np.zeros((5, 20, 30)), axis_labels="tyx", scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    part = np.zeros((2, 9, 8), int)
    part[0, 2:5, 1:4], part[1, 3:9, 2:8] = 3, 5
    labels = viewer.add_labels(
        part, name="part", axis_labels="tyx", scale=image.scale, translate=(2, 3 + 0.5 * 7, 4 + 0.5 * 11),
        metadata={RESULT: FOUND, SEGMENTED: str(image.unique_id)},
    )  # fmt: skip
    labels.save(str(tmp_path / name), plugin=PLUGIN)
    whole = np.zeros((5, 20, 30), int)
    whole[2:4, 7:16, 11:19] = part
    np.testing.assert_array_equal(es.import_labels(tmp_path / name, whole.shape, "TYX"), whole)


def test_planes_of_one_object_each_are_saved_as_one_image(viewer, tmp_path) -> None:
    planes = np.zeros((2, 20, 30), np.int32)
    planes[0, 4:8], planes[1, :, 10:14] = 1, 2
    place = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um"), "axis_labels": "nyx"}
    layer = viewer.add_labels(planes, name="worms", **place)
    layer.save(str(tmp_path / "a.json"), plugin=PLUGIN)
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written["images"]) == 1
    assert sorted(one["area"] for one in written["annotations"]) == [80, 120]
    with pytest.raises(DataError, match="share pixels"):
        layer.save(str(tmp_path / "a.ome.zarr"), plugin=PLUGIN)
