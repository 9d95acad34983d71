"""Data-set folders as layers."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.viewer.files import dataset_folder
from embedseg_napari.viewer.files.dataset_folder import choose_dataset_folder, open_dataset_folder, open_folder_button
from embedseg_napari.viewer.labelled_images import pair_from_layers


@pytest.fixture
def folder(tmp_path, blobs):
    """Three images with masks, and one without."""
    image, labels = blobs(2)
    for number in range(4):
        write_image(tmp_path / "train" / "images" / f"cell-{number}.tif", image, "YX", (0.5, 0.5), "um")
        if number < 3:
            write_labels(tmp_path / "train" / "masks" / f"cell-{number}.tif", labels, "YX")
    return tmp_path


def test_each_image_is_followed_by_its_masks(layer_viewer, folder, blobs):
    layers = open_dataset_folder(layer_viewer, folder)
    assert [(layer.name, type(layer).__name__) for layer in layers[:2]] == [
        ("cell-0", "Image"),
        ("cell-0 masks", "Labels"),
    ]
    assert len(layers) == 7
    assert [layer.visible for layer in layers] == [True, True] + [False] * 5
    # The masks' files do not give a pixel size: they lie where their image does.
    for layer in layers:
        np.testing.assert_allclose(layer.scale, (0.5, 0.5))
        assert tuple(layer.axis_labels) == ("y", "x")
    np.testing.assert_array_equal(layers[1].data, blobs(2)[1])


def test_only_the_first_images_of_many_are_opened(layer_viewer, folder):
    assert len(open_dataset_folder(layer_viewer, folder, most=2)) == 4


def test_planes_of_single_objects_are_numbered(layer_viewer, tmp_path):
    planes = np.zeros((3, 16, 16), np.uint8)
    for number in range(3):
        planes[number, 4 * number : 4 * number + 6, 2:12] = 1
    write_image(tmp_path / "images" / "a.tif", np.ones((16, 16), np.uint8), "YX")
    write_image(tmp_path / "masks" / "a.tif", planes, "ZYX")
    _, masks = open_dataset_folder(layer_viewer, tmp_path)
    assert [int(plane.max()) for plane in masks.data] == [1, 2, 3]


@pytest.mark.parametrize("mask_axes", ["TYX", "ZYX"])
def test_masks_of_a_movie_are_its_frames(layer_viewer, tmp_path, blobs, mask_axes):
    image, labels = blobs(2)
    write_image(tmp_path / "images" / "m.tif", np.stack([image] * 5), "TYX")
    write_labels(tmp_path / "masks" / "M.ome.tif", np.stack([labels] * 5), mask_axes)
    movie, masks = open_dataset_folder(layer_viewer, tmp_path)
    assert tuple(movie.axis_labels) == tuple(masks.axis_labels) == ("t", "y", "x")
    np.testing.assert_array_equal(masks.data, np.stack([labels] * 5))
    assert len(pair_from_layers(movie, masks).examples()) == 5


def test_planes_of_the_frames_of_a_movie_are_numbered(layer_viewer, tmp_path, blobs):
    image, labels = blobs(2)
    planes = np.stack([labels == 1, labels == 2]).astype(np.uint8)
    write_image(tmp_path / "images" / "m.tif", np.stack([image] * 5), "TYX")
    write_image(tmp_path / "masks" / "m.tif", np.stack([planes] * 5), "TZYX")
    _, masks = open_dataset_folder(layer_viewer, tmp_path)
    np.testing.assert_array_equal(masks.data.max(1), np.where(labels < 3, labels, 0)[None].repeat(5, 0))


def test_files_pair_as_for_training(layer_viewer, tmp_path, blobs):
    image, labels = blobs(2)
    for form, part, array, ending in (("NFC", "images", image, "TIF"), ("NFD", "masks", labels, "ome.tif")):
        name = unicodedata.normalize(form, "Präparat")
        write_image(tmp_path / part / f"{name}.{ending}", array.astype(np.uint16), "YX")
    assert len(open_dataset_folder(layer_viewer, tmp_path)) == 2
    write_image(tmp_path / "images" / unicodedata.normalize("NFD", "Präparat.tiff"), image.astype(np.uint16), "YX")
    with pytest.raises(DataError, match="same name"):
        open_dataset_folder(layer_viewer, tmp_path)


@pytest.mark.parametrize("is_partly_known", [False, True])
def test_what_layers_do_not_know_of_a_folder_is_said(layer_viewer, folder, monkeypatch, is_partly_known):
    said = []
    monkeypatch.setattr(dataset_folder, "show_warning", said.append)
    if is_partly_known:
        write_labels(folder / "train" / "ignore" / "a.tif", np.ones((8, 9), bool), "YX")
    open_dataset_folder(layer_viewer, folder)
    assert [("ignore/" in text, "A folder" in text) for text in said] == [(True, True)] * is_partly_known


def test_a_folder_that_is_no_data_set_is_a_sentence(layer_viewer, tmp_path):
    with pytest.raises(DataError, match="found neither images/ and masks/"):
        open_dataset_folder(layer_viewer, tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        open_dataset_folder(layer_viewer, tmp_path)
    assert len(layer_viewer.layers) == 0


def test_the_button_opens_the_chosen_folder(layer_viewer, folder, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    button = open_folder_button(layer_viewer)
    qtbot.addWidget(button)
    button.click()
    assert len(layer_viewer.layers) == 7


def test_a_fault_behind_the_button_is_a_notification(layer_viewer, tmp_path, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    said = []
    monkeypatch.setattr(dataset_folder, "show_error", said.append)
    button = open_folder_button(layer_viewer)
    qtbot.addWidget(button)
    button.click()
    assert len(said) == 1
    assert "found neither images/" in said[0]


def test_the_command_works_in_the_current_viewer(viewer, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    choose_dataset_folder()
    assert len(viewer.layers) == 7


def test_cancelling_the_dialog_does_nothing(viewer, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    choose_dataset_folder()
    assert len(viewer.layers) == 0
