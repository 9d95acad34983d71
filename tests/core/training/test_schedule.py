"""Learning rates over a training."""

from __future__ import annotations

import time

import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.training.schedule import Clock, Schedule


def rates(name, warmup):
    config = TrainingConfig(epochs=10, minutes=None, schedule=name, warmup=warmup, learning_rate=0.01)
    schedule = Schedule(config, 10, Clock())
    return [schedule.learning_rate(step, schedule.progress(step)) for step in range(100)]


def test_the_constant_stays_once_it_has_risen():
    found = rates("constant", 0.2)
    assert found[20:] == [0.01] * 80
    assert 0 < found[0] < 0.002
    assert found[:20] == sorted(found[:20])
    assert rates("constant", 0.0) == [0.01] * 100


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_the_others_fall(name):
    found = rates(name, 0.0)
    assert found == sorted(found, reverse=True)
    assert found[0] == 0.01
    assert found[-1] < 0.002


def test_a_part_of_the_rate_is_a_part_of_all_rates():
    config = TrainingConfig(epochs=10, minutes=None)
    whole, part = Schedule(config, 10, Clock()), Schedule(config, 10, Clock(), 0.3)
    for step in range(0, 100, 7):
        progress = whole.progress(step)
        assert part.learning_rate(step, progress) == pytest.approx(0.3 * whole.learning_rate(step, progress))


def test_at_most_half_of_a_budget_is_kept_for_the_end():
    schedule = Schedule(TrainingConfig(minutes=1), 10, Clock())
    for reserve, seconds in ((6.0, 54.0), (30.0, 30.0), (500.0, 30.0)):
        schedule.reserve = reserve
        schedule.clock.before, schedule.clock.started = seconds / 2, time.monotonic()
        assert schedule.progress(3) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("holds_out", [False, True])
def test_fewer_held_out_images_are_advised_only_where_there_are_some(holds_out):
    schedule = Schedule(TrainingConfig(minutes=1), 10, Clock())
    assert schedule.warning(holds_out) is None
    schedule.reserve = 100.0
    told = schedule.warning(holds_out)
    assert "may end 70 seconds late" in told.text
    assert told.text.endswith("Give it more time, or hold out fewer images." if holds_out else "Give it more time.")
    assert ("held-out" in told.text or "hold out" in told.text) is holds_out
