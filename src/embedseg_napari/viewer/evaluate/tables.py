"""Tables of the Evaluate panel: scores by IoU threshold, the objects to look at, and the images of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QFontMetrics, QIcon
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

from embedseg_napari.core.evaluation.diagnosis import Kind
from embedseg_napari.core.evaluation.error_map import MARK_OF
from embedseg_napari.viewer.evaluate.error_overlay import COLORS, swatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.evaluation.diagnosis import Finding
    from embedseg_napari.core.evaluation.matching import MatchRow
    from embedseg_napari.jobs.evaluate import ImageScore

RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

SCORES = {
    "IoU": "Intersection over union that a pair of a true and a predicted object must reach.",
    "AP": "Average precision, TP / (TP + FP + FN); with several images the mean of their values.",
    "Prec.": "Precision, TP / (TP + FP): the fraction of predicted objects that are correct.",
    "Rec.": "Recall, TP / (TP + FN): the fraction of true objects that are found.",
    "F1": "2 TP / (2 TP + FP + FN).",
    "PQ": "Panoptic quality: sum of the pairs' IoU / (TP + FP / 2 + FN / 2).",
    "TP": "True positives: matched pairs of objects.",
    "FP": "False positives: unmatched predicted objects.",
    "FN": "False negatives: unmatched true objects.",
}
APART = 5
"""Pixels between the numbers of neighbouring columns, at least."""
COUNTS = 6, 7, 8
"""Columns of whole numbers."""
LENIENT = (
    "Lenient AP: several true objects may share one prediction, as the original EmbedSeg scores overlapping truth."
)


class _Narrow(QStyledItemDelegate):
    """Writes a score without its zero, and then with fewer digits, where the column has no room for more."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        if "." not in option.text:
            return
        shorter = (f"{float(option.text):.{digits}f}" for digits in (3, 2, 1))
        for text in (option.text, *(one.removeprefix("0") for one in shorter)):
            option.text = text
            if option.fontMetrics.horizontalAdvance(text) <= option.rect.width() - APART:
                return


class ScoreTable(QTableWidget):
    """Scores, a row for each IoU threshold and one for their mean."""

    threshold_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        # The margins of a cell are spare room: a number fits into them rather than losing its digits.
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.horizontalHeader().setMinimumSectionSize(20)
        self._widest = self.fontMetrics().horizontalAdvance("mean") + 8
        self.horizontalHeader().setHighlightSections(False)
        self.setItemDelegate(_Narrow(self))
        self.setToolTip("Choose a row to see the mistakes at its IoU.")
        self.currentCellChanged.connect(self._choose)
        self.thresholds: list[float] = []

    def show_rows(self, rows: Sequence[MatchRow], lenient: Sequence[float] = ()) -> None:
        """Fill the table."""
        titles = [*SCORES, "Len."] if lenient else list(SCORES)
        with signals_blocked(self):
            self.setColumnCount(len(titles))
            self.setHorizontalHeaderLabels(titles)
            for column, title in enumerate(titles):
                self.horizontalHeaderItem(column).setToolTip(SCORES.get(title, LENIENT))
            # Scores get what room counts leave.
            most = max((str(max(row.tp, row.fp, row.fn)) for row in rows), key=len, default="")
            count = self.fontMetrics().horizontalAdvance(max(most, "TP", key=len)) + 10
            widths = {0: self._widest, **dict.fromkeys(COUNTS, count)}
            if lenient:
                # One column more, and the longest title is no longer as wide as the others have it.
                widths[titles.index("Prec.")] = self.horizontalHeader().fontMetrics().horizontalAdvance("Prec.") + 6
            self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            for column, width in widths.items():
                self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
                self.horizontalHeader().resizeSection(column, width)
            self.setRowCount(len(rows) + 1)
            self.thresholds = [row.threshold for row in rows]
            for index, row in enumerate(rows):
                values = [row.ap, row.precision, row.recall, row.f1, row.pq]
                counts = [str(row.tp), str(row.fp), str(row.fn)]
                texts = [f"{row.threshold:.2f}", *(f"{v:.3f}" for v in values), *counts]
                self._fill(index, texts + ([f"{lenient[index]:.3f}"] if lenient else []))
            n = max(len(rows), 1)
            means = [sum(getattr(row, name) for row in rows) / n for name in ("ap", "precision", "recall", "f1", "pq")]
            last = ["mean", *(f"{v:.3f}" for v in means), "", "", ""]
            self._fill(len(rows), last + ([f"{sum(lenient) / n:.3f}"] if lenient else []), is_mean=True)
        self.resizeRowsToContents()
        height = sum(self.rowHeight(i) for i in range(self.rowCount()))
        self.setFixedHeight(height + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth())

    def _fill(self, row: int, texts: list[str], is_mean: bool = False) -> None:
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if is_mean:
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.setItem(row, column, item)

    def select_threshold(self, threshold: float) -> None:
        """Mark the row of a threshold without telling anyone."""
        with signals_blocked(self):
            for index, value in enumerate(self.thresholds):
                if abs(value - threshold) < 1e-6:
                    self.selectRow(index)

    def _choose(self, row: int, *_: int) -> None:
        if 0 <= row < len(self.thresholds):
            self.threshold_chosen.emit(self.thresholds[row])


