"""The scores of an evaluation: headline, table, curves, and their file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.jobs.evaluate import mean_ap, scores_as_csv
from embedseg_napari.viewer.evaluate.score_plot import ScorePlot
from embedseg_napari.viewer.evaluate.tables import ScoreTable
from embedseg_napari.viewer.widgets.boxes import Sentence

if TYPE_CHECKING:
    from embedseg_napari.jobs.evaluate import Evaluation


class ScoresPage(QWidget):
    """Scores over IoU 0.5 to 0.9."""

    written = Signal(object)
    """Path of the file that the scores were saved to."""
    failed = Signal(object)
    """The error for which they could not be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: Evaluation | None = None
        self.headline = Sentence("No scores yet: choose truth and prediction, then press Evaluate.")
        self.table, self.plot = ScoreTable(), ScorePlot()
        self.export = QPushButton("Save scores…")
        self.export.setToolTip("Write the scores of all images together, and of each, to a CSV file.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 6, 2, 4)
        layout.addWidget(self.headline, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.table)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.export)
        for widget in (self.table, self.plot, self.export):
            widget.hide()
        self.export.clicked.connect(self._export)

    def show_scores(self, scores: Evaluation, threshold: float) -> None:
        """Show the scores of an evaluation; `threshold` is the row that is selected."""
        self.scores = scores
        self.table.show_rows(scores.rows, scores.lenient)
        self.table.select_threshold(threshold)
        self.plot.show_rows(scores.rows)
        first = scores.rows[0]
        n = len(scores.images)
        lines = [f"<b>AP {first.ap:.3f}</b> at IoU 0.5, <b>{mean_ap(scores):.3f}</b> as mean over 0.5 to 0.9"]
        where = f" in {n} images" if n > 1 else ""
        lines.append(f"{first.tp + first.fn} true and {first.tp + first.fp} predicted objects{where}")
        self.headline.setText("<br>".join(lines))
        for widget in (self.table, self.plot, self.export):
            widget.show()

    def mark_threshold(self, threshold: float) -> None:
        """Mark the IoU of which the mistakes are shown."""
        self.table.select_threshold(threshold)
        self.plot.mark_threshold(threshold)

    def write(self, path: Path) -> None:
        """Write the scores to a CSV file."""
        assert self.scores is not None
        try:
            write_text(path, scores_as_csv(self.scores))
        except DataError as error:
            self.failed.emit(error)
        else:
            self.written.emit(path)

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save scores", "scores.csv", "Tables (*.csv)")
        if path:
            self.write(Path(path))
