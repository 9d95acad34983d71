"""What is known of a layer that is segmented in blocks: its file, its axes, its pixel size and its place."""

from __future__ import annotations

import json

import dask.array
import numpy as np
from big_steps import IMAGE, open_cells

from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder
from embedseg_napari.viewer.large.source import source_of


def test_values_that_are_no_numbers_do_not_part_a_layer_from_its_file(viewer, tmp_path):
    image = IMAGE.astype(np.float32)
    image[60:80, 70:90] = np.nan
    path, layer = open_cells(viewer, tmp_path, image)
    source = source_of(layer, "YX")
    assert source.job(LargeJob(None, "nuclei-2d")).image == path


def test_an_array_lies_where_its_file_does(viewer, tmp_path):
    path, _ = open_cells(viewer, tmp_path)
    file = path / "zarr.json"
    said = json.loads(file.read_text())
    for level, one in enumerate(said["attributes"]["ome"]["multiscales"][0]["datasets"]):
        one["coordinateTransformations"].append({"type": "translation", "translation": [3.0, 4.0 + level]})
    file.write_text(json.dumps(said))
    viewer.layers.clear()
    source = source_of(open_dataset_folder(viewer, path)[0], "YX")
    assert [source.image(level).origin for level in range(2)] == [(3.0, 4.0), (3.0, 5.0)]


def test_the_pixel_size_of_an_array_is_that_of_the_axes_it_is_segmented_by(viewer):
    layer = viewer.add_image(dask.array.zeros((5, 2, 60, 70), chunks=30), scale=(1, 1, 0.5, 0.25), units="um")
    found = source_of(layer, "TCYX").image()
    assert (found.axes, found.spacing, found.unit) == ("TCYX", (0.5, 0.25), "um")
    assert source_of(layer, "TZYX").image().spacing == (1.0, 0.5, 0.25)
