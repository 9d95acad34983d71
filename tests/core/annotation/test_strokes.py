from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedseg_napari.core.annotation.edits import stroke_pixels
from embedseg_napari.core.annotation.states import BACKGROUND, object_ids
from embedseg_napari.core.annotation.strokes import merge_shown, split_shown
from embedseg_napari.core.errors import AnnotationError

ANNOTATIONS = arrays(np.int32, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 3, BACKGROUND]))
PREDICTIONS = arrays(np.int32, (6, 7), elements=st.integers(0, 3))
POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=4)


def scene(ndim=2):
    """Two predicted squares side by side, 1 and 2, and beneath them a hand-painted 1 and an accepted 2."""
    predicted, labels = np.zeros((2, 24, 24), np.int32)
    predicted[2:10, 2:10], predicted[2:10, 12:20] = 1, 2
    labels[14:22, 2:12], labels[14:22, 12:20] = 1, 2
    if ndim == 3:
        predicted, labels = (np.repeat(one[None], 4, axis=0) for one in (predicted, labels))
    return predicted, labels


def line(ndim, *points):
    points = np.array(points, float)
    shape = (4, 24, 24)[-ndim:]
    return stroke_pixels(shape, points if ndim == 2 else np.insert(points, 0, 1, axis=1))


def checked(found, labels):
    """The annotation after a stroke; only what is promised changes."""
    after = found.edit.applied_to(labels)
    flat = np.ravel_multi_index(found.edit.indices, labels.shape)
    assert len(np.unique(flat)) == len(flat) == np.count_nonzero(after != labels)
    assert found.accepted_ids <= set(object_ids(after).tolist())
    return after


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_predicted_object_is_copied_and_cut_through_all_planes(ndim):
    predicted, labels = scene(ndim)
    found = split_shown(labels, predicted, line(ndim, (0, 5), (11, 5)), {2}, through=0 if ndim == 3 else None)
    after = checked(found, labels)
    assert found.accepted_ids == {3, 4}
    assert np.array_equal(np.isin(after, (3, 4)), predicted == 1)
    assert (after[..., 2:10, 2:5] == 4).all()
    assert (after[..., 2:10, 6:10] == 3).all()
    assert np.array_equal(after[predicted != 1], labels[predicted != 1])


@pytest.mark.parametrize(("at", "accepted"), [(6, frozenset()), (16, frozenset({2, 3}))])
def test_parts_of_an_annotated_object_are_accepted_if_it_was(at, accepted):
    predicted, labels = scene()
    found = split_shown(labels, predicted, line(2, (12, at), (23, at)), {2})
    after = checked(found, labels)
    assert found.accepted_ids == accepted
    assert len(object_ids(after)) == 3


def test_the_object_that_is_covered_most_is_cut():
    predicted, labels = scene()
    stroke = line(2, (0, 5), (15, 5))
    assert 1 in object_ids(labels[stroke])
    after = checked(split_shown(labels, predicted, stroke), labels)
    assert np.array_equal(after == 1, labels == 1)
    assert len(np.unique(after[predicted == 1])) == 2


@pytest.mark.parametrize("ndim", [2, 3])
def test_predicted_objects_are_merged_with_the_gap_between(ndim):
    predicted, labels = scene(ndim)
    found = merge_shown(labels, predicted, line(ndim, (5, 5), (5, 15)), {2})
    after = checked(found, labels)
    (new,) = found.accepted_ids
    assert (after[predicted > 0] == new).all()
    assert np.count_nonzero(after == new) == np.count_nonzero(predicted) + 2


@pytest.mark.parametrize(
    ("points", "accepted_before", "kept", "accepted"),
    [
        (((18, 4), (18, 15)), set(), 1, frozenset()),  # both painted by hand
        (((18, 4), (18, 15)), {1}, 1, frozenset({1})),
        (((18, 4), (18, 15)), {2}, 3, frozenset({3})),  # the larger was painted by hand
        (((5, 5), (18, 5)), {1}, 1, frozenset({1})),  # predicted into accepted
        (((5, 5), (18, 5)), set(), 4, frozenset({4})),  # predicted into painted by hand
    ],
)
def test_a_merged_object_is_accepted_if_one_of_its_parts_was_not_painted_by_hand(
    points, accepted_before, kept, accepted
):
    predicted, labels = scene()
    found = merge_shown(labels, predicted, line(2, *points), accepted_before)
    after = checked(found, labels)
    assert found.accepted_ids == accepted
    assert len({int(after[point]) for point in points} | {kept}) == 1


def test_what_was_made_background_or_is_mostly_annotated_is_no_longer_seen():
    predicted, labels = scene()
    labels[predicted == 1] = BACKGROUND
    labels[2:10, 12:17] = 5
    stroke = line(2, (9, 3), (9, 19))
    with pytest.raises(AnnotationError, match="fewer than two"):
        merge_shown(labels, predicted, stroke)
    with pytest.raises(AnnotationError, match="no object"):
        split_shown(labels, predicted, line(2, (0, 5), (11, 5)))


def test_without_a_prediction_only_annotated_objects_count():
    _, labels = scene()
    with pytest.raises(AnnotationError, match="no object"):
        split_shown(labels, None, line(2, (0, 5), (11, 5)))
    assert len(merge_shown(labels, None, line(2, (18, 4), (18, 15))).edit)


@given(ANNOTATIONS, PREDICTIONS, POINTS, st.sets(st.integers(1, 3)))
def test_strokes_change_only_objects_they_touch(labels, predicted, points, accepted):
    stroke = stroke_pixels(labels.shape, points)
    touched = set(object_ids(labels[stroke]).tolist())
    for act in (split_shown, merge_shown):
        try:
            found = act(labels, predicted, stroke, accepted)
        except AnnotationError:
            continue
        after = checked(found, labels)
        others = [one for one in object_ids(labels) if one not in touched]
        for one in others:
            assert np.array_equal(after == one, labels == one)
        # Acceptance is never taken away from what is left, and never given to what a person painted.
        assert not (found.accepted_ids & (touched - accepted))
