"""What the Measure panel writes of objects that cross, and of planes."""

from __future__ import annotations

import csv
import json
import shlex
import threading

import numpy as np
import pytest
import tifffile
from measure_steps import measure
from qtpy.QtWidgets import QApplication

from embedseg_napari.cli import main
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.viewer import provenance
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder
from embedseg_napari.viewer.layers import FOUND, RESULT, WHOLE_OF
from embedseg_napari.viewer.measure import files

WAIT = 60_000


@pytest.fixture
def crossing(viewer, open_panel):
    """The panel, and labels of two bars that cross, which two further layers show whole."""
    first, second = np.zeros((20, 30), np.int32), np.zeros((20, 30), np.int32)
    first[8:12], second[:, 9:13] = 1, 2
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}
    labels = viewer.add_labels(np.maximum(first, second), name="worms labels", **place)
    for number, group in enumerate((first, second), 1):
        metadata = {RESULT: FOUND, WHOLE_OF: str(labels.unique_id)}
        viewer.add_labels(group, name=f"worms whole objects {number}", metadata=metadata, **place)
    panel = open_panel("EmbedSeg: Measure")
    panel.labels.choose(labels)
    return panel


def export(panel, qtbot, path, kind):
    panel.files.write_objects(path, kind)
    qtbot.waitUntil(lambda: not panel.files.run.is_active and "Saved" in panel.controls.status.text(), timeout=WAIT)
    return panel.controls.status.text()


@pytest.mark.parametrize("chosen", ["worms labels", "worms whole objects 2"])
def test_objects_that_are_shown_whole_are_exported_whole(viewer, crossing, qtbot, tmp_path, chosen):
    crossing.labels.choose(viewer.layers[chosen])
    said = export(crossing, qtbot, tmp_path / "a.geojson", "geojson")
    assert "whole where they cross, as in the 2 layers" in said
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    areas = {one["properties"]["label"]: one["properties"]["measurements"]["area_um2"] for one in features}
    assert areas == {1: 4 * 30 * 0.25, 2: 20 * 4 * 0.25}


def test_a_format_of_one_number_a_pixel_says_so(viewer, crossing, qtbot, tmp_path):
    said = export(crossing, qtbot, tmp_path / "a.ome.tif", "ome-tiff")
    assert "one number for each pixel" in said
    labels = viewer.layers["worms labels"].data
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif", labels=True).array, labels)


def test_without_such_layers_the_labels_are_exported(viewer, crossing, qtbot, tmp_path):
    for number in (1, 2):
        viewer.layers.remove(f"worms whole objects {number}")
    said = export(crossing, qtbot, tmp_path / "a.geojson", "geojson")
    assert "whole" not in said
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    areas = {one["properties"]["label"]: one["properties"]["measurements"]["area_um2"] for one in features}
    assert areas == {1: 4 * 26 * 0.25, 2: 20 * 4 * 0.25}


@pytest.fixture
def held(monkeypatch):
    """Let exports wait before they read anything, until this is set."""
    go_on, write = threading.Event(), files.export_labels

    def wait_and_write(*words, **settings):
        go_on.wait(WAIT / 1000)
        write(*words, **settings)

    monkeypatch.setattr(files, "export_labels", wait_and_write)
    yield go_on
    go_on.set()


@pytest.mark.parametrize("kind", ["ome-tiff", "geojson"])
def test_what_is_painted_while_objects_are_exported_is_not_in_the_file(viewer, crossing, qtbot, tmp_path, held, kind):
    path = tmp_path / {"ome-tiff": "a.ome.tif", "geojson": "a.geojson"}[kind]
    before = viewer.layers["worms labels"].data.copy()
    crossing.files.write_objects(path, kind)
    for layer in viewer.layers:
        layer.data[:3, 20:] = 7
    held.set()
    qtbot.waitUntil(lambda: not crossing.files.is_busy, timeout=WAIT)
    if kind == "ome-tiff":
        np.testing.assert_array_equal(read_image(path, labels=True).array, before)
    else:
        assert {one["properties"]["label"] for one in json.loads(path.read_text())["features"]} == {1, 2}