class _Rows(QAbstractTableModel):
    """Rows of cells; a cell is what is shown, and what it is sorted by."""

    def __init__(self, titles: Sequence[str], tips: Sequence[str], parent: QWidget) -> None:
        super().__init__(parent)
        self.titles, self.tips = list(titles), list(tips)
        self.cells: list[tuple[tuple[str, Any], ...]] = []
        self.icons: list[QIcon | None] = []

    def fill(self, cells: Sequence[tuple[tuple[str, Any], ...]], icons: Sequence[QIcon | None]) -> None:
        self.beginResetModel()
        self.cells, self.icons = list(cells), list(icons)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.cells)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.titles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        text, key = self.cells[index.row()][index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return text
        if role == Qt.ItemDataRole.UserRole:
            return key
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return self.icons[index.row()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return LEFT if index.column() == 0 else RIGHT
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.titles[section]
        return self.tips[section] if role == Qt.ItemDataRole.ToolTipRole else None


class _Shown(QSortFilterProxyModel):
    """Sorted by the cells' keys; rows whose first key is hidden are left out."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.hidden: set[Any] = set()
        self.setSortRole(Qt.ItemDataRole.UserRole)

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        return self.sourceModel().cells[row][0][1] not in self.hidden

    def hide(self, keys: set[Any]) -> None:
        self.hidden = keys
        self.invalidateFilter()


class _Table(QTableView):
    """A table of which one row is current; `row_chosen` gives its number in the order it was filled."""

    row_chosen = Signal(int)

    def __init__(self, titles: Sequence[str], tips: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = _Rows(titles, tips, self)
        self.shown = _Shown(self)
        self.shown.setSourceModel(self.rows)
        self.setModel(self.shown)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setHighlightSections(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(QFontMetrics(self.font()).height() + 8)
        self.selectionModel().currentRowChanged.connect(self._emit)
        # A click on the row that is current already leads back to its object.
        self.clicked.connect(self._emit)

    def _emit(self, index: QModelIndex, *_: object) -> None:
        if index.isValid():
            self.row_chosen.emit(self.shown.mapToSource(index).row())


class FindingTable(_Table):
    """The findings; choosing a row says which."""

    finding_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        titles = ("What", "True", "Pred.", "IoU", "Pixels", "t")
        tips = (
            "What happened to the object.",
            "Ids of the true objects.",
            "Ids of the predicted objects.",
            "IoU of the pair; for an unmatched object, its largest IoU with any object.",
            "Size of the object shown.",
            "Frame of the time-lapse, as the slider counts them.",
        )
        super().__init__(titles, tips, parent)
        self.setToolTip("Choose a row to go to the object.")
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(16)
        # Merges and splits name several objects: the other columns leave them what room there is.
        for column in (0, 3, 4, 5):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        metrics = QFontMetrics(self.font())
        header.resizeSection(0, max(metrics.horizontalAdvance(str(kind)) for kind in Kind) + 28)
        for column, text in ((3, "0.00"), (4, titles[4])):
            header.resizeSection(column, metrics.horizontalAdvance(text) + 8)
        # Beside what happened: ids are those of a frame.
        header.moveSection(5, 1)
        self.findings: tuple[Finding, ...] = ()
        self.row_chosen.connect(lambda row: self.finding_chosen.emit(self.findings[row]))

    def show_findings(self, findings: Sequence[Finding], has_frames: bool = False) -> None:
        """Fill the table; where there are frames, places begin with them."""
        self.setColumnHidden(5, not has_frames)
        icons = {kind: QIcon(swatch(COLORS[MARK_OF[kind]])) for kind in Kind}
        self.findings = tuple(findings)
        cells = [_cells(finding) for finding in self.findings]
        self.rows.fill(cells, [icons[f.kind] for f in self.findings])
        # Of true and predicted objects one kind has lists of ids more often: its column gets the room.
        longest = [max((row[column][0] for row in cells), key=len, default="") for column in (1, 2)]
        narrow = 2 if len(longest[0]) >= len(longest[1]) else 1
        header, metrics = self.horizontalHeader(), self.fontMetrics()
        least = max(metrics.horizontalAdvance(text) for text in (self.rows.titles[narrow], longest[narrow - 1]))
        header.setSectionResizeMode(3 - narrow, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(narrow, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(narrow, least + 8)
        header.resizeSection(5, max((metrics.horizontalAdvance(row[5][0]) for row in cells), default=0) + 8)

    def show_kinds(self, kinds: set[Kind]) -> None:
        """Leave out the findings of all other kinds."""
        self.shown.hide({str(kind) for kind in Kind if kind not in kinds})


def _cells(finding: Finding) -> tuple[tuple[str, Any], ...]:
    true, predicted = (", ".join(map(str, ids)) for ids in (finding.true_ids, finding.predicted_ids))
    return (
        (str(finding.kind), str(finding.kind)),
        (true, min(finding.true_ids, default=-1)),
        (predicted, min(finding.predicted_ids, default=-1)),
        (f"{finding.iou:.2f}", finding.iou),
        (str(finding.size), finding.size),
        (f"{finding.center[0]:.0f}", finding.center[0]),
    )


class ImageTable(_Table):
    """Scores of each image; choosing a row says which."""

    image_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        tips = ("Image.", "AP at IoU 0.5.", "Mean AP over IoU 0.5 to 0.9.", "True objects.", "Predicted objects.")
        super().__init__(("Image", "AP 0.5", "Mean AP", "True", "Pred."), tips, parent)
        self.setToolTip("Double-click an image (or press Enter) to see its mistakes.")
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        # The names need the room, and four digits have as much as a heading.
        for column, title in enumerate(self.rows.titles[1:], 1):
            header.resizeSection(column, QFontMetrics(self.font()).horizontalAdvance(max(title, "0.000", key=len)) + 12)
        self.images: tuple[ImageScore, ...] = ()
        self.activated.connect(self._open)

    def _open(self, index: QModelIndex) -> None:
        self.image_chosen.emit(self.images[self.shown.mapToSource(index).row()])

    def show_images(self, images: Sequence[ImageScore]) -> None:
        """Fill the table, worst image first."""
        self.images = tuple(sorted(images, key=lambda image: sum(row.ap for row in image.rows)))
        cells = []
        for image in self.images:
            first, mean = image.rows[0], sum(row.ap for row in image.rows) / len(image.rows)
            true, predicted = first.tp + first.fn, first.tp + first.fp
            cells.append(
                (
                    (image.name, image.name),
                    (f"{first.ap:.3f}", first.ap),
                    (f"{mean:.3f}", mean),
                    (str(true), true),
                    (str(predicted), predicted),
                )
            )
        self.rows.fill(cells, [None] * len(cells))
