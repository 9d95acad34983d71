"""The overlay's pixels, colours and legend."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.evaluation.diagnosis import Kind, compare, diagnose
from embedseg_napari.core.evaluation.error_map import MARK_OF, Mark, paint
from embedseg_napari.viewer.evaluate.error_overlay import Legend, colormap, mark_names


def draw(ndim: int, *spans: tuple[int, int, int]) -> np.ndarray:
    """Bars along x: (id, first, last + 1)."""
    labels = np.zeros((6,) * (ndim - 1) + (60,), np.int32)
    for value, first, last in spans:
        labels[..., 1:5, first:last] = value
    return labels


def line(true: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Marks along a row through the bars."""
    compared = compare(true, predicted)
    painted = paint(true, predicted, compared, diagnose(compared, threshold))
    assert painted.shape == predicted.shape
    assert painted.dtype == np.uint8
    return painted[(2,) * (painted.ndim - 1)]


@pytest.mark.parametrize("ndim", [2, 3])
class TestPaint:
    def test_found_extra_and_missed(self, ndim: int) -> None:
        marks = line(draw(ndim, (3, 0, 10), (9, 20, 30)), draw(ndim, (5, 0, 10), (2, 40, 50)))
        assert set(marks[:10]) == {Mark.FOUND}
        assert set(marks[20:30]) == {Mark.MISSED}
        assert set(marks[40:50]) == {Mark.EXTRA}
        assert set(marks[50:]) == {Mark.NOTHING}

    def test_merge_and_split(self, ndim: int) -> None:
        true = draw(ndim, (1, 0, 10), (2, 10, 20), (3, 30, 50))
        predicted = draw(ndim, (1, 0, 20), (2, 30, 40), (3, 40, 50))
        marks = line(true, predicted, 0.6)
        assert set(marks[:20]) == {Mark.MERGE}
        assert set(marks[30:50]) == {Mark.SPLIT}

    def test_a_swallowed_object_shows_on_the_one_that_was_found(self, ndim: int) -> None:
        marks = line(draw(ndim, (1, 0, 16), (2, 16, 20)), draw(ndim, (7, 0, 20)))
        assert set(marks[:16]) == {Mark.FOUND}
        assert set(marks[16:20]) == {Mark.MERGE}

    def test_too_little_overlap_is_told_apart(self, ndim: int) -> None:
        marks = line(draw(ndim, (1, 0, 10)), draw(ndim, (1, 5, 15)))
        assert set(marks[:5]) == {Mark.MISSED}
        assert set(marks[5:10]) == {Mark.TOO_FAR}
        assert set(marks[10:15]) == {Mark.EXTRA}

    def test_huge_ids(self, ndim: int) -> None:
        true, predicted = draw(ndim, (3, 0, 10)).astype(np.int64), draw(ndim, (1, 0, 10), (2, 20, 30)).astype(np.int64)
        predicted[predicted == 2] = 1 << 40
        marks = line(true, predicted)
        assert set(marks[:10]) == {Mark.FOUND}
        assert set(marks[20:30]) == {Mark.EXTRA}


def test_planes() -> None:
    planes = np.stack([draw(2, (1, 0, 12)), draw(2, (1, 8, 20))]) != 0
    marks = line(planes, draw(2, (6, 0, 11)))
    assert set(marks[:8]) == {Mark.FOUND}
    assert set(marks[11:20]) == {Mark.MISSED}


def test_every_mark_has_a_name_and_a_colour_of_its_own(qtbot) -> None:
    names = mark_names()
    assert [names[MARK_OF[kind]] for kind in Kind] == [str(kind) for kind in Kind]
    colors = [tuple(colormap().color_dict[mark]) for mark in Mark if mark]
    assert len(set(colors)) == 6


def test_hidden_kinds_are_clear(qtbot) -> None:
    shown = colormap({Kind.FOUND}).color_dict
    assert shown[Mark.FOUND][3] == 1
    assert shown[Mark.EXTRA][3] == shown[Mark.TOO_FAR][3] == 0


def test_legend_counts_and_hides(qtbot) -> None:
    legend = Legend()
    qtbot.addWidget(legend)
    legend.set_counts({Kind.FOUND: 12, Kind.MERGE: 2})
    assert legend.boxes[Kind.FOUND].text() == "True positives: 12"
    assert legend.boxes[Kind.SPLIT].text() == "Splits: 0"
    with qtbot.waitSignal(legend.shown_changed):
        legend.boxes[Kind.FOUND].click()
    assert legend.shown() == set(Kind) - {Kind.FOUND}