def test_what_writes_objects_waits_for_what_is_being_written(viewer, open_panel, blobs, qtbot, tmp_path):
    viewer.add_labels(blobs(3)[1], name="objects", axis_labels="zyx")
    panel = open_panel("EmbedSeg: Measure")
    buttons = (panel.files.export, panel.files.surfaces)
    (tmp_path / "a folder.ome.tif").mkdir()
    for begin in (
        lambda: panel.files.write_objects(tmp_path / "a.ome.tif", "ome-tiff"),
        # Ends with an error.
        lambda: panel.files.write_objects(tmp_path / "a folder.ome.tif", "ome-tiff"),
        panel.files.make_surfaces,
    ):
        assert all(one.isEnabled() for one in buttons)
        begin()
        assert not any(one.isEnabled() for one in buttons)
        # Another layer that is chosen changes nothing.
        panel._show_state()
        assert not any(one.isEnabled() for one in buttons)
        qtbot.waitUntil(lambda: all(one.isEnabled() for one in buttons), timeout=WAIT)


@pytest.mark.parametrize("axes", ["tyx", "zyx"])
def test_a_single_plane_is_measured_by_its_command(viewer, open_panel, monkeypatch, tmp_path, axes):
    first = np.zeros((1, 20, 30), np.int32)
    first[0, 4:9, 5:12] = 3
    viewer.add_labels(first, name="a frame", axis_labels=axes, scale=(1, 0.5, 0.5), units=("pixel", "um", "um"))
    panel = open_panel("EmbedSeg: Measure")
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "frame.tif"), ""))
    panel.files.recipe.copy_command()
    assert panel.files.recipe.line.isHidden(), panel.files.recipe.line.text()
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(QApplication.clipboard().text())[1:])
    assert ended.value.code in (0, None)
    (row,) = csv.DictReader((tmp_path / "frame.measured.csv").read_text().splitlines())
    assert (row["label"], float(row["area_um2"])) == ("3", 5 * 7 * 0.25)


def test_objects_that_are_shown_whole_keep_what_a_model_knows_of_them(viewer, crossing, qtbot, tmp_path):
    labels = viewer.layers["worms labels"]
    found = Segmentation(labels.data.copy(), np.zeros((2, 2), np.float32), np.array([0.9, 0.8]), PredictionConfig())
    provenance.remember(labels, found, tmp_path)
    # What was changed by hand is not in the layers of whole objects.
    labels.data[:3, 20:] = 2
    labels.refresh()
    export(crossing, qtbot, tmp_path / "a.geojson", "geojson")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    known = {one["properties"]["label"]: one["properties"]["measurements"] for one in features}
    assert {label: (one["score"], one["touching_neighbours"]) for label, one in known.items()} == {
        1: (0.9, 1),
        2: (0.8, 1),
    }
    # Without the labels that are cut, nothing says how many neighbours there are.
    crossing.labels.choose(viewer.layers["worms whole objects 1"])
    viewer.layers.remove(labels)
    export(crossing, qtbot, tmp_path / "b.geojson", "geojson")
    features = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert all("touching_neighbours" not in one["properties"]["measurements"] for one in features)
    assert [one["properties"]["measurements"]["area_um2"] for one in features] == [30.0, 20.0]


def test_measuring_says_that_objects_are_cut_where_layers_show_them_whole(viewer, crossing, qtbot):
    measure(crossing, qtbot)
    assert "Export… writes them whole" in crossing.controls.status.text()
    crossing.labels.choose(viewer.layers["worms whole objects 1"])
    measure(crossing, qtbot)
    assert "whole for" not in crossing.controls.status.text()


@pytest.fixture
def planes(viewer, open_panel, tmp_path):
    """The panel, and a stack of planes of one object each, opened from a folder with the image of that."""
    masks = np.zeros((3, 20, 30), np.uint8)
    masks[0, 8:12], masks[1, :, 9:13], masks[2, 15:18, 20:25] = 1, 1, 1
    for name, array in (("images", np.full((20, 30), 7, np.uint8)), ("masks", masks)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "worms.tif", array, photometric="minisblack")
    open_dataset_folder(viewer, tmp_path)
    panel = open_panel("EmbedSeg: Measure")
    panel.labels.choose(viewer.layers["worms masks"])
    return panel


