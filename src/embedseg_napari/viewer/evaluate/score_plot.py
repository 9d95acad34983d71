"""Curves of the scores over the IoU threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from embedseg_napari.viewer.widgets.plot_colors import color_plots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.evaluation.matching import MatchRow

LINES = {"ap": ("AP", "#009e73", 3), "f1": ("F1", "#56b4e9", 1.5), "pq": ("PQ", "#e69f00", 1.5)}
"""Score, its name, colour (Okabe and Ito's, told apart by colour-blind eyes too) and width of its line."""


class ScorePlot(QWidget):
    """AP, F1 and PQ over IoU 0.5 to 0.9, and the threshold of which the mistakes are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.view = pg.PlotWidget()
        self.view.setMinimumHeight(100)
        # Its usual size hint of a whole window would make the panel scroll.
        self.view.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.plot = self.view.getPlotItem()
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(False, False)
        self.plot.showGrid(y=True, alpha=0.2)
        self.plot.setLabel("bottom", "IoU threshold")
        bottom = self.plot.getAxis("bottom")
        bottom.enableAutoSIPrefix(False)
        bottom.setTicks([[(v, f"{v:.1f}") for v in (0.5, 0.6, 0.7, 0.8, 0.9)], []])
        self.plot.setXRange(0.5, 0.9, padding=0.03)
        self.plot.setYRange(0, 1, padding=0.04)
        self.legend = self.plot.addLegend(offset=(8, -8), labelTextSize="8pt", colCount=3)
        self.lines = {
            name: self.plot.plot(
                pen=pg.mkPen(color, width=width),
                symbol="o",
                symbolSize=5,
                symbolBrush=color,
                symbolPen=None,
                name=title,
            )
            for name, (title, color, width) in LINES.items()
        }
        self.marker = pg.InfiniteLine(0.5, pen=pg.mkPen("#808080", width=1))
        self.plot.addItem(self.marker)
        self.setToolTip(
            "Scores over the IoU threshold; the vertical line marks the threshold at which mistakes are shown."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)

    def show_rows(self, rows: Sequence[MatchRow]) -> None:
        """Draw the curves."""
        for name, line in self.lines.items():
            line.setData([row.threshold for row in rows], [getattr(row, name) for row in rows])

    def mark_threshold(self, threshold: float) -> None:
        """Move the upright line."""
        self.marker.setValue(threshold)

    def set_colors(self, background: str, foreground: str) -> None:
        """Follow the viewer's theme.

        Parameters
        ----------
        background, foreground : str
            Colours as ``"#rrggbb"``.
        """
        curves = {self.lines[name]: color for name, (_, color, _) in LINES.items()}
        color_plots(self.view, (self.plot,), self.legend, curves, background, foreground)
