"""Numbers that settings are derived from."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import ObjectSizes
from embedseg_napari.core.data.pairs import from_arrays, load_folder
from embedseg_napari.core.data.statistics import (
    least_object_size,
    measure,
    object_sizes,
    scale_to_known,
    suggested_crop_size,
)
from embedseg_napari.core.errors import DataError


def boxes(ndim, *extents, size=64):
    """Labels of boxes of given extents along x; 3 pixels in every other axis."""
    labels = np.zeros((size,) * ndim, np.int32)
    for index, extent in enumerate(extents):
        labels[(*[slice(8 * index, 8 * index + 3)] * (ndim - 1), slice(5, 5 + extent))] = 10 * (index + 1)
    return labels


@pytest.mark.parametrize("ndim", [2, 3])
def test_sizes_are_those_of_the_objects(ndim):
    labels = boxes(ndim, 10, 20, 30)
    found = measure(from_arrays([(np.zeros(labels.shape), labels)]))
    assert (found.n_objects, found.ndim, found.n_channels) == (3, ndim, 1)
    assert found.sizes.mean == (*[3.0] * (ndim - 1), 20.0)
    assert found.sizes.std == (*[0.0] * (ndim - 1), pytest.approx(np.std([10, 20, 30]), abs=1e-3))
    assert found.sizes.minimum[-1] == 10
    assert found.sizes.maximum[-1] == 30
    assert found.sizes.min_size == 10 * 3 ** (ndim - 1)
    assert found.sizes.mean_size == 20 * 3 ** (ndim - 1)
    inside = 60 * 3 ** (ndim - 1)
    assert found.foreground_fraction == pytest.approx(inside / labels.size)
    assert found.background_over_foreground == pytest.approx((labels.size - inside) / inside)
    assert not found.is_overlapping


def test_of_many_objects_a_slip_of_the_brush_does_not_decide_what_is_too_small():
    sizes = np.full(300, 40)
    sizes[:3] = 2
    many = object_sizes(np.ones((300, 2)), sizes)
    assert (many.min_size, many.small_size, least_object_size(many)) == (2, 40, 30)
    few = object_sizes(np.ones((5, 2)), sizes[3:8])
    assert least_object_size(few) == 20
    assert least_object_size(object_sizes(np.ones((0, 2)), np.ones(0))) == 0


@pytest.mark.parametrize("ndim", [2, 3])
def test_planes_count_like_labels_but_may_overlap(ndim):
    labels = boxes(ndim, 10, 20)
    planes = np.stack([labels == 10, labels == 20, labels == 0])
    planes[2] = False
    image = np.zeros(labels.shape)
    assert measure(from_arrays([(image, planes)])).sizes == measure(from_arrays([(image, labels)])).sizes
    twice = measure(from_arrays([(image, np.stack([labels == 20, labels == 20]))]))
    assert twice.is_overlapping
    assert twice.n_objects == 2
    # A pixel of two objects is one pixel of foreground.
    assert twice.foreground_fraction == pytest.approx(20 * 3 ** (ndim - 1) / labels.size)


def test_several_images_and_an_empty_one():
    image = np.zeros((64, 64))
    found = measure(from_arrays([(image, boxes(2, 10)), (image, np.zeros((64, 64), int)), (image, boxes(2, 20, 30))]))
    assert found.n_objects == 3
    assert found.sizes.mean[-1] == 20


def test_no_object_at_all_is_measured_too():
    found = measure(from_arrays([(np.zeros((9, 9)), np.zeros((9, 9), int))]))
    assert (found.n_objects, found.foreground_fraction, found.background_over_foreground) == (0, 0.0, 1.0)
    with pytest.raises(DataError, match="label some"):
        suggested_crop_size(found.sizes, [(9, 9)])
    with pytest.raises(DataError, match="no images"):
        measure([])


def test_ignored_pixels_are_neither_foreground_nor_background():
    labels = boxes(2, 10, 20)
    ignore = np.ones(labels.shape, bool)
    ignore[:3, 5:25] = False
    found = measure(from_arrays([(np.zeros(labels.shape), labels, ignore)]))
    assert found.foreground_fraction == 0.5
    assert found.background_over_foreground == 1.0


def test_spacing_of_the_first_image_that_has_one():
    labels = boxes(2, 10)
    plain, known = from_arrays([(labels, labels)]), from_arrays([(labels, labels)], spacing=(0.5, 0.25))
    assert measure([*plain, *known]).spacing == (0.5, 0.25)


def sizes(mean, std):
    return ObjectSizes(n_objects=9, mean=mean, std=std, minimum=mean, maximum=mean, mean_size=1, min_size=1)


@pytest.mark.parametrize(
    ("mean", "std", "shapes", "least", "expected"),
    [
        # 20 - 1 + 5 * 4 = 39 and 25 - 1 + 5 * 5 = 49: the larger side for both, up to the next multiple of 8.
        ((20, 25), (4, 5), [(500, 500)], 8, (56, 56)),
        ((33, 33), (0, 0), [(500, 500)], 8, (32, 32)),
        ((33.1, 33), (0, 0), [(500, 500)], 8, (40, 40)),
        ((11, 20, 25), (1, 4, 5), [(100, 500, 500)], 8, (16, 56, 56)),
        ((2, 2), (0, 0), [(500, 500)], 8, (8, 8)),
        ((2, 2), (0, 0), [(500, 500)], 128, (128, 128)),
        # No larger than the largest image, rounded up.
        ((300, 300), (40, 40), [(100, 90), (90, 60)], 8, (104, 104)),
        ((30, 20, 20), (9, 0, 0), [(10, 500, 500), (21, 60, 60)], 8, (24, 24, 24)),
        ((2, 2), (0, 0), [(50, 60)], 128, (64, 64)),
    ],
)
def test_crop_size(mean, std, shapes, least, expected):
    assert suggested_crop_size(sizes(mean, std), shapes, least) == expected


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_objects", "expected"),
    [("bbbc010", 710, (256, 256)), ("gonuclear", 116, (40, 80, 80)), ("bbbc050", 1199, (40, 40, 40))],
)
def test_real_images(shared_data, name, n_objects, expected):
    examples = load_folder(shared_data(name) / "train")
    found = measure(examples)
    assert found.n_objects == n_objects
    assert found.n_objects == sum(
        int(e.instances.any(tuple(range(1, e.instances.ndim))).sum())
        if e.is_planes
        else len(np.unique(e.instances)) - 1
        for e in examples
    )
    assert suggested_crop_size(found.sizes, [e.image.shape[1:] for e in examples]) == expected


def test_few_objects_do_not_raise_the_least_size_that_a_start_model_has():
    few, many = object_sizes(np.full((8, 2), 22.0), np.full(8, 387)), object_sizes(np.ones((500, 2)), np.full(500, 400))
    assert least_object_size(few, 19) == 19
    assert least_object_size(few, 500) == least_object_size(few) < 387
    assert least_object_size(many, 19) == least_object_size(many) > 19


def test_an_image_is_scaled_to_what_a_model_knows_unless_it_knows_such_sizes():
    def of(extent, spread=0.0):
        return ObjectSizes(n_objects=9, mean=(extent, extent), std=(spread, spread), mean_size=extent**2)

    assert scale_to_known(of(50.0), of(25.0)) == pytest.approx(0.5)
    assert scale_to_known(of(10.0), of(25.0)) == pytest.approx(2.5)
    assert scale_to_known(of(22.0), of(25.0)) == 1
    assert scale_to_known(of(12.0), of(25.0, 14.0)) == 1
    assert scale_to_known(ObjectSizes(), of(25.0)) == scale_to_known(of(25.0), ObjectSizes()) == 1
