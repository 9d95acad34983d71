from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from embedseg_napari.core.annotation.edits import (
    accept,
    delete_predicted,
    fill_between_planes,
    merge,
    paint_object,
    repaint,
    split,
    stroke_pixels,
)
from embedseg_napari.core.annotation.states import BACKGROUND, object_ids
from embedseg_napari.core.errors import AnnotationError

IDS = st.sampled_from([0, 1, 2, 3, BACKGROUND])
PAIRS = st.sampled_from([(6, 7), (3, 4, 5)]).flatmap(
    lambda shape: st.tuples(arrays(np.int32, shape, elements=IDS), arrays(np.int32, shape, elements=st.integers(0, 2)))
)


def changed(edit, labels):
    """Apply an edit, holding it to its promises: the array stays, no pixel twice, only pixels that change."""
    before = labels.copy()
    out = edit.applied_to(labels)
    np.testing.assert_array_equal(labels, before)
    flat = np.ravel_multi_index(edit.indices, labels.shape)
    assert len(np.unique(flat)) == len(flat) == len(edit) == np.count_nonzero(out != labels)
    return out


@given(PAIRS, st.sets(st.integers(1, 3)))
def test_accepted_object_never_overwrites_a_protected_one(pair, protected):
    labels, predicted = pair
    predicted.flat[0] = 1
    out = changed(accept(labels, predicted, 1, 9, protected), labels)
    kept = np.isin(labels, list(protected)) | (predicted != 1)
    np.testing.assert_array_equal(out[kept], labels[kept])
    assert (out[~kept] == 9).all()


@given(PAIRS)
def test_without_a_list_all_objects_are_protected(pair):
    labels, predicted = pair
    predicted.flat[0] = 1
    out = changed(repaint(labels, predicted, 1, 9), labels)
    free = np.isin(labels, [0, BACKGROUND]) & (predicted == 1)
    np.testing.assert_array_equal(out, np.where(free, 9, labels))


@given(PAIRS)
def test_deleted_object_becomes_background_where_nothing_was_said(pair):
    labels, predicted = pair
    predicted.flat[0] = 1
    out = changed(delete_predicted(labels, predicted, 1), labels)
    np.testing.assert_array_equal(out, np.where((predicted == 1) & (labels == 0), BACKGROUND, labels))


def test_object_that_is_not_there():
    labels = np.zeros((3, 3), np.int32)
    for number in (0, 4):
        with pytest.raises(AnnotationError, match=f"no predicted object {number}"):
            accept(labels, labels, number, 1)


def test_protecting_background_protects_no_background():
    labels = np.full((1, 2), BACKGROUND, np.int32)
    assert len(paint_object(labels, np.nonzero(labels), 3, {BACKGROUND})) == 2


