"""Curves for TensorBoard, read back with its own reader."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.events import EpochFinished, Message, StepFinished
from embedseg_napari.jobs.tensorboard import TensorBoardLog


def epoch(number: int, ap: float | None) -> EpochFinished:
    return EpochFinished(number, 2 * number + 2, 1.0, 0.5, 0.2, 0.2, 0.1, 1e-3, ap, ap, True)


# Of TensorBoard's own libraries.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_losses_and_scores_are_those_of_the_events(tmp_path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with TensorBoardLog(tmp_path / "log") as log:
        log(Message("hello"))
        for step in range(1, 3):
            log(StepFinished(0, step, 1.0 / step, 0.1, 0.2, 0.3, 1e-3, 0.5))
        log(epoch(0, None))
        log(epoch(1, 0.75))
    found = reader.EventAccumulator(str(tmp_path / "log"))
    found.Reload()
    curves = {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert curves["loss of the step/total"] == [(1, 1.0), (2, 0.5)]
    assert curves["validation/mean AP"] == [(4, 0.75)]
    assert [step for step, _ in curves["loss of the epoch/seed"]] == [2, 4]
    assert len(curves["learning rate"]) == 2


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_without_the_package_a_sentence_says_what_to_install(tmp_path) -> None:
    with pytest.raises(SettingsError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []
