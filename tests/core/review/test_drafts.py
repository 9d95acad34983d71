"""Labels from elsewhere: brought onto an image, and ranked by doubt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.review.drafts import draft_labels, draft_queue


def squares() -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    for number, (y, x) in enumerate([(2, 2), (2, 20), (2, 40), (20, 2), (20, 20), (20, 40)], 1):
        labels[y : y + 10, x : x + 10] = number
    return labels


def test_numbers_are_counted_from_one_and_axes_turned() -> None:
    labels = squares()
    found, note = draft_labels(np.where(labels, labels * 1000, 0).T, "XY", labels.shape, "drafts")
    assert np.array_equal(found, labels)
    assert not note
    full = np.where(labels, labels, 9)
    assert len(np.unique(draft_labels(full, "", labels.shape, "drafts")[0])) == 7


def test_planes_of_one_object_each_are_laid_on_each_other() -> None:
    labels = squares()
    planes = np.stack([labels == number for number in range(1, 7)]).astype(np.uint8)
    assert np.array_equal(draft_labels(planes, "", labels.shape, "drafts")[0], labels)


def test_of_a_whole_movie_the_frame_is_taken() -> None:
    labels = squares()
    movie = np.stack([np.roll(labels, 3, 0), labels])
    assert np.array_equal(draft_labels(movie, "TYX", labels.shape, "drafts", frame=1)[0], labels)
    with pytest.raises(DataError, match="has the shape"):
        draft_labels(movie, "TYX", labels.shape, "drafts")


def test_a_binary_mask_is_taken_for_its_pieces_and_classes_are_refused() -> None:
    labels = squares()
    found, note = draft_labels((labels > 0).astype(np.uint8) * 255, "", labels.shape, "drafts")
    assert found.max() == 6
    assert "6 pieces" in note
    inner = ndimage.binary_erosion(labels, iterations=3)
    with pytest.raises(DataError, match="classes"):
        draft_labels((labels > 0) + inner.astype(np.uint8), "", labels.shape, "drafts")


def test_odd_objects_come_first_and_annotated_ones_not_at_all() -> None:
    labels = squares()
    labels[labels == 2] = 0
    labels[2:4, 20:22] = 2
    labels[35:39, 50:54] = 5
    annotation = np.where(labels == 6, 3, 0)
    queue = draft_queue(labels, annotation)
    assert {doubt.label for doubt in queue.doubts} == {1, 2, 3, 4, 5}
    assert {doubt.label for doubt in queue.doubts[:2]} == {2, 5}
    assert queue.doubts[-1].score < 0.1


def test_what_a_model_sees_otherwise_is_doubtful() -> None:
    labels = squares()
    predicted = np.where(labels == 3, 0, labels)
    drawn = np.where(labels == 4, 0, labels)
    drawn, _ = draft_labels(drawn, "", labels.shape, "drafts")
    queue = draft_queue(drawn, np.zeros_like(labels), predicted)
    first, second = queue.doubts[:2]
    assert {first.kind, second.kind} == {"object", "missed"}
    object_, missed = (first, second) if first.kind == "object" else (second, first)
    assert np.all(labels[drawn == object_.label] == 3)
    assert np.all(labels[missed.pixels] == 4)


@pytest.mark.parametrize("as_model", [False, True])
def test_an_object_is_looked_at_where_it_is(as_model: bool) -> None:
    labels = np.zeros((9, 20, 20), np.int32)
    labels[[2, 6], 3:8, 3:8] = 1
    # Bent: its middle is empty.
    labels[4, 10:18, 2] = labels[4, 17, 2:18] = 2
    drawn, found = (np.zeros_like(labels), labels) if as_model else (labels, None)
    doubts = draft_queue(drawn, np.zeros_like(labels), found).doubts
    assert sorted(int(labels[tuple(map(int, doubt.center))]) for doubt in doubts) == [1, 2]


def test_accepting_all_leaves_annotated_objects_and_numbers_the_others_anew() -> None:
    labels = squares()
    annotation = np.where(labels == 1, 12, 0)
    annotation[20:22] = 5
    queue = draft_queue(labels, annotation)
    edit, new_ids = queue.accept_all(annotation)
    after = edit.applied_to(annotation)
    assert np.all(after[annotation > 0] == annotation[annotation > 0])
    assert np.array_equal(after > 0, (labels > 0) | (annotation > 0))
    assert sorted(new_ids) == sorted(set(np.unique(after)) - {0, 5, 12})
