"""Curves take up what training says, and stay quick to draw."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.events import EpochFinished, StepFinished
from embedseg_napari.viewer.train.loss_plot import MOST_POINTS, LossPlot


def step(number: int, loss: float) -> StepFinished:
    return StepFinished(0, number, loss, 0.0, 0.0, 0.0, 1e-3, 0.5)


def epoch(number: int, ap: float | None) -> EpochFinished:
    return EpochFinished(number, 64 * (number + 1), 1.0, 0.5, 0.1, 0.1, 0.3, 1e-3, ap, ap, False)


def test_curves_show_steps_epochs_and_scores(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    # Axes without curves say nothing.
    assert plot.view.isHidden()
    for number in range(1, 4):
        plot.add_step(step(number, 1 / number))
    plot.add_epoch(epoch(0, None))
    plot.add_epoch(epoch(1, 0.7))
    plot.redraw()
    assert not plot.view.isHidden()
    np.testing.assert_allclose(plot.step_line.getData()[1], [1, 1 / 2, 1 / 3])
    assert list(plot.epoch_line.getData()[0]) == [64, 128]
    # An epoch without validation has no score.
    assert list(plot.ap_50_line.getData()[0]) == [128]


def test_a_long_training_draws_few_points(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    for number in range(1, 5 * MOST_POINTS):
        plot.add_step(step(number, float(number)))
    assert len(plot.steps) == len(plot.losses) < MOST_POINTS
    assert plot.steps == sorted(plot.steps)
    assert plot.steps[-1] > 5 * MOST_POINTS - 20
    # Averages stay near the losses of the steps they stand for.
    assert abs(plot.losses[0] - plot.steps[0]) < 10


def test_clear_begins_anew(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.add_step(step(1, 1.0))
    plot.clear()
    x, _ = plot.step_line.getData()
    assert x is None or len(x) == 0
