"""Generated nuclei: what people see of them, and that they are not too easy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from embedseg_napari.core.data.synthetic import Look, nuclei
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.evaluation.matching import match

SHAPES = [(160, 192), (24, 96, 112)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_seed_gives_the_same_image(shape):
    one, again, other = nuclei(shape, seed=3), nuclei(shape, seed=3), nuclei(shape, seed=4)
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_numbered_without_gaps_and_each_is_one_piece(shape):
    sample = nuclei(shape, seed=1)
    assert sample.labels.shape == sample.image.shape == shape
    assert sample.labels.dtype == np.int32
    assert sample.image.dtype == np.uint16
    ids = np.unique(sample.labels)
    assert np.array_equal(ids, np.arange(len(ids)))
    assert len(ids) > 10
    for value in ids[1:]:
        assert ndimage.label(sample.labels == value)[1] == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_nuclei_touch_and_are_brighter_than_the_background(shape):
    sample = nuclei(shape, seed=2)
    touching = set()
    for axis in range(len(shape)):
        a = np.moveaxis(sample.labels, axis, 0)
        here, there = a[:-1], a[1:]
        borders = (here != there) & (here > 0) & (there > 0)
        touching.update(here[borders].tolist(), there[borders].tolist())
    assert len(touching) > 0.5 * sample.labels.max()
    assert sample.image[sample.labels > 0].mean() > 1.5 * sample.image[sample.labels == 0].mean()


@pytest.mark.parametrize("shape", [(256, 256), (32, 128, 128)])
@pytest.mark.parametrize("seed", [0, 1])
def test_threshold_and_connected_components_do_not_solve_it(shape, seed):
    sample = nuclei(shape, seed=seed)
    simple, _ = ndimage.label(sample.image > threshold_otsu(sample.image))
    assert match(sample.labels, simple, [0.5])[0].ap < 0.5


def test_size_and_coverage_follow_the_arguments():
    small, large = nuclei((256, 256), diameter=12, seed=5), nuclei((256, 256), diameter=30, seed=5)
    for sample, diameter in ((small, 12), (large, 30)):
        measured = 2 * np.sqrt(np.median(np.bincount(sample.labels.ravel())[1:]) / np.pi)
        assert 0.7 * diameter < measured < 1.2 * diameter
    sparse = nuclei((256, 256), coverage=0.05, seed=5)
    assert (sparse.labels > 0).mean() == pytest.approx(0.05, abs=0.02)
    assert nuclei((64, 64), coverage=0.0).labels.max() == 0


def test_nuclei_are_round_in_physical_space():
    sample = nuclei((30, 120, 120), spacing=(2.0, 0.5, 0.5), diameter=20, coverage=0.1, seed=6)
    extents = []
    for box in ndimage.find_objects(sample.labels):
        whole = all(part.start > 0 and part.stop < side for part, side in zip(box, sample.labels.shape, strict=True))
        if whole:
            extents.append([part.stop - part.start for part in box])
    z, y, x = np.median(extents, axis=0)
    assert z * 2.0 == pytest.approx(y * 0.5, rel=0.35)
    assert y == pytest.approx(x, rel=0.25)
    assert sample.spacing == (2.0, 0.5, 0.5)


VOLUME = {"shape": (32, 96, 96), "diameter": 16, "coverage": 0.05, "spacing": (1, 1, 1), "debris": 0, "seed": 7}


def test_outlines_follow_the_blurred_light_farther_along_z():
    surface = nuclei(**VOLUME, look=Look(depth_blur=4)).labels
    seen = nuclei(**VOLUME, look=Look(depth_blur=4, outline=0.3)).labels
    assert np.array_equal(np.unique(surface), np.unique(seen))
    grown = []
    for value, box in enumerate(ndimage.find_objects(surface), start=1):
        assert (seen[box] == value).sum() >= 0.9 * (surface[box] == value).sum()
        after = ndimage.find_objects(seen)[value - 1]
        if all(part.start > 0 and part.stop < side for part, side in zip(after, seen.shape, strict=True)):
            grown.append([(b.stop - b.start) - (a.stop - a.start) for a, b in zip(box, after, strict=True)])
    z, y, x = np.mean(grown, axis=0)
    assert z > max(y, x) >= 0
    assert np.array_equal(nuclei((16, 40, 40), coverage=0, look=Look(outline=0.3)).labels, np.zeros((16, 40, 40)))


def test_looks_differ_as_asked():
    plain = nuclei(**VOLUME)
    dark = nuclei(**VOLUME, look=Look(background=0.02))
    outside = plain.labels == 0
    assert dark.image[outside].mean() < plain.image[outside].mean()
    # More counts for each photon: the same picture, in larger numbers.
    assert nuclei(**VOLUME, look=Look(gain=20)).image.mean() > 2 * plain.image.mean()

    def spread(look):
        sample = nuclei(**VOLUME, photons=300, look=look)
        light = ndimage.mean(sample.image, sample.labels, np.arange(1, sample.labels.max() + 1)) - 100
        return np.log(light).std()

    assert spread(Look(contrast=0.7)) > 1.3 * spread(Look(contrast=0.1))


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        ((64,), {}, "two or three axes"),
        ((64, 64), {"spacing": (1.0, 1.0, 1.0)}, "one positive number"),
        ((64, 64), {"spacing": (1.0, 0.0)}, "one positive number"),
        ((64, 64), {"diameter": 2}, "at least 4"),
        ((64, 64), {"coverage": 0.9}, "0 to 0.7"),
        ((64, 64), {"photons": 0}, "photons"),
    ],
)
def test_senseless_arguments_are_refused(shape, settings, said):
    with pytest.raises(SettingsError, match=said):
        nuclei(shape, **settings)
