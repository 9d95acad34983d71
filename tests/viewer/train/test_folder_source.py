"""A folder that the Train panel learns from."""

from __future__ import annotations

import numpy as np
import pytest
from fake_training import FakeTraining
from tifffile import imwrite

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.viewer.layers import FOUND, RESULT

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


def test_a_folder_can_be_trained_on(panel, qtbot, blobs, tmp_path):
    image, labels = blobs(2)
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    write_image(tmp_path / "set" / "images" / "a.tif", image, "YX")
    write_labels(tmp_path / "set" / "masks" / "a.tif", labels, "YX")
    panel.from_folder.setChecked(True)
    assert "Choose a folder" in panel.reason.text()
    panel.folder.setText(str(tmp_path / "nowhere"))
    panel.folder.editingFinished.emit()
    qtbot.waitUntil(lambda: "no such folder" in panel.reason.text(), timeout=20000)
    panel.folder.setText(str(tmp_path / "set"))
    panel.folder.editingFinished.emit()
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    assert panel.request().folder == tmp_path / "set"
    assert panel.output.name.text() == "set"
    qtbot.waitUntil(lambda: "Crops" in panel.check.text.text(), timeout=20000)


def test_a_folder_leaves_what_is_seen_as_it_is(ready, viewer):
    layers = viewer.layers
    other = viewer.add_labels(layers["truth"].data, name="other", metadata={RESULT: FOUND})
    ready.show_scene()
    layers.selection.active = layers["truth"]
    assert not other.visible
    ready.from_folder.click()
    assert not other.visible
    assert layers["truth"].visible
    assert layers.selection.active == layers["truth"]
    ready.from_layers.click()
    assert not other.visible
    ready.stage.leave()
    assert other.visible


def test_axes_and_voxels_that_files_of_a_folder_do_not_say_are_named(panel, qtbot, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 48, 48), np.uint16)
    labels[1:4, 4:20, 4:20], labels[2:5, 26:42, 26:42] = 1, 2
    for part, array in (
        ("images", (rng.normal(9, 2, labels.shape) + 90 * (labels > 0)).astype(np.uint8)),
        ("masks", labels),
    ):
        (tmp_path / "set" / part).mkdir(parents=True)
        imwrite(tmp_path / "set" / part / "a.tif", array)
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(tmp_path / "set"))
    panel.folder_source.axes_edit.setText("zy")
    panel.folder_source.axes_edit.editingFinished.emit()
    assert "both Y and X are needed" in panel.reason.text()
    panel.folder_source.axes_edit.setText("tyx")
    panel.folder_source.axes_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: panel.ndim == 2, timeout=20000)
    panel.folder_source.axes_edit.setText("zyx")
    panel.folder_source.axes_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: panel.ndim == 3, timeout=20000)
    assert " --axes ZYX" in panel.make_recipe().command
    assert "axes='ZYX'" in panel.make_recipe().script
    qtbot.waitUntil(lambda: "how large their voxels are" in panel.check.text.text(), timeout=20000)
    panel.folder_source.voxel_edit.setText("0.5, 0.1")
    panel.folder_source.voxel_edit.editingFinished.emit()
    assert "three numbers (z, y, x)" in panel.reason.text()
    panel.folder_source.voxel_edit.setText("0.5, 0.1, 0.1")
    panel.folder_source.voxel_edit.editingFinished.emit()
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    assert "how large their voxels are" not in panel.check.text.text()
    assert [example.spacing for example in panel.request().read()[0]] == [(0.5, 0.1, 0.1)]
    assert " --spacing 0.5,0.1,0.1" in panel.make_recipe().command
    assert "spacing=(0.5, 0.1, 0.1)" in panel.make_recipe().script


def test_a_channel_of_the_images_of_a_folder_can_be_chosen(panel, qtbot, blobs, tmp_path):
    image, labels = blobs(2)
    grey = image.astype(np.uint8)
    imwrite(tmp_path / "grey.tif", grey)
    for part, array in (("images", np.stack([grey] * 3, -1)), ("masks", labels)):
        (tmp_path / "set" / part).mkdir(parents=True)
        imwrite(tmp_path / "set" / part / "a.tif", array, photometric="rgb" if array.ndim > 2 else "minisblack")
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(tmp_path / "set"))
    panel.folder.editingFinished.emit()
    qtbot.waitUntil(lambda: "in napari, under Channel" in panel.reason.text(), timeout=20000)
    box = panel.folder_source.channel_box
    box.setCurrentText("1")
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    (example,), _ = panel.request().read()
    np.testing.assert_array_equal(example.image, grey[None])
    assert " --channel 1" in panel.make_recipe().command
    assert "channel=1" in panel.make_recipe().script
    panel.start()
    qtbot.waitUntil(lambda: not panel.is_training, timeout=20000)
    assert panel.trained_channel == 1
    box.setCurrentText("mean of all")
    assert panel.request().channel == "mean"
    box.setCurrentText("all")
    assert panel.request().channel is None
    # It was chosen for the images of this folder.
    box.setCurrentText("1")
    panel.folder.setText(str(tmp_path / "set"))
    assert box.currentText() == "1"
    panel.folder.setText(str(tmp_path / "another"))
    assert box.currentText() == "all"
    box.setCurrentText("2")
    for name, channel in (("set", "1"), ("set/", "1"), ("se", "all"), ("another", "2")):
        panel.folder.setText(f"{tmp_path}/{name}")
        assert box.currentText() == channel


def test_an_image_is_previewed_as_the_network_sees_those_of_the_folder(
    panel, viewer, qtbot, blobs, tmp_path, monkeypatch
):
    image, labels = blobs(2)
    write_image(tmp_path / "set" / "images" / "a.tif", np.stack([image, image.max() - image]), "CYX")
    write_labels(tmp_path / "set" / "masks" / "a.tif", labels, "YX")
    # It stands in a pair, too, which is not learned from.
    seen = viewer.add_image(np.stack([image.max() - image, image]), name="seen", axis_labels=("c", "y", "x"))
    viewer.add_labels(labels, name="truth")
    row = panel.pairs.rows[0]
    assert (row.image.layer(), row.reading()) == (seen, ("CYX", None))
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(tmp_path / "set"))
    panel.folder_source.channel_box.setCurrentText("1")
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    panel.preview.image.choose(seen)
    monkeypatch.setattr(FakeTraining, "waits", True)
    panel.start()
    example = panel.preview.view.example(None, NormalizationConfig())
    assert example.image.shape == (1, *image.shape)
    assert np.corrcoef(example.image.ravel(), image.ravel())[0, 1] > 0.99
    panel.stop_training()
    qtbot.waitUntil(lambda: not panel.is_training, timeout=20000)


def test_what_was_left_out_of_a_folder_is_shown(panel, qtbot, blobs, tmp_path):
    image, labels = blobs(2)
    for name in "ab":
        write_image(tmp_path / "set" / "images" / f"{name}.tif", np.stack([image] * 3), "TYX")
        write_labels(tmp_path / "set" / "masks" / f"{name}.tif", np.stack([labels, 0 * labels, labels]), "TYX")
    (tmp_path / "set" / "images" / "c.czi").write_bytes(b"of a microscope")
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(tmp_path / "set"))
    panel.folder.editingFinished.emit()
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    said = " ".join(panel.check.findings.warnings)
    assert "a.tif (and 1 more): 1 of 3 frames are left out: they have no labels." in said
    assert "1 image left out, such as c.czi" in said
    assert "frames are left out" in panel.check.text.text()
