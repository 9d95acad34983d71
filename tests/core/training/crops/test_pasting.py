"""Objects pasted from one crop into another: what they bring along, what they must not hide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import AugmentationConfig, TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.training.crops.pasting import Crop, paste_objects
from embedseg_napari.core.training.crops.sampler import CropSampler


class Always:
    """A generator that chooses every object."""

    def random(self, n):
        return np.zeros(n)


def crop(ndim, value, *boxes, ignored=(), planes=False):
    """A crop of one brightness with boxes of ids 2, 4 ... given by their first and last pixel along X."""
    shape = (6, 20, 20)[-ndim:]
    layers = np.zeros((len(boxes), *shape), np.int32)
    centers = []
    for row, (start, stop) in enumerate(boxes):
        layers[row][..., 4:12, start:stop] = 2 * (row + 1)
        centers.append([*(2.5, 7.5)[-(ndim - 1) :], (start + stop - 1) / 2])
    ignore = np.zeros(shape, bool)
    for start, stop in ignored:
        ignore[..., start:stop] = True
    instances = layers if planes else layers.max(0, initial=0)
    return Crop(
        torch.full((1, *shape), value), torch.from_numpy(instances), torch.from_numpy(ignore),
        np.array(centers).reshape(-1, ndim),
    )  # fmt: skip


@pytest.mark.parametrize("ndim", [2, 3])
def test_pasted_objects_bring_pixels_ids_and_centers(ndim):
    onto, other = crop(ndim, 0.0, (0, 5)), crop(ndim, 1.0, (7, 10), (14, 18))
    image, instances, ignore, centers = paste_objects(onto, other, Always())
    assert sorted(np.unique(instances)) == [0, 2, 3, 4]
    assert np.array_equal(centers, np.concatenate([onto.centers, other.centers]))
    for label, center in zip((2, 3, 4), centers, strict=True):
        assert np.argwhere(instances.numpy() == label).mean(0) == pytest.approx(center)
    assert float(image[0][..., 8, 16].min()) > 0.9
    assert float(image[0][..., 15:, :].max()) == 0
    assert 0 < float(image[0][..., 8, 13].max()) < 0.5
    assert not ignore.any()
    assert (float(onto.image.max()), int(onto.instances.max())) == (0, 2)


@pytest.mark.parametrize("ndim", [2, 3])
def test_nothing_is_pasted_over_most_of_an_object(ndim):
    onto = crop(ndim, 0.0, (4, 14))
    assert paste_objects(onto, crop(ndim, 1.0, (4, 9)), Always()) is onto
    instances = paste_objects(onto, crop(ndim, 1.0, (2, 6)), Always()).instances
    assert [int((instances == label).sum()) for label in (2, 3)] == [n * 8 * (6 if ndim == 3 else 1) for n in (8, 4)]


def test_an_object_that_several_hide_together_is_gone_with_its_center():
    onto = crop(2, 0.0, (5, 15), (16, 20))
    other = crop(2, 1.0, (5, 8), (8, 10), (10, 12), (12, 15))
    _, instances, _, centers = paste_objects(onto, other, Always())
    assert len(centers) == len(np.unique(instances)) - 1 == 5
    assert centers[0] == pytest.approx(onto.centers[1])


def test_planes_keep_what_is_covered():
    onto, other = crop(2, 0.0, (4, 14), planes=True), crop(2, 1.0, (4, 14), (6, 9), planes=True)
    image, instances, _, centers = paste_objects(onto, other, Always())
    assert len(instances) == len(centers) == 3
    assert torch.equal(instances[0], onto.instances[0])
    assert sorted(np.unique(instances)) == [0, 2, 3, 4]
    assert float(image[0, 8, 9]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("ndim", [2, 3])
def test_unknown_pixels_are_not_pasted_and_known_ones_become_known(ndim):
    onto = crop(ndim, 0.0, ignored=[(0, 20)])
    other = crop(ndim, 1.0, (2, 6), (10, 14), ignored=[(9, 15)])
    _, instances, ignore, centers = paste_objects(onto, other, Always())
    assert np.array_equal(centers, other.centers[:1])
    assert torch.equal(~ignore, instances > 0)


def test_about_half_of_the_objects_is_pasted():
    onto, other = crop(2, 0.0), crop(2, 1.0, (2, 6), (10, 14))
    numbers = [len(paste_objects(onto, other, np.random.default_rng(seed)).centers) for seed in range(200)]
    assert np.mean(numbers) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("planes", [False, True])
def test_the_sampler_pastes_in_the_share_of_crops_asked_for(planes):
    labels = np.zeros((64, 64), np.int32)
    labels[28:36, 28:36] = 1
    instances = (labels[None] == 1).astype(np.int32) if planes else labels
    none = {"flips": False, "scale": 0, "gain": 0, "offset": 0, "gamma": 0, "noise": 0, "shift": 0.5}
    counts = {}
    for share in (0.0, None, 1.0):
        config = TrainingConfig(augmentation=AugmentationConfig(**none, paste=share))
        sampler = CropSampler(from_arrays([(labels, instances)]), (32, 32), config, torch.device("cpu"))
        batch = sampler.draw(200, np.random.default_rng(0))
        for ids, centers in zip(batch.instances, batch.centers, strict=True):
            shown = int(ids.flatten(1).any(1).sum()) if planes else len(torch.unique(ids)) - 1
            assert shown == len(centers)
        counts[share] = sum(len(centers) > 1 for centers in batch.centers) / 200
    assert counts[0.0] == 0
    assert counts[1.0] > 0.2
    # Left to the data, half of the crops of planes get pasted objects, and none of label images.
    assert counts[None] == pytest.approx(counts[1.0] / 2 if planes else 0, abs=0.08)
