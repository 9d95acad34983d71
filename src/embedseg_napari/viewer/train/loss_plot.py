"""Curves of a training while it runs: loss by step and epoch, score by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import qthrottled

from embedseg_napari.viewer.widgets.plot_colors import color_plots

if TYPE_CHECKING:
    from embedseg_napari.core.events import EpochFinished, StepFinished

REDRAW_MILLISECONDS = 250
"""The eye asks for no more, and drawing takes time from the viewer."""
MOST_POINTS = 1000
"""So many step losses are averaged in pairs, so that a long training draws as fast as a short one; an even number."""
LOSS_COLOR, AP_50_COLOR, AP_COLOR = "#e69f00", "#56b4e9", "#009e73"
"""Told apart by colour-blind eyes too (Okabe and Ito)."""


class LossPlot(QWidget):
    """Two small plots that share their time axis: loss above, average precision of true predictions below."""

    def __init__(self) -> None:
        super().__init__()
        self.view = pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(120)
        # Where there is little room, plots give way to controls.
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        # Shown with its first curve: empty axes say nothing, and to draw them first takes a while.
        policy.setRetainSizeWhenHidden(True)
        self.view.setSizePolicy(policy)
        self.loss = self.view.addPlot(row=0, col=0)
        self.score = self.view.addPlot(row=1, col=0)
        for plot, name in ((self.loss, "loss"), (self.score, "AP")):
            plot.setLabel("left", name)
            plot.getAxis("left").setWidth(48)
            for side in ("left", "bottom"):
                # The same number as beside the curve, not 681 in thousandths.
                plot.getAxis(side).enableAutoSIPrefix(False)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.showGrid(y=True, alpha=0.2)
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.score.setLabel("bottom", "step")
        self.score.setXLink(self.loss)
        self.score.setYRange(0, 1)
        self.score.setLimits(yMin=-0.05, yMax=1.05)
        legend = self.score.addLegend(offset=(4, -4), labelTextSize="8pt")
        legend.anchor((0, 0), (0, 0), (4, 2))
        self.step_line = self.loss.plot(pen=pg.mkPen(LOSS_COLOR + "90", width=1))
        self.epoch_line = self.loss.plot(pen=pg.mkPen(LOSS_COLOR, width=2))
        self.ap_50_line = self.score.plot(
            pen=pg.mkPen(AP_50_COLOR, width=2), symbol="o", symbolSize=4, symbolBrush=AP_50_COLOR, symbolPen=None,
            name="IoU 0.5",
        )  # fmt: skip
        self.ap_line = self.score.plot(
            pen=pg.mkPen(AP_COLOR, width=2), symbol="o", symbolSize=4, symbolBrush=AP_COLOR, symbolPen=None,
            name="mean of IoU 0.5 to 0.9",
        )  # fmt: skip
        self.legend = legend
        self.setToolTip(
            "Above: the loss, thin by step, thick by epoch. Below: average precision of true predictions on the "
            "held-out images, at IoU 0.5 and averaged over IoU 0.5 to 0.9."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.steps: list[float] = []
        self.losses: list[float] = []
        self.epochs: list[EpochFinished] = []
        self.redraw()

    def add_step(self, event: StepFinished) -> None:
        """Take up the loss of a step."""
        self.steps.append(event.step)
        self.losses.append(event.loss)
        if len(self.steps) >= MOST_POINTS:
            self.steps = np.reshape(self.steps, (-1, 2)).mean(1).tolist()
            self.losses = np.reshape(self.losses, (-1, 2)).mean(1).tolist()
        self._redraw_soon()

    def add_epoch(self, event: EpochFinished) -> None:
        """Take up the row of an epoch."""
        self.epochs.append(event)
        self._redraw_soon()

    @qthrottled(timeout=REDRAW_MILLISECONDS, leading=False)
    def _redraw_soon(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Draw what was taken up."""
        self.view.setVisible(bool(self.steps or self.epochs))
        self.step_line.setData(self.steps, self.losses)
        self.epoch_line.setData([e.step for e in self.epochs], [e.loss for e in self.epochs])
        scored = [e for e in self.epochs if e.ap_50 is not None and e.ap_mean is not None]
        self.ap_50_line.setData([e.step for e in scored], [e.ap_50 for e in scored])
        self.ap_line.setData([e.step for e in scored], [e.ap_mean for e in scored])

    def set_scored(self, is_scored: bool) -> None:
        """Show or hide the score's plot: without held-out images there is none."""
        self.score.setVisible(is_scored)
        axis = self.loss.getAxis("bottom")
        axis.setStyle(showValues=not is_scored)
        self.loss.setLabel("bottom", "" if is_scored else "step")

    def set_colors(self, background: str, foreground: str) -> None:
        """Follow the viewer's theme.

        Parameters
        ----------
        background, foreground : str
            Colours as ``"#rrggbb"``.
        """
        curves = {
            self.step_line: f"{LOSS_COLOR}90",
            self.epoch_line: LOSS_COLOR,
            self.ap_50_line: AP_50_COLOR,
            self.ap_line: AP_COLOR,
        }
        color_plots(self.view, (self.loss, self.score), self.legend, curves, background, foreground)
