"""Objects and areas are drawn fairly, and the same seed draws them again."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def labels():
    return nuclei((192, 256), diameter=16, seed=1).labels


def test_a_seed_draws_the_same_again_and_more_begins_with_it(labels):
    one, more = es.draw_sample(labels, n_objects=5, n_areas=4, seed=7), es.draw_sample(labels, seed=7)
    assert one == es.draw_sample(labels, n_objects=5, n_areas=4, seed=7)
    assert (more.objects[:5], more.areas[:4]) == (one.objects, one.areas)
    assert es.draw_sample(labels, seed=8).objects != more.objects
    assert len({es.draw_sample(labels).seed for _ in range(3)}) == 3


def test_objects_are_those_of_the_labels(labels):
    sample = es.draw_sample(labels, n_objects=10_000, seed=0)
    assert sorted(one.label for one in sample.objects) == np.unique(labels)[1:].tolist()
    for one in sample.objects:
        rows, columns = np.nonzero(labels == one.label)
        assert one.lower == (rows.min(), columns.min())
        assert one.upper == (rows.max() + 1, columns.max() + 1)


@pytest.mark.parametrize("shape", [(192, 256), (24, 96, 96)])
def test_areas_cover_all_without_overlap_and_hold_few_objects(shape):
    labels = nuclei(shape, diameter=14, seed=2).labels
    sample = es.draw_sample(labels, n_areas=10_000, seed=0)
    covered = np.zeros(shape, int)
    for area in sample.areas:
        covered[tuple(map(slice, area.lower, area.upper))] += 1
    assert (covered == 1).all()
    assert 1 <= sample.n_found / len(sample.areas) <= 5, "as many as fit where an object fits in"


def test_every_frame_of_a_movie_is_drawn_from(labels):
    movie = np.stack([labels, np.zeros_like(labels), labels])
    sample = es.draw_sample(movie, axes="TYX", n_objects=10_000, n_areas=10_000, seed=0)
    assert sample.shape == movie.shape
    assert {one.frame for one in sample.objects} == {0, 2}
    assert np.bincount([area.frame for area in sample.areas]).tolist() == [len(sample.areas) // 3] * 3


def test_axes_in_another_order_give_the_same_sample(labels):
    movie = np.stack([labels, labels[::-1]])
    sample = es.draw_sample(movie, axes="TYX", seed=3)
    assert es.draw_sample(movie.transpose(2, 0, 1), axes="XTY", seed=3) == sample
    assert es.draw_sample(dask.array.from_array(movie, chunks=(1, 64, 64)), axes="TYX", seed=3) == sample


def test_any_change_of_an_object_is_noticed(labels):
    changed = labels.copy()
    changed[np.nonzero(labels == 3)[0][0], np.nonzero(labels == 3)[1][0]] = 0
    assert es.draw_sample(changed, seed=0).digest != es.draw_sample(labels, seed=0).digest


@pytest.mark.parametrize("shape", [(1, 1), (9, 9), (3, 40, 40)])
def test_labels_without_objects_have_areas(shape):
    sample = es.draw_sample(np.zeros(shape, np.uint16), seed=0)
    assert sample.n_found == 0
    assert sample.objects == ()
    assert sample.areas


def test_an_object_that_fills_the_image_is_one_object_in_one_area():
    sample = es.draw_sample(np.ones((30, 40), int), seed=0)
    assert [one.label for one in sample.objects] == [1]
    assert [area.upper for area in sample.areas] == [(30, 40)]


def test_what_cannot_be_drawn_is_said(labels):
    with pytest.raises(SettingsError, match="at least one"):
        es.draw_sample(labels, n_objects=0, n_areas=0)
    with pytest.raises(DataError, match="do not fit"):
        es.draw_sample(labels, axes="ZYX")
    with pytest.raises(DataError):
        es.draw_sample(np.full((4, 4), 0.5))