@pytest.mark.parametrize("image", [None, "worms"])
def test_planes_of_one_object_each_are_measured_and_exported_as_one_image(viewer, planes, qtbot, tmp_path, image):
    assert planes.question.isHidden()
    planes.image.choose(image and viewer.layers[image])
    measure(planes, qtbot)
    assert planes.table["label"].tolist() == [1, 2, 3]
    assert planes.table["num_pixels"].tolist() == [120, 80, 15]
    assert "frame" not in planes.table
    assert planes.table.get("intensity_mean_0", np.array([7, 7, 7])).tolist() == [7, 7, 7]
    # The slider goes to the plane of an object that is chosen in the plot.
    labels = viewer.layers["worms masks"]
    in_hand = labels.selected_label
    planes.plot.selected.emit([1])
    assert viewer.dims.current_step[0] == 1
    assert "1 object selected" in planes.controls.status.text()
    # All have the same number in the layer: that of the plane in sight is meant.
    viewer.dims.set_point(0, 2)
    assert labels.selected_label == in_hand
    labels.selected_label = 2
    assert planes.controls.status.text().startswith("Object 3:")
    assert labels.get_color(1)[3] > 0.5
    assert labels.features.empty
    assert planes.color.isHidden()
    assert planes.files.open_table.isHidden()
    assert planes.files.surfaces.isHidden()
    export(planes, qtbot, tmp_path / "a.json", "coco")
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written["images"]) == 1
    assert sorted(one["area"] for one in written["annotations"]) == [15, 80, 120]
    export(planes, qtbot, tmp_path / "a.geojson", "geojson")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert {one["properties"]["label"]: one["properties"]["measurements"]["num_pixels"] for one in features} == {
        1: 120,
        2: 80,
        3: 15,
    }
    assert all("plane" not in one["geometry"] for one in features)


def test_planes_of_one_object_each_have_no_command_and_no_format_of_one_number_a_pixel(planes, qtbot, tmp_path):
    planes.files.write_objects(tmp_path / "a.ome.tif", "ome-tiff")
    qtbot.waitUntil(lambda: "one number for each pixel" in planes.controls.status.text(), timeout=WAIT)
    assert not (tmp_path / "a.ome.tif").exists()
    planes.files.recipe.copy_command()
    assert "planes of one object each" in planes.files.recipe.line.text()


def test_nothing_is_written_before_it_is_known_what_the_planes_are(viewer, open_panel, qtbot, tmp_path):
    masks = np.zeros((3, 20, 30), np.int32)
    masks[0, 8:12], masks[1, :, 9:13], masks[2, 15:18, 20:25] = 1, 2, 3
    labels = viewer.add_labels(masks, name="stack")
    panel = open_panel("EmbedSeg: Measure")
    assert "planes of stack" in panel.controls.status.text()
    assert not panel.files.export.isEnabled()
    assert not panel.files.surfaces.isEnabled()
    panel.question.buttons["N"].click()
    assert panel.question.isHidden()
    assert panel.files.export.isEnabled()
    export(panel, qtbot, tmp_path / "a.json", "coco")
    assert len(json.loads((tmp_path / "a.json").read_text())["images"]) == 1
    labels.axis_labels = ("t", "y", "x")
    export(panel, qtbot, tmp_path / "b.json", "coco")
    assert len(json.loads((tmp_path / "b.json").read_text())["images"]) == 3


def test_planes_of_one_object_each_in_frames_are_refused(viewer, open_panel):
    viewer.add_labels(np.ones((2, 3, 20, 30), np.int32), name="stack", axis_labels="tnyx")
    panel = open_panel("EmbedSeg: Measure")
    panel.labels.choose(viewer.layers["stack"])
    assert "in every frame" in panel.controls.status.text()
    assert not panel.files.export.isEnabled()


@pytest.mark.parametrize("kind", ["labels", "image"])
def test_planes_of_one_object_each_that_were_saved_are_measured_as_one_image(planes, viewer, qtbot, tmp_path, kind):
    layer = viewer.layers["worms masks"]
    layer.data = (np.asarray(layer.data) > 0).astype(np.uint8)
    path = tmp_path / "saved.tif"
    layer.save(str(path), plugin="embedseg-napari")
    (again,) = viewer.open(str(path), plugin="napari", layer_type=kind)
    if kind == "image":
        hint = planes.open_beside("EmbedSeg: Segment").image.hint
        planes.open_beside("EmbedSeg: Segment").image.choose(again)
        hint.button.click()
        again = viewer.layers["saved"]
    planes.labels.choose(again)
    assert planes.question.isHidden()
    measure(planes, qtbot)
    assert planes.table["label"].tolist() == [1, 2, 3]
    assert planes.table["num_pixels"].tolist() == [120, 80, 15]
