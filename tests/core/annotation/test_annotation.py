from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.errors import DataError

SHAPES = st.sampled_from([(5, 6), (3, 4, 5)])
LABELS = SHAPES.flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 7, BACKGROUND, 70000]))
)


@given(labels=LABELS, data=st.data())
def test_example_knows_exactly_what_is_annotated(labels, data):
    regions = data.draw(st.none() | arrays(bool, labels.shape))
    example = Annotation(labels, regions).example("a", np.zeros(labels.shape, np.uint8))
    known = np.zeros(labels.shape, bool) if example.ignore is None else ~example.ignore
    if example.ignore is None:
        known[:] = True
    inside = np.zeros(labels.shape, bool) if regions is None else regions
    np.testing.assert_array_equal(known, (labels != 0) | inside)
    is_object = (labels != 0) & (labels != BACKGROUND)
    np.testing.assert_array_equal(example.instances[is_object], labels[is_object])
    assert not example.instances[~is_object].any()
    assert example.image.shape == (1, *labels.shape)
    counts = Annotation(labels, regions).counts()
    assert counts.n_objects == len(np.unique(labels[is_object]))
    assert counts.object_pixels == is_object.sum()
    assert counts.unlabelled_pixels == (~known).sum()
    assert counts.labelled_pixels + counts.unlabelled_pixels == labels.size


def test_fully_annotated_example_ignores_nothing():
    labels = np.array([[0, 3], [BACKGROUND, 0]], np.int32)
    assert Annotation(labels, np.ones((2, 2), bool)).example("a", np.zeros((2, 2))).ignore is None


def test_example_keeps_no_hold_on_what_is_painted():
    labels = np.array([[0, 3]], np.int32)
    example = Annotation(labels).example("a", np.zeros((1, 2)), spacing=[2, 3], unit="um")
    labels[:] = 5
    assert example.instances.tolist() == [[0, 3]]
    assert example.spacing == (2.0, 3.0)
    assert example.unit == "um"


def test_image_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"cells.*\(1, 3, 2\).*\(2, 2\)"):
        Annotation(np.zeros((2, 2), np.int32)).example("cells", np.zeros((3, 2)))
    with pytest.raises(DataError, match="regions"):
        Annotation(np.zeros((2, 2), np.int32), np.zeros((3, 2), bool))


def test_an_empty_region_is_no_region():
    labels = np.zeros((4, 5), np.int32)
    plain, empty = Annotation(labels), Annotation(labels, np.zeros((4, 5), bool))
    assert plain.is_empty
    assert empty.is_empty
    assert plain.is_same(empty)
    assert empty.is_same(plain)
    drawn = Annotation(labels, np.ones((4, 5), bool))
    assert not drawn.is_empty
    assert not drawn.is_same(empty)
    assert not drawn.is_same(Annotation(labels + 1, drawn.regions))
    assert not drawn.is_same(Annotation(labels, drawn.regions, frozenset({1})))
    assert not drawn.is_same(None)