def two_squares(gap=3, ndim=2):
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 4:12] = 3
    labels[5:15, 12 + gap : 25] = 8
    return labels if ndim == 2 else np.repeat(labels[None], 5, 0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_merge_keeps_the_larger_id_and_fills_between(ndim):
    labels = two_squares(ndim=ndim)
    at = [(9.0, 1.0), (9.0, 29.0)] if ndim == 2 else [(2, 9, 1), (2, 9, 29)]
    out = changed(merge(labels, stroke_pixels(labels.shape, at)), labels)
    expected = np.where(labels == 3, 8, labels)
    expected[(9, slice(12, 15)) if ndim == 2 else (2, 9, slice(12, 15))] = 8
    # The ends of the stroke, beyond the objects, stay as they were.
    np.testing.assert_array_equal(out, expected)


def test_merge_fills_painted_background_but_no_other_object():
    labels = two_squares()
    labels[9, 13] = BACKGROUND
    labels[0:2] = 5
    out = changed(merge(labels, stroke_pixels(labels.shape, [(9, 8), (9, 20)])), labels)
    assert len(set(out[9, 4:25].tolist())) == 1
    assert (out[0:2] == 5).all()


def test_merge_of_one_object_is_refused():
    labels = two_squares()
    with pytest.raises(AnnotationError, match="fewer than two"):
        merge(labels, stroke_pixels(labels.shape, [(6, 5), (9, 9)]))


def slanted(ndim):
    """A stroke across the left square, aslant: every step of it is diagonal."""
    return [(4, 3), (15, 14)] if ndim == 2 else [(2, 4, 3), (2, 15, 14)]


@pytest.mark.parametrize("ndim", [2, 3])
def test_split_leaves_no_gap_and_cuts_all_planes(ndim):
    labels = two_squares(ndim=ndim)
    out = changed(split(labels, stroke_pixels(labels.shape, slanted(ndim))), labels)
    np.testing.assert_array_equal(out != 0, labels != 0)
    np.testing.assert_array_equal(out == 8, labels == 8)
    assert object_ids(out).tolist() == [3, 8, 9]
    for label in (3, 9):
        assert ndimage.label(out == label)[1] == 1
    assert (out == 3).sum() >= (out == 9).sum() > 0.3 * (labels == 3).sum()
    if ndim == 3:
        assert (out == out[0]).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split_goes_through_along_the_axis_that_is_not_displayed(axis):
    labels = np.zeros((12, 13, 14), np.int32)
    labels[2:10, 2:11, 2:12] = 1
    points = np.full((2, 3), 5)
    points[:, (axis + 1) % 3] = 0, 13
    labels = np.pad(labels, 2)
    through = stroke_pixels(labels.shape, points + 2)
    out = changed(split(labels, through, axis), labels)
    assert len(object_ids(out)) == 2
    # Along the axis of view, every line of pixels belongs to one part.
    moved = np.moveaxis(out, axis, 0)
    columns = np.where(moved == 0, moved.max(0), moved)
    assert (columns == columns[0]).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split_of_an_object_on_separate_planes_makes_one_object_of_each_side(axis):
    labels = np.zeros((10, 14, 14), np.int32)
    labels[[2, 5, 8], 2:12, 2:12] = 1
    # On the last plane the stroke meets none of it.
    labels[8, :, 5:] = 0
    stroke = stroke_pixels(labels.shape, [(5, 0, 5), (5, 13, 6)])
    order = np.roll(range(3), axis)
    turned, stroke = labels.transpose(order), tuple(stroke[a] for a in order)
    for through in (None, list(order).index(0)):
        out = changed(split(turned, stroke, through), turned).transpose(np.argsort(order))
        np.testing.assert_array_equal(out != 0, labels != 0)
        assert object_ids(out).tolist() == [1, 2]
        for plane in (2, 5):
            assert len(np.unique(out[plane, 2:12, 2:5])) == len(np.unique(out[plane, 2:12, 7:12])) == 1
            assert out[plane, 5, 3] != out[plane, 5, 10]
        assert np.unique(out[[2, 5, 8], 2:12, 2:5]).tolist() == [out[5, 5, 3]]


def test_a_stroke_that_divides_an_object_on_no_plane_is_refused():
    labels = np.zeros((10, 14, 14), np.int32)
    labels[[2, 5, 8], 2:12, 2:12] = 1
    with pytest.raises(AnnotationError, match="draw across the whole object"):
        split(labels, stroke_pixels(labels.shape, [(5, 0, 6), (5, 7, 6)]))


def test_what_a_cut_separates_of_a_connected_object_stays_apart():
    labels = np.zeros((10, 14, 14), np.int32)
    labels[[2, 8], 2:12, 2:12] = 1
    labels[2:9, 2:12, 2:4] = 1
    out = changed(split(labels, stroke_pixels(labels.shape, [(2, 0, 6), (2, 13, 6)])), labels)
    assert object_ids(out).tolist() == [1, 2, 3]
    assert out[2, 5, 10] != out[8, 5, 10]


def test_split_into_three():
    labels = two_squares()
    stroke = stroke_pixels(labels.shape, [(4, 6), (16, 6), (16, 9), (4, 9)])
    out = changed(split(labels, stroke), labels)
    assert object_ids(out).tolist() == [3, 8, 9, 10]


def test_stroke_that_does_not_divide_is_refused():
    labels = two_squares()
    with pytest.raises(AnnotationError, match="draw across the whole object"):
        split(labels, stroke_pixels(labels.shape, [(4, 6), (10, 6)]))
    with pytest.raises(AnnotationError, match="draw across the whole object"):
        # Along the border, leaving crumbs in its corner only.
        split(labels, stroke_pixels(labels.shape, [(4, 6), (7, 3)]))
    with pytest.raises(AnnotationError, match="touches no object"):
        split(labels, stroke_pixels(labels.shape, [(0, 0), (0, 10)]))


def test_split_takes_the_object_most_covered_and_ignores_pixels_outside():
    labels = two_squares(gap=0)
    rows = np.arange(-3, 25)
    out = changed(split(labels, (rows, np.full_like(rows, 16))), labels)
    np.testing.assert_array_equal(out == 3, labels == 3)
    assert object_ids(out).tolist() == [3, 8, 9]


@given(arrays(np.int32, (8, 9), elements=IDS), st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 10)), min_size=1))
def test_split_and_merge_change_nothing_but_objects_under_the_stroke(labels, points):
    stroke = stroke_pixels(labels.shape, points)
    for act in (split, merge):
        try:
            edit = act(labels, stroke)
        except AnnotationError:
            continue
        out = changed(edit, labels)
        under = object_ids(labels[stroke])
        on_stroke = np.zeros(labels.shape, bool)
        on_stroke[stroke] = True
        outside = ~np.isin(labels, under) & ~on_stroke
        np.testing.assert_array_equal(out[outside], labels[outside])
        is_object = np.isin(labels, [1, 2, 3])
        assert (out[is_object] != 0).all()
        assert (out[is_object] != BACKGROUND).all()


