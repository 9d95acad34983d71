"""What is measured of the objects of images as the network sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stored_steps import CROP, MEMORY, SIZES, settings, store

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.data.statistics import measure
from embedseg_napari.core.training.crops.sources import load_source
from embedseg_napari.core.training.crops.stored_source import open_source
from embedseg_napari.core.training.reading import from_disk

CPU = torch.device("cpu")
MIDDLE = 9.5


def ball_on_two_planes(shape, axis):
    """A ball 12 voxels wide, known on two planes across an axis, and where nothing is known."""
    seen = np.zeros(shape, bool)
    np.moveaxis(seen, axis, 0)[[7, 12]] = True
    distance = sum((at - MIDDLE) ** 2 for at in np.indices(shape))
    return np.where((distance <= 6**2) & seen, 5, 0).astype(np.int32), ~seen


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_objects_on_single_planes_are_as_long_across_them_where_images_are_enlarged(axis, scale):
    labels, ignore = ball_on_two_planes((20, 20, 20), axis)
    example = Example("a", np.zeros((1, *labels.shape), np.float32), labels, ignore, is_normalized=True)
    source = load_source(example, CROP[3], settings(3), CPU, planes=False, scale=scale)
    extent = measure([example]).sizes.mean
    assert min(extent) > 9
    assert source.extents[0] / scale == pytest.approx(extent, abs=1)
    # The nearest voxels of one plane may be twice as many as those of the other.
    assert (source.objects.centers[0, axis] + 0.5) / scale - 0.5 == pytest.approx(MIDDLE, abs=1.1)


def test_so_they_are_of_images_on_the_disk(tmp_path):
    labels, ignore = ball_on_two_planes(SIZES[3], 1)
    path, config = store(tmp_path / "a.ome.zarr", 3, np.where(ignore, 255, labels)), settings(3, MEMORY)
    (stored,) = load_folder(path, ignore_label=255, from_disk=from_disk(config, None))
    (example,) = load_folder(path, ignore_label=255)
    there = open_source(stored, CROP[3], config, CPU, planes=False, scale=2.0)
    here = load_source(example, CROP[3], config, CPU, planes=False, scale=2.0)
    assert here.extents[0].min() > 18
    np.testing.assert_array_equal(there.extents, here.extents)
    np.testing.assert_array_equal(there.objects.centers, here.objects.centers)
