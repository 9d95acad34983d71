"""Crops: what is cut, where centres land, what lies outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import AugmentationConfig, TrainingConfig
from embedseg_napari.core.data.centers import medoid
from embedseg_napari.core.data.crops import CropSampler
from embedseg_napari.core.data.pairs import from_arrays

CPU = torch.device("cpu")
NONE = {"flips": False, "scale": 0, "shift": 0, "gain": 0, "offset": 0, "gamma": 0, "noise": 0}
PLAIN = AugmentationConfig(**NONE)
FLIPS = AugmentationConfig(**{**NONE, "flips": True})


def sampler(pairs, crop_size, augmentation=PLAIN, **settings):
    config = TrainingConfig(augmentation=augmentation, **settings)
    return CropSampler(from_arrays(pairs), crop_size, config, CPU)


def two_objects(ndim):
    shape = (48, 56) if ndim == 2 else (16, 32, 40)
    labels = np.zeros(shape, np.int32)
    labels[..., 4:12, 6:16] = 3
    labels[..., 20:30, 20:27] = 9
    image = np.arange(labels.size, dtype=np.float32).reshape(shape)
    return image, labels


@pytest.mark.parametrize("ndim", [2, 3])
def test_unchanged_crops_are_exact_pieces_of_the_image(ndim):
    image, labels = two_objects(ndim)
    size = (8, 24, 24)[-ndim:]
    batch = sampler([(image, labels)], size, normalization={"method": "dtype-range"}).draw(6, np.random.default_rng(0))
    step = np.array([image.strides[axis] // image.itemsize for axis in range(ndim)])
    for crop, ids in zip(batch.images[:, 0], batch.instances, strict=True):
        corner = np.array(np.unravel_index(round(float(crop.flatten()[0])), image.shape))
        place = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        assert np.array_equal(ids.numpy(), labels[place])
        np.testing.assert_allclose(crop.numpy(), image[place], rtol=1e-4, atol=0.02 * step[-1])
    assert batch.ignore is None


@pytest.mark.parametrize("ndim", [2, 3])
def test_centers_follow_flips_turns_and_scaling(ndim):
    image, labels = two_objects(ndim)
    labels[labels == 9] = 0
    augmentation = AugmentationConfig(**{**NONE, "flips": True, "rotation": True, "scale": 0.3, "shift": 0.1})
    batch = sampler([(image, labels)], (16, 32, 32)[-ndim:], augmentation).draw(40, np.random.default_rng(1))
    checked = 0
    for ids, centers in zip(batch.instances.numpy(), batch.centers, strict=True):
        at = np.argwhere(ids)
        edges = [ids.take(i, axis).any() for axis in range(ndim) for i in (0, -1)]
        if len(at) and not any(edges):
            # Whole objects: their own medoid is the whole object's, up to sampling.
            assert np.abs(centers[0] - np.array(medoid(ids > 0))).max() < 2.0
            checked += 1
    assert ndim == 3 or checked > 5


def test_center_of_a_cut_object_is_that_of_the_whole():
    labels = np.zeros((64, 64), np.int32)
    labels[30:34, 2:62] = 1
    labels[34:37, 4:8] = 2  # crops around it hold one end of the long object
    pairs = [(np.ones((64, 64), np.float32), labels)]
    whole = sampler(pairs, (16, 16)).draw(30, np.random.default_rng(0))
    assert any((c > 15).any() for centers in whole.centers for c in centers)
    fragment = sampler(pairs, (16, 16), center_of="fragment").draw(30, np.random.default_rng(0))
    assert all((c >= 0).all() and (c <= 15).all() for centers in fragment.centers for c in centers)


@pytest.mark.parametrize("ndim", [2, 3])
def test_images_smaller_than_a_crop_are_padded_and_ignored_there(ndim):
    shape = (20, 12) if ndim == 2 else (5, 20, 12)
    labels = np.zeros(shape, np.int32)
    labels[..., 5:9, 3:8] = 1
    batch = sampler([(np.ones(shape, np.float32), labels)], (8, 32, 32)[-ndim:]).draw(2, np.random.default_rng(0))
    assert batch.ignore is not None
    assert int((~batch.ignore[0]).sum()) == labels.size
    assert int((batch.instances[0] > 0).sum()) == int((labels > 0).sum())
    assert not bool((batch.instances[batch.ignore] > 0).any())


def test_overlapping_planes_keep_their_overlap_and_their_centers():
    planes = np.zeros((4, 40, 40), bool)
    planes[0, 10:25, 10:25] = True
    planes[2, 20:35, 20:35] = True
    image = np.zeros((40, 40), np.uint8)
    batch = sampler([(image, planes)], (40, 40)).draw(3, np.random.default_rng(0))
    for ids, centers in zip(batch.instances, batch.centers, strict=True):
        assert ids.shape[0] == 2
        assert int((ids.sum(0) == 2).sum()) == 25
        assert centers.tolist() == [[17, 17], [27, 27]]


def test_ignore_masks_travel_with_the_crop():
    image, labels = two_objects(2)
    ignore = np.zeros(labels.shape, bool)
    ignore[20:30, 20:27] = True
    batch = sampler([(image, labels, ignore)], (40, 40), FLIPS).draw(8, np.random.default_rng(0))
    assert batch.ignore is not None
    for hidden, ids in zip(batch.ignore, batch.instances, strict=True):
        assert torch.equal(hidden, ids == 9)


def test_the_same_numbers_give_the_same_crops():
    image, labels = two_objects(2)
    augmentation = AugmentationConfig(rotation=True, scale=0.2, gain=0.3, noise=0.1, blur=1.0, gamma=0.3, offset=0.1)
    one, two = (sampler([(image, labels)], (24, 24), augmentation).draw(4, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.instances, two.instances)


def test_empty_images_give_background_crops():
    image = np.zeros((32, 32), np.uint8)
    labels = np.zeros((32, 32), np.int32)
    batch = sampler([(image, labels)], (16, 16)).draw(2, np.random.default_rng(0))
    assert [len(c) for c in batch.centers] == [0, 0]