def test_stroke_has_no_gaps_and_stays_inside():
    rows, columns = stroke_pixels((10, 10), [(-3, 2), (5, 2), (5, 8.4)])
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(y, 2) for y in range(6)} | {
        (5, x) for x in range(2, 9)
    }
    assert [len(axis) for axis in stroke_pixels((10, 10), [])] == [0, 0]
    assert [axis.tolist() for axis in stroke_pixels((10, 10), [(3, 4)])] == [[3], [4]]


def cone(aslant=0.0):
    """A cone over 9 planes, growing by a pixel a plane, its axis aslant."""
    z, y, x = np.indices((9, 60, 60))
    return ((y - 20) ** 2 + (x - 18 - aslant * z) ** 2 <= (4 + z) ** 2).astype(np.int32) * 2


@pytest.mark.parametrize("aslant", [0.0, 3.0])
def test_shape_between_planes_is_that_of_a_cone(aslant):
    truth = cone(aslant)
    labels = np.zeros_like(truth)
    labels[[0, 4, 8]] = truth[[0, 4, 8]]
    out = changed(fill_between_planes(labels, 2), labels)
    for found, expected in zip(out, truth, strict=True):
        both, either = ((found > 0) & (expected > 0)).sum(), ((found > 0) | (expected > 0)).sum()
        assert both / either > 0.9


def test_filling_respects_what_is_painted():
    truth = cone()
    labels = np.zeros_like(truth)
    labels[[0, 8]] = truth[[0, 8]]
    labels[4, 18:22] = 5
    labels[5, 18:22] = BACKGROUND
    out = changed(fill_between_planes(labels, 2), labels)
    painted = labels != 0
    np.testing.assert_array_equal(out[painted], labels[painted])
    assert (out[4] == 2).any()


def test_filling_needs_two_planes_apart():
    labels = np.zeros((5, 6, 6), np.int32)
    labels[1:3, 2:4, 2:4] = 1
    with pytest.raises(AnnotationError, match="two planes"):
        fill_between_planes(labels, 1)
    with pytest.raises(AnnotationError, match="two planes"):
        fill_between_planes(labels, 7)
    with pytest.raises(AnnotationError, match="volumes"):
        fill_between_planes(labels[0], 1)
    with pytest.raises(AnnotationError, match="not background"):
        fill_between_planes(labels, BACKGROUND)
