"""Plots in the colours of the viewer's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def color_plots(view: Any, plots: Sequence[Any], legend: Any, background: str, foreground: str) -> None:
    """Give a view with its plots other colours.

    Parameters
    ----------
    view : GraphicsView
        Ground of the plots.
    plots : sequence of PlotItem
        Their axes and labels are coloured; the curves keep theirs.
    legend : LegendItem
        Of one of the plots.
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
