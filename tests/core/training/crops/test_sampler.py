"""Crops: what is cut, where centres land, what lies outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import AugmentationConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.medoid import medoid
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.training.crops import sources as crop_sources
from embedseg_napari.core.training.crops.sampler import CropSampler

CPU = torch.device("cpu")
NONE = {"flips": False, "scale": 0, "shift": 0, "paste": 0, "gain": 0, "offset": 0, "gamma": 0, "noise": 0}
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
    labels = two_objects(2)[1]
    ignore = labels == 9
    image = np.where(ignore, 255, 0).astype(np.uint8)
    drawn = sampler([(image, labels, ignore)], (40, 40), FLIPS, normalization={"method": "dtype-range"})
    batch = drawn.draw(8, np.random.default_rng(0))
    assert batch.ignore is not None
    assert torch.equal(batch.ignore, batch.images[:, 0] > 0.5)
    # What lies on unknown pixels is no object.
    assert torch.unique(batch.instances).tolist() == [0, 3]
    assert [len(centers) for centers in batch.centers] == [int((ids == 3).any()) for ids in batch.instances]


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


def test_a_partly_ignored_object_has_its_centre_among_its_known_pixels():
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 5:35] = 1
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 15:] = True
    batch = sampler([(np.zeros((40, 40)), labels, ignore)], (40, 40)).draw(1, np.random.default_rng(0))
    assert batch.centers[0].tolist() == [list(medoid((labels > 0) & ~ignore))]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_tenth_of_the_crops_shows_background_known_far_from_objects(ndim):
    shape = (200, 200) if ndim == 2 else (12, 200, 200)
    labels = np.zeros(shape, np.int32)
    labels[..., 10:20, 10:20] = 1
    ignore = labels == 0
    ignore[..., 150:152, 100:160] = False  # a scribble of background
    ignore[..., 5:25, 5:25] = False
    drawn = sampler([(np.zeros(shape), labels, ignore)], (8, 32, 32)[-ndim:], AugmentationConfig())
    batch = drawn.draw(300, np.random.default_rng(0))
    assert not bool(batch.ignore.flatten(1).all(1).any())
    far = np.array([len(centers) == 0 for centers in batch.centers])
    assert 0.06 < far.mean() < 0.15
    middle = tuple(slice(side // 2 - 1, side // 2 + 1) for side in (8, 32, 32)[-ndim:])
    for hidden in batch.ignore[torch.from_numpy(far)]:
        assert not bool(hidden[middle].all())


def test_background_near_objects_needs_no_crops_of_its_own():
    labels = np.zeros((100, 100), np.int32)
    labels[40:50, 40:50] = 1
    ignore = np.ones(labels.shape, bool)
    ignore[38:52, 38:52] = False
    batch = sampler([(np.zeros((100, 100)), labels, ignore)], (32, 32)).draw(100, np.random.default_rng(0))
    assert all(len(centers) == 1 for centers in batch.centers)


def test_an_empty_image_teaches_background_beside_others():
    labels = np.zeros((64, 64), np.int32)
    labels[20:30, 20:30] = 1
    empty = np.zeros_like(labels)
    batch = sampler([(labels, labels), (empty, empty)], (32, 32)).draw(200, np.random.default_rng(0))
    assert 5 < sum(len(centers) == 0 for centers in batch.centers) < 40


def test_crops_without_any_known_pixel_are_not_drawn():
    # Labelled on its first and its last plane only: the middle, where crops are centred, is unknown.
    labels = np.zeros((40, 24, 24), np.int32)
    labels[5:35, 8:16, 8:16] = 1
    ignore = np.ones(labels.shape, bool)
    ignore[[5, 34]] = False
    drawn = sampler([(np.zeros(labels.shape), labels, ignore)], (8, 16, 16), AugmentationConfig(shift=0.5))
    batch = drawn.draw(60, np.random.default_rng(0))
    assert not bool(batch.ignore.flatten(1).all(1).any())
    # The object's middle lies between its labelled planes, not on one of them.
    at = [
        float(c[0, 0]) - float(hidden.flatten(1).all(1).logical_not().nonzero()[0])
        for c, hidden in zip(batch.centers, batch.ignore, strict=True)
        if len(c)
    ]
    assert {round(abs(a)) for a in at} & set(range(11, 20))


def test_label_images_beside_planes_keep_their_centres():
    labels = np.zeros((40, 40), np.int32)
    labels[2:8, 2:8] = 5
    labels[20:30, 20:30] = 9
    planes = np.stack([labels == 5])
    batch = sampler([(labels, labels), (labels, planes)], (40, 40)).draw(10, np.random.default_rng(0))
    assert {tuple(map(tuple, c)) for c in batch.centers} == {((4, 4), (24, 24)), ((4, 4),)}


def painted(name, labels, ignore=None, image=None):
    if image is None:
        image = np.random.default_rng(5).random((1, *two_objects(3 if labels.shape[-3:-2] == (16,) else 2)[0].shape))
    return Example(name, image, labels, ignore)


def same_batch(a, b):
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.instances, b.instances)
    assert (a.ignore is None) == (b.ignore is None)
    assert a.ignore is None or torch.equal(a.ignore, b.ignore)
    for one, two in zip(a.centers, b.centers, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("planes", [False, True])
def test_an_updated_sampler_draws_as_one_made_anew(ndim, planes):
    labels = two_objects(ndim)[1]
    after = labels.copy()
    after[..., 30:36, 20:27] = 9  # one grew
    after[..., 4:12, 20:30] = 4  # one is new
    after[labels == 3] = 0  # and one is gone
    ignore = np.zeros(labels.shape, bool)
    ignore[..., 32:, :] = True
    before, now = labels, after
    if planes:
        before, now = (np.stack([one == i for i in (3, 9, 4)]) for one in (labels, after))
    config = TrainingConfig(augmentation=AugmentationConfig())
    size = (8, 24, 24)[-ndim:]
    first, other = painted("a", before), painted("b", np.roll(before, 3, -1))
    changed = painted("a", now, ignore, first.image)
    new = painted("c", now)
    drawn = CropSampler([first, other], size, config, CPU)
    assert drawn.update([changed, new]) == 3 + 2
    anew = CropSampler([changed, other, new], size, config, CPU)
    same_batch(drawn.draw(12, np.random.default_rng(0)), anew.draw(12, np.random.default_rng(0)))
    assert drawn.object_sizes() == anew.object_sizes()
    assert drawn.n_objects == anew.n_objects


def test_an_image_is_normalised_again_only_if_it_is_another(monkeypatch):
    labels = two_objects(2)[1]
    first = painted("a", labels)
    drawn = CropSampler([first], (16, 16), TrainingConfig(), CPU)
    calls = []
    monkeypatch.setattr(crop_sources, "normalize", lambda *args: calls.append(1) or normalize(*args))
    drawn.update([painted("a", np.roll(labels, 1, 0), image=first.image)])
    assert calls == []
    drawn.update([painted("a", np.roll(labels, 1, 0), image=first.image + 1)])
    assert calls == [1]


def test_an_image_that_is_normalised_stays_as_it_is():
    image, labels = two_objects(2)
    example = Example("a", image[None], labels, is_normalized=True)
    source = crop_sources.load_source(example, (16, 16), TrainingConfig(), CPU, planes=False)
    np.testing.assert_array_equal(source.image, image[None])
    assert source.image.dtype == torch.float32


def test_labels_may_be_wiped_out_and_painted_anew():
    labels = two_objects(2)[1]
    unknown = np.ones(labels.shape, bool)
    drawn = CropSampler([painted("a", labels)], (16, 16), TrainingConfig(), CPU)
    assert drawn.update([painted("a", np.zeros_like(labels), unknown)]) == 2
    assert drawn.draw(2, np.random.default_rng(0)).ignore.all()
    assert drawn.update([painted("a", labels, unknown & (labels == 0))]) == 2
    assert (drawn.draw(2, np.random.default_rng(0)).instances > 0).any()


def test_planes_cannot_join_label_images():
    labels = two_objects(2)[1]
    drawn = CropSampler([painted("a", labels)], (16, 16), TrainingConfig(), CPU)
    with pytest.raises(DataError, match="start a new training"):
        drawn.update([painted("b", np.stack([labels == 3, labels > 0]), image=np.zeros((1, *labels.shape)))])
