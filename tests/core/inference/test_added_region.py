from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.added_region import Placed, add_region, edited
from embedseg_napari.core.inference.segmentation import Segmentation


def found(labels: np.ndarray, is_film: bool = False) -> Segmentation:
    if is_film:
        return Segmentation.stack([found(frame) for frame in labels])
    n = int(labels.max())
    centers = np.array([np.argwhere(labels == i).mean(axis=0) for i in range(1, n + 1)], np.float32)
    scores = np.linspace(0.9, 0.99, n).astype(np.float32)
    return Segmentation(labels, centers.reshape(n, labels.ndim), scores, PredictionConfig())


def boxes(shape: tuple[int, ...], *places: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (top, bottom, left, right) in enumerate(places, 1):
        labels[..., top:bottom, left:right] = number
    return labels


@pytest.mark.parametrize("shape", [(20, 40), (3, 20, 40)])
def test_objects_outside_stay_and_those_inside_are_found_anew(shape) -> None:
    before = Placed(found(boxes(shape, (2, 8, 2, 8), (2, 8, 24, 30), (12, 18, 24, 30))), (0,) * len(shape))
    part = Placed(found(boxes((*shape[:-1], 20), (2, 9, 4, 10))), (0,) * (len(shape) - 1) + (20,))
    both = add_region(before, part)
    assert both.start == (0,) * len(shape)
    expected = boxes(shape, (2, 8, 2, 8), (2, 9, 24, 30))
    np.testing.assert_array_equal(both.segmentation.labels, expected)
    assert both.sources.tolist() == [0, 1]
    for number, center in enumerate(both.segmentation.centers, 1):
        np.testing.assert_allclose(center, np.argwhere(expected == number).mean(axis=0), atol=1e-5)


def test_of_an_object_cut_by_the_edge_the_whole_one_stays() -> None:
    # The region begins within the first object, and was once ended within the second.
    before = Placed(found(boxes((20, 30), (2, 12, 5, 15), (2, 12, 26, 30))), (0, 0))
    part = Placed(found(boxes((20, 30), (2, 12, 0, 5), (2, 12, 16, 26))), (0, 10))
    both = add_region(before, part)
    np.testing.assert_array_equal(both.segmentation.labels, boxes((20, 40), (2, 12, 5, 15), (2, 12, 26, 36)))
    assert both.sources.tolist() == [0, 2]


def test_a_part_elsewhere_is_added_on_a_common_box() -> None:
    before, part = (Placed(found(boxes((10, 10), (2, 8, 2, 8))), start) for start in ((0, 5), (20, 0)))
    both = add_region(before, part)
    assert both.start == (0, 0)
    assert both.segmentation.labels.shape == (30, 15)
    assert np.unique(both.segmentation.labels).tolist() == [0, 1, 2]
    np.testing.assert_allclose(both.segmentation.centers, [[4.5, 9.5], [24.5, 4.5]])
    assert both.covers(before)
    assert not before.covers(both)


def test_a_frame_of_a_time_lapse_is_found_anew_and_numbers_stay_unique() -> None:
    film = found(np.stack([boxes((20, 20), (2, 8, 2, 8), (10, 16, 2, 8))] * 3), is_film=True)
    part = found(boxes((20, 20), (2, 8, 12, 18))[None], is_film=True)
    both = add_region(Placed(film, (0, 0, 0)), Placed(part, (1, 0, 0)))
    assert [np.unique(frame).tolist() for frame in both.segmentation.labels] == [[0, 1, 2], [0, 3], [0, 4, 5]]
    assert both.segmentation.centers[:, 0].tolist() == [0, 0, 1, 2, 2]
    assert both.sources.tolist() == [0, 0, 1, 0, 0]
    assert [len(frame.scores) for frame in both.segmentation.frames] == [2, 1, 2]


def test_edited_labels_are_added_to() -> None:
    shown = Placed(found(boxes((20, 40), (2, 8, 2, 8), (2, 8, 24, 30))), (0, 0))
    labels = shown.segmentation.labels.copy()
    labels[labels == 1] = 0
    labels[12:16, 2:8] = 9
    now = edited(shown, labels)
    assert np.unique(now.segmentation.labels).tolist() == [0, 1, 2]
    np.testing.assert_allclose(now.segmentation.centers, [[4.5, 26.5], [13.5, 4.5]])
    np.testing.assert_allclose(now.segmentation.scores, [0.99, np.nan], rtol=1e-5)
    both = add_region(now, Placed(found(boxes((20, 20))), (0, 20)))
    np.testing.assert_array_equal(both.segmentation.labels, boxes((20, 40), (12, 16, 2, 8)))


def test_an_edited_object_keeps_its_seed_and_loses_its_score() -> None:
    shown = Placed(found(boxes((20, 40), (2, 8, 2, 8), (2, 8, 24, 30))), (0, 0))
    for painted in (1, 0):
        labels = shown.segmentation.labels.copy()
        labels[7, 2:10] = painted
        now = edited(shown, labels).segmentation
        np.testing.assert_array_equal(now.centers, shown.segmentation.centers)
        np.testing.assert_allclose(now.scores, [np.nan, 0.99], rtol=1e-5)


def test_a_number_painted_into_several_frames_is_as_many_objects() -> None:
    film = found(np.stack([boxes((20, 20), (2, 8, 2, 8))] * 3), is_film=True)
    labels = film.labels.copy()
    labels[:, 12:18, 12:18] = 1
    now = edited(Placed(film, (0, 0, 0)), labels)
    assert [np.unique(frame).tolist() for frame in now.segmentation.labels] == [[0, 1], [0, 2, 3], [0, 4, 5]]
    np.testing.assert_array_equal(now.segmentation.labels > 0, labels > 0)
    # That of the first frame is no longer as it was found.
    assert np.isnan(now.segmentation.scores).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("is_film", [False, True])
def test_negative_numbers_are_objects_of_their_own(is_film) -> None:
    plane = boxes((20, 20), (2, 8, 2, 8))
    shown = found(np.stack([plane] * 2), is_film=True) if is_film else found(plane)
    labels = shown.labels.copy()
    labels[..., 12:18, 12:18] = -3
    now = edited(Placed(shown, (0,) * labels.ndim), labels).segmentation
    np.testing.assert_array_equal(now.labels > 0, labels != 0)
    assert np.isnan(now.scores).tolist() == [False, True] * (1 + is_film)


def test_nothing_found_before_or_in_the_part() -> None:
    empty, some = found(boxes((20, 20))), found(boxes((20, 20), (2, 8, 2, 8)))
    assert len(add_region(Placed(empty, (0, 0)), Placed(some, (5, 5))).segmentation.scores) == 1
    assert len(add_region(Placed(some, (0, 0)), Placed(empty, (5, 5))).segmentation.scores) == 1
    assert len(add_region(Placed(empty, (0, 0)), Placed(empty, (5, 5))).segmentation.scores) == 0
