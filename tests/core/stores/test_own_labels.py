"""Labels that images in OME-Zarr hold themselves, and which are meant."""

from __future__ import annotations

import numpy as np
import pytest
from store_steps import write_store

from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.core.stores.own_labels import labels_of_others


@pytest.fixture
def image(blobs):
    return blobs(2)[0]


def labels_of(image, n):
    """Labels of one object as wide as `n`."""
    labels = np.zeros(image.shape, np.int32)
    labels[5:9, :n] = 1
    return labels


@pytest.fixture
def folder(tmp_path, image):
    """A store with labels 10 and 20 pixels wide, and a TIFF of 30; `masks/` holds labels of both."""
    path = write_store(tmp_path / "images" / "a.ome.zarr", image, "yx", "0.4")
    for name, n in (("truth", 10), ("nuclei", 20)):
        create_labels(path, open_image(path), name=name, block=(64, 64)).write((slice(None),) * 2, labels_of(image, n))
    write_image(tmp_path / "images" / "b.tif", image, "YX")
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "b.tif", labels_of(image, 30), "YX")
    return tmp_path


def widths(folder, labels):
    return [int(np.count_nonzero(one.instances)) // 4 for one in load_folder(folder, labels=labels)]


def test_images_that_have_a_mask_need_no_labels_of_that_name(folder):
    assert widths(folder, "truth") == [10, 30]
    (folder / "masks" / "b.tif").unlink()
    with pytest.raises(DataError, match=r"b\.tif: has no label image 'truth'"):
        load_folder(folder, labels="truth")


def test_labels_that_are_named_win_over_a_mask(folder, image):
    write_labels(folder / "masks" / "a.tif", labels_of(image, 40), "YX")
    assert widths(folder, "nuclei") == [20, 30]
    assert widths(folder, None) == [40, 30]


@pytest.mark.parametrize("kind", ["folder", "store", "file"])
def test_what_lies_in_the_working_directory_is_not_taken_for_labels(folder, image, tmp_path, monkeypatch, kind):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    if kind == "store":
        write_store(here / "nuclei", labels_of(image, 50), "yx")
    elif kind == "folder":
        (here / "nuclei").mkdir()
    else:
        (here / "nuclei").write_text("")
    assert widths(folder, "nuclei") == [20, 30]


def test_labels_of_a_single_image_may_lie_anywhere(folder, image, tmp_path, monkeypatch):
    place = tmp_path / "c.tif"
    write_labels(place, labels_of(image, 60), "YX")
    store = folder / "images" / "a.ome.zarr"
    assert widths(store, place) == [60]
    with pytest.raises(DataError, match="is one label image, but there are 2 images"):
        load_folder(folder, labels=place)
    for there in (place, "c.tif"):
        monkeypatch.chdir(tmp_path)
        assert labels_of_others(there, [store]) is None
    assert labels_of_others("truth", [store]) == "truth"
    assert labels_of_others("truth", ()) == "truth"


def test_a_name_is_not_said_to_be_no_file_where_there_is_one(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nuclei").write_text("")
    (folder / "masks" / "b.tif").unlink()
    name = labels_of_others("nuclei", [folder / "images" / "a.ome.zarr"])
    with pytest.raises(DataError, match=r"b\.tif: has no label image 'nuclei' in labels/\.$"):
        load_folder(folder, labels=name)


def test_labels_of_a_folder_of_images_are_found_by_their_name(image, tmp_path):
    path = write_store(tmp_path / "a.zarr" / "0", image)
    create_labels(path, open_image(path), name="truth", block=(64, 64)).write((slice(None),) * 2, labels_of(image, 10))
    assert widths(tmp_path / "a.zarr", "truth") == [10]
    assert labels_of_others("truth", [tmp_path / "a.zarr"]) == "truth"
