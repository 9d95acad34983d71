"""What the page *Progress* says at the end of a training."""

from __future__ import annotations

import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.events import StepFinished
from embedseg_napari.core.session.state import FoundObjects
from embedseg_napari.jobs.saved_training import SavedTraining

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.mark.parametrize(("was_stopped", "sentence"), [(True, "Stopped before"), (False, "give it more time")])
def test_a_training_without_a_step_says_why_there_is_no_model(panel, was_stopped, sentence):
    panel.progress.show_end(SavedTraining(None, None, was_stopped, 0))
    assert sentence in panel.progress.status.text()


def test_a_model_that_was_stopped_before_it_was_scored_says_so(panel, tmp_path):
    panel.progress.show_end(SavedTraining(tmp_path / "cells.embedseg", None, True, 63))
    assert "stopped after 63 steps and has no score" in panel.progress.outcome.text()
    found = FoundObjects(n_objects=4, now=3)
    panel.progress.show_end(SavedTraining(tmp_path / "cells.embedseg", None, True, 63, held_out=found))
    assert "stopped after 63 steps and finds 3 of 4 held-out objects: look" in panel.progress.outcome.text()
    panel.progress.show_end(SavedTraining(tmp_path / "cells.embedseg", 0.5, True, 63))
    assert panel.progress.outcome.text().endswith("Mean AP on the held-out images, over IoU 0.5 to 0.9: 0.500.")


@pytest.mark.parametrize(
    ("progress", "told"),
    [(0.999, "stopped at 99 %"), (1.0, "finished but for the last validation")],
)
def test_a_stop_in_the_last_validation_is_none_of_the_training(panel, tmp_path, progress, told):
    panel.progress.show_step(StepFinished(0, 63, 0.5, 0.1, 0.1, 0.1, 1e-3, progress))
    panel.progress.show_end(SavedTraining(tmp_path / "cells.embedseg", None, True, 63))
    assert panel.progress.bar.format() == told


def test_a_long_name_does_not_widen_the_page(panel, tmp_path):
    progress = panel.progress
    progress.show_end(SavedTraining(tmp_path / "cells.embedseg", None, False, 1))
    most = 1.5 * progress.minimumSizeHint().width()
    progress.begin("n" * 64)
    assert progress.minimumSizeHint().width() < most
    long = tmp_path / f"{'n' * 64}.embedseg"
    progress.show_end(SavedTraining(long, None, False, 1))
    assert progress.minimumSizeHint().width() < most
    assert progress.outcome.toolTip() == str(long)


def test_a_pause_says_how_much_is_done_and_its_end_that_it_goes_on(panel):
    progress = panel.progress
    progress.begin("cells")
    progress.show_pause()
    assert progress.bar.format() == "paused at 0 %"
    progress.show_step(StepFinished(0, 63, 0.5, 0.1, 0.1, 0.1, 1e-3, 0.71))
    progress.show_pause()
    assert progress.bar.format() == "paused at 71 %"
    progress.show_resume()
    assert "paused" not in progress.bar.format()
    assert "going on" in progress.bar.format()
