"""The plot of the Measure panel by itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.measure.plot import MeasurePlot


def test_numbers_at_the_axes_are_those_of_the_column_that_is_shown(qtbot) -> None:
    plot = MeasurePlot()
    qtbot.addWidget(plot)
    plot.show()
    scores, volumes = np.linspace(0.5, 0.9, 7), np.linspace(1000, 9000, 7)
    for values in (np.zeros(0), scores, volumes, scores):
        plot.show_values(values, "column", values, "column")
        qtbot.wait(20)
        for side in ("left", "bottom"):
            assert plot.plot.getAxis(side).autoSIPrefixScale == 1
