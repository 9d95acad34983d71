"""OME-Zarr wherever image files are taken: folders to segment, data sets to train on, labels to compare."""

from __future__ import annotations

import json

import numpy as np
import pytest
from store_steps import write_store

from embedseg_napari.core.data.pairs import find_dataset, load_folder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.folders import pair_folders
from embedseg_napari.core.evaluation.label_pair import read_pair
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.files.zarr_image import labels_in
from embedseg_napari.core.runs import drain
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.jobs.folder.plan import FolderJob
from embedseg_napari.jobs.folder.segment_folder import segment_folder


@pytest.fixture
def store(tmp_path, blobs):
    image, labels = blobs(2)
    path = write_store(tmp_path / "images" / "cells.ome.zarr", image, "yx", "0.4")
    create_labels(path, open_image(path), name="truth", block=(64, 64)).write((slice(None), slice(None)), labels)
    return path, labels


def test_an_image_with_labels_in_it_is_a_data_set(store, tmp_path):
    path, labels = store
    assert find_dataset(path) == (path, None)
    for folder in (path, tmp_path):
        (example,) = load_folder(folder)
        assert example.name == "cells"
        assert example.spacing == (0.5, 0.5)
        np.testing.assert_array_equal(example.instances > 0, labels > 0)


def test_an_image_without_labels_needs_a_mask(tmp_path, blobs):
    write_store(tmp_path / "images" / "cells.ome.zarr", blobs(2)[0])
    with pytest.raises(DataError, match="has no folder masks/"):
        load_folder(tmp_path)


def test_labels_in_images_are_compared(store, tmp_path):
    path, labels = store
    for truth, predicted in ((path / "labels" / "truth", path), (tmp_path / "images", path.parent)):
        (pair,), _ = pair_folders(truth, predicted)
        (found,), _ = read_pair(pair)
        np.testing.assert_array_equal(found.true, labels)
        np.testing.assert_array_equal(found.predicted, labels)


@pytest.mark.parametrize("name", ["../../other.ome.zarr", "/tmp", ""])
def test_a_store_does_not_name_labels_outside_of_it(store, name):
    path, _ = store
    file = path / "labels" / ".zattrs"
    file.write_text(json.dumps({"labels": [name, "truth"]}))
    assert labels_in(path) == path / "labels" / "truth"


def test_a_folder_of_stores_is_segmented(store, tmp_path):
    path, labels = store
    result = drain(segment_folder(FolderJob((path.parent,), tmp_path / "out", "nuclei-2d", "cpu", {}), lambda: False))
    assert not result.failures
    found = read_image(tmp_path / "out" / "cells.ome.tif", labels=True)
    assert (found.array.shape, found.spacing) == (labels.shape, (0.5, 0.5))
