"""A histogram of one measurement, or one over another; what is selected there is seen in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

FEWEST_BARS, BARS = 8, 40
FEW = 8
"""Below this many objects in a bar the axis would have steps of half a one."""
MARKED, BARE = "#e69f00", "#56b4e9"
"""Colours of selected objects and of the others (Okabe and Ito's)."""


class _Dragged(pg.ViewBox):
    """A plot in which a drag of the mouse selects a rectangle, and a click a point."""

    dragged = Signal(object)
    clicked = Signal(object)

    def mouseDragEvent(self, event: Any, axis: Any = None) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        event.accept()
        start, end = (self.childGroup.mapFromParent(at) for at in (event.buttonDownPos(), event.pos()))
        self.updateScaleBox(event.buttonDownPos(), event.pos())
        if event.isFinish():
            self.rbScaleBox.hide()
            self.dragged.emit(QRectF(start, end).normalized())

    def mouseClickEvent(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.clicked.emit(self.childGroup.mapFromParent(event.pos()))


class MeasurePlot(QWidget):
    """Draws values and tells which rows were selected."""

    selected = Signal(object)
    """Rows that a drag or a click chose; None where it chose none."""

    def __init__(self) -> None:
        super().__init__()
        self.box = _Dragged()
        self.view = pg.PlotWidget(viewBox=self.box)
        self.view.setMinimumHeight(140)
        self.view.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.plot = self.view.getPlotItem()
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        for side in ("bottom", "left"):
            # Before the axes have names: pyqtgraph goes on with the factor for the numbers that are shown then.
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        # The axis puts its name a little below itself.
        self.plot.layout.setContentsMargins(0, 0, 4, 6)
        self.bars = pg.BarGraphItem(x=[], height=[], width=1, brush=BARE, pen=None)
        self.marked = pg.BarGraphItem(x=[], height=[], width=1, brush=MARKED, pen=None)
        self.points = pg.ScatterPlotItem(size=6, pen=None, brush=BARE)
        for item in (self.bars, self.marked, self.points):
            self.plot.addItem(item)
        self.x: NDArray[np.float64] = np.zeros(0)
        self.y: NDArray[np.float64] | None = None
        self.edges = np.array([0.0, 1.0])
        """Of the bars."""
        self.setToolTip("Drag a rectangle to select objects, or click one; click beside them to select all again.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.box.dragged.connect(self._take_rectangle)
        self.box.clicked.connect(self._take_click)
        # A click on a point itself does not come through to the box.
        self.points.sigClicked.connect(lambda _, __, event: self._take_click(self.box.mapSceneToView(event.scenePos())))

    def show_values(self, x: NDArray[Any], x_name: str, y: NDArray[Any] | None, y_name: str) -> None:
        """Draw a histogram of x, or y over x."""
        self.x, self.y = np.asarray(x, float), None if y is None else np.asarray(y, float)
        self.plot.setLabel("bottom", x_name)
        self.plot.setLabel("left", y_name if y is not None else "objects")
        self.mark(None)
        self.plot.autoRange()

    def mark(self, rows: Collection[int] | None) -> None:
        """Let some rows stand out; none in particular if it is None."""
        is_marked = np.zeros(len(self.x), bool)
        if rows is not None:
            is_marked[list(rows)] = True
        self.plot.getAxis("left").setTickSpacing()
        if self.y is not None:
            self.bars.setOpts(x=[], height=[])
            self.marked.setOpts(x=[], height=[])
            colors = np.where(is_marked, MARKED, BARE)
            is_known = np.isfinite(self.x) & np.isfinite(self.y)
            # Marked ones last, so that they lie above.
            order = np.flatnonzero(is_known)[np.argsort(is_marked[is_known], kind="stable")]
            brushes = {name: pg.mkBrush(name) for name in (MARKED, BARE)}
            self.points.setData(self.x[order], self.y[order], brush=[brushes[name] for name in colors[order]])
            return
        self.points.setData([], [])
        known = self.x[np.isfinite(self.x)]
        n_bars = int(np.clip(2 * np.sqrt(len(known)), FEWEST_BARS, BARS))
        edges = self.edges = np.histogram_bin_edges(known, n_bars) if len(known) else np.array([0.0, 1.0])
        middles, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
        for item, values in ((self.bars, known), (self.marked, self.x[is_marked & np.isfinite(self.x)])):
            item.setOpts(x=middles, height=np.histogram(values, edges)[0], width=width)
        if self.bars.opts["height"].max() < FEW:
            # There is no half an object.
            self.plot.getAxis("left").setTickSpacing(1, 1)

    def set_colors(self, background: str, foreground: str) -> None:
        """Follow the viewer's theme; colours as ``"#rrggbb"``."""
        self.view.setBackground(background)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(foreground)
            axis.setTextPen(foreground)

    def _take_rectangle(self, area: QRectF) -> None:
        inside = (self.x >= area.left()) & (self.x <= area.right())
        if self.y is not None:
            inside &= (self.y >= area.top()) & (self.y <= area.bottom())
        self._choose(np.flatnonzero(inside))

    def _take_click(self, point: QPointF) -> None:
        width, height = self.box.viewPixelSize()
        if self.y is None:
            bar = int(np.searchsorted(self.edges, point.x())) - 1
            is_there = 0 <= bar < len(self.edges) - 1
            inside = is_there & (self.x >= self.edges[bar]) & (self.x <= self.edges[(bar + 1) % len(self.edges)])
            self._choose(np.flatnonzero(inside))
            return
        away = np.hypot((self.x - point.x()) / width, (self.y - point.y()) / height)
        away[~np.isfinite(away)] = np.inf
        nearest = int(np.argmin(away)) if len(away) else -1
        self._choose(np.array([nearest] if nearest >= 0 and away[nearest] < 10 else [], int))

    def _choose(self, rows: NDArray[np.int64]) -> None:
        self.selected.emit(rows.tolist() if len(rows) else None)
