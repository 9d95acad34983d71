"""Images and labels at the scale of a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import AugmentationConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.data.resizing import resize_image, resize_labels, scaled_shape, with_labels_resized
from embedseg_napari.core.data.statistics import object_sizes, scaled_sizes
from embedseg_napari.core.training.crops.sampler import CropSampler

PLAIN = AugmentationConfig(flips=False, scale=0, shift=0, gain=0, offset=0, gamma=0, noise=0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_stay_on_the_image(ndim):
    """A box drawn in both is still the same box in both, and twice as large is every pixel twice."""
    shape = (16, 24, 40)[-ndim:]
    labels = np.zeros(shape, np.int32)
    labels[(slice(4, 12),) * ndim] = 70_000
    assert np.array_equal(resize_labels(labels, [2 * n for n in shape])[(slice(None, None, 2),) * ndim], labels)
    small = scaled_shape(shape, 0.5)
    image = resize_image((labels > 0).astype(np.float32)[None], small)[0]
    assert np.array_equal(image > 0.5, resize_labels(labels, small) > 0)
    assert scaled_shape((3, 100), 0.1) == (1, 10)


def test_planes_and_unknown_pixels_are_resized_too():
    planes = np.zeros((2, 12, 12), bool)
    planes[0, :8, :8] = planes[1, 4:, 4:] = True
    ignore = np.zeros((12, 12), bool)
    ignore[:, 9:] = True
    example = Example("a", np.zeros((1, 12, 12), np.float32), planes, ignore)
    small = with_labels_resized(example, np.zeros((1, 4, 4), np.float32))
    assert small.instances.shape == (2, 4, 4)
    assert small.instances.sum((1, 2)).tolist() == [9, 9]
    assert small.ignore.sum() == 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_crops_of_smaller_images_have_smaller_objects_with_their_centres(ndim):
    labels = np.zeros((16, 64, 64)[-ndim:], np.int32)
    labels[..., 20:40, 24:36] = 5
    image = (labels > 0).astype(np.float32)
    config = TrainingConfig(augmentation=PLAIN, center="centroid")
    sampler = CropSampler(from_arrays([(image, labels)]), (8, 24, 24)[-ndim:], config, torch.device("cpu"), 0.5)
    batch = sampler.draw(4, np.random.default_rng(0))
    for ids, centers in zip(batch.instances.numpy(), batch.centers, strict=True):
        at = np.argwhere(ids == 5)
        assert (np.ptp(at, axis=0)[-2:] + 1).tolist() == [10, 6]
        np.testing.assert_allclose(centers[0], at.mean(0))
    # Sizes are told in pixels of the image as it was given.
    assert sampler.object_sizes().mean[-2:] == (20, 12)
    assert sampler.object_sizes().mean_size == (labels > 0).sum()


def test_an_update_keeps_the_scale(monkeypatch):
    labels = np.zeros((64, 64), np.int32)
    labels[8:24, 8:24] = 1
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    first = from_arrays([(image, labels)])[0]
    sampler = CropSampler([first], (16, 16), TrainingConfig(augmentation=PLAIN), torch.device("cpu"), 0.5)
    more = labels.copy()
    more[40:56, 40:56] = 2
    changed = Example(first.name, first.image, more)
    assert sampler.update([changed]) == 1
    anew = CropSampler([changed], (16, 16), TrainingConfig(augmentation=PLAIN), torch.device("cpu"), 0.5)
    one, other = (s.draw(6, np.random.default_rng(1)) for s in (sampler, anew))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.instances, other.instances)


def test_sizes_are_scaled_by_axis_and_by_volume():
    sizes = object_sizes(np.array([[8.0, 20.0, 12.0], [4.0, 10.0, 8.0]]), np.array([800, 160]))
    half = scaled_sizes(sizes, 0.5)
    assert half.mean == (3.0, 7.5, 5.0)
    assert (half.mean_size, half.min_size) == (60.0, 20)
    assert scaled_sizes(sizes, 1.0) is sizes
