"""Tables of scores, of objects and of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import QRect, Qt
from qtpy.QtWidgets import QStyleOptionViewItem

from embedseg_napari.core.evaluation.diagnosis import Kind, compare, diagnose
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.jobs.evaluate import ImageScore
from embedseg_napari.viewer.evaluate.tables import APART, FindingTable, ImageTable, ScoreTable


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """One object found at IoU 0.7, one missed, one invented."""
    true, predicted = np.zeros((2, 12, 60), np.int32)
    true[2:10, :10] = 1
    true[2:10, 20:30] = 2
    predicted[2:10, :7] = 8
    predicted[2:10, 40:45] = 9
    return true, predicted


def test_scores_and_their_mean(qtbot, pair) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_rows(match(*pair))
    assert table.rowCount() == 10
    assert [table.item(0, column).text() for column in range(9)] == [
        "0.50", "0.333", "0.500", "0.500", "0.500", "0.350", "1", "1", "1",
    ]  # fmt: skip
    assert table.item(5, 1).text() == "0.000"
    assert table.item(9, 0).text() == "mean"
    assert table.item(9, 1).text() == f"{5 / 9 / 3:.3f}"


def test_lenient_scores_get_a_column(qtbot, pair) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_rows(match(*pair), [0.25] * 9)
    assert table.item(0, 9).text() == table.item(9, 9).text() == "0.250"


def test_choosing_a_row_gives_its_threshold(qtbot, pair) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_rows(match(*pair))
    with qtbot.waitSignal(table.threshold_chosen) as chosen:
        table.selectRow(3)
    assert chosen.args == [0.65]
    with qtbot.assertNotEmitted(table.threshold_chosen):
        table.select_threshold(0.8)
    assert table.currentRow() == 6


@pytest.fixture
def objects(qtbot, pair) -> FindingTable:
    table = FindingTable()
    qtbot.addWidget(table)
    table.show_findings(diagnose(compare(*pair)).findings)
    return table


def texts(table: FindingTable) -> list[list[str]]:
    model = table.model()
    return [[model.index(r, c).data() for c in range(5)] for r in range(model.rowCount())]


def test_ids_of_merged_objects_can_be_read(qtbot) -> None:
    true = np.zeros((12, 60), np.int32)
    true[2:10, :10], true[2:10, 10:16] = 107, 122
    table = FindingTable()
    qtbot.addWidget(table)
    table.show_findings(diagnose(compare(true, (true > 0).astype(np.int32))).findings)
    # As wide as the panel in a window of 1366 pixels.
    table.resize(304, 300)
    table.show()
    ids = table.model().index(0, 1)
    assert ids.data() == "107, 122"
    assert table.fontMetrics().horizontalAdvance(ids.data()) <= table.visualRect(ids).width() - 6


def test_the_frame_of_a_mistake_is_beside_it_in_a_movie_alone(objects: FindingTable) -> None:
    assert objects.isColumnHidden(5)
    finding = replace(objects.findings[0], center=(12.0, 3.0, 4.0))
    objects.show_findings([finding], has_frames=True)
    # As wide as the panel in a window of 1366 pixels.
    objects.resize(304, 300)
    objects.show()
    header = objects.horizontalHeader()
    assert [header.logicalIndex(place) for place in range(2)] == [0, 5]
    assert objects.model().index(0, 5).data() == "12"
    assert header.length() <= objects.viewport().width()
    objects.show_findings(())
    assert objects.isColumnHidden(5)


def test_mistakes_come_first(objects: FindingTable) -> None:
    assert texts(objects) == [
        ["false negative", "2", "", "0.00", "80"],
        ["false positive", "", "9", "0.00", "40"],
        ["true positive", "1", "8", "0.70", "80"],
    ]


def test_the_chosen_finding_is_that_of_the_row_whatever_the_order(qtbot, objects: FindingTable) -> None:
    from qtpy.QtCore import Qt

    objects.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    with qtbot.waitSignal(objects.finding_chosen) as chosen:
        objects.selectRow(0)
    assert chosen.args[0].kind is Kind.FOUND


def test_kinds_can_be_left_out(objects: FindingTable) -> None:
    objects.show_kinds({Kind.EXTRA})
    assert [row[0] for row in texts(objects)] == ["false positive"]
    objects.show_kinds(set(Kind))
    assert len(texts(objects)) == 3


def test_worst_image_first(qtbot, pair) -> None:
    table = ImageTable()
    qtbot.addWidget(table)
    good, bad = (ImageScore(name, tuple(match(a, b))) for name, a, b in (("good", pair[0], pair[0]), ("bad", *pair)))
    table.show_images([good, bad])
    assert [table.model().index(r, 0).data() for r in range(2)] == ["bad", "good"]
    with qtbot.waitSignal(table.image_chosen) as chosen:
        table.activated.emit(table.model().index(1, 0))
    assert chosen.args[0] is good


def test_beginning_and_end_of_an_image_s_name_are_read_in_a_narrow_panel(qtbot, pair) -> None:
    table = ImageTable()
    qtbot.addWidget(table)
    table.show_images([ImageScore(64 * "0", tuple(match(*pair)))])
    table.resize(292, 200)
    table.show()
    assert table.columnWidth(0) > table.fontMetrics().horizontalAdvance("0000…0000")


def test_scores_keep_apart_in_a_narrow_panel(qtbot, pair) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_rows(match(*pair))
    index = table.model().index(0, 1)
    assert index.data() == index.data(Qt.ItemDataRole.ToolTipRole) == "0.333"
    option = QStyleOptionViewItem()
    widths = {text: option.fontMetrics.horizontalAdvance(text) for text in ("0.333", ".333", ".33")}
    for text, width in widths.items():
        option.rect = QRect(0, 0, width + APART, 20)
        table.itemDelegate().initStyleOption(option, index)
        assert option.text == text


def test_numbers_are_not_cut_in_a_narrow_panel(qtbot) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    # An ellipsis instead of digits makes a score worthless.
    assert table.textElideMode() == Qt.TextElideMode.ElideNone
