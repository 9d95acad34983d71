"""What is said of the rest of a run: nothing of short ones, words that a glance takes in of long ones."""

from __future__ import annotations

import pytest

pytest.importorskip("qtpy")

from embedseg_napari.viewer.widgets.time_left import TimeLeft


def said(seconds: float, done: float) -> str:
    now = [100.0]
    left = TimeLeft(lambda: now[0])
    now[0] += 50
    left.begin()
    now[0] += seconds
    return left.text(done)


@pytest.mark.parametrize(
    ("seconds", "done", "text"),
    [(10, 0.1, "2 min"), (60, 0.25, "3 min"), (3600, 0.1, "9 h 00 min"), (20, 0.5, "20 s")],
)
def test_the_pace_so_far_tells_the_rest(seconds, done, text):
    assert said(seconds, done).endswith(f" {text} left")


@pytest.mark.parametrize(("seconds", "done"), [(10, 0), (10, 1), (0.2, 0.01), (10, 0.99)])
def test_nothing_is_said_where_nothing_is_known_or_it_is_over_at_once(seconds, done):
    assert said(seconds, done) == ""
