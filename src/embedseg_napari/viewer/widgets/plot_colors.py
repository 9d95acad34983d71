"""Plots in the colours of the viewer's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtGui import QColor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DARKER_ON_LIGHT = 160
"""Percent by which curves are darker on light ground than on dark."""


def color_plots(
    view: Any, plots: Sequence[Any], legend: Any, curves: Mapping[Any, str], background: str, foreground: str
) -> None:
    """Give a view with its plots other colours.

    Parameters
    ----------
    view : GraphicsView
        Ground of the plots.
    plots : sequence of PlotItem
        Their axes and labels are coloured.
    legend : LegendItem
        Of one of the plots.
    curves : mapping of PlotDataItem to str
        Their colours on dark ground, as ``"#rrggbb"`` or with transparency ``"#rrggbbaa"``.
    background, foreground : str
        Colours as ``"#rrggbb"``.
    """
    view.setBackground(background)
    for plot in plots:
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(foreground)
            axis.setTextPen(foreground)
    legend.setLabelTextColor(foreground)
    # Its texts take up a new colour only when they are written anew.
    for _, label in legend.items:
        label.setText(label.text, color=foreground)
    is_light = QColor(background).lightness() > QColor(foreground).lightness()
    for curve, color in curves.items():
        seen = pg.mkColor(color).darker(DARKER_ON_LIGHT) if is_light else pg.mkColor(color)
        curve.setPen(pg.mkPen(seen, width=curve.opts["pen"].widthF()))
        curve.setSymbolBrush(seen)
