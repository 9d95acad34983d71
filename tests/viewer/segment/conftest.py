"""The Segment panel, with what takes the place of the network."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from segment_steps import PANEL, FakeRun

from embedseg_napari.core.errors import Stopped


@pytest.fixture
def advised(monkeypatch):
    """Stand in for what looks for something better: the events it will tell, and the jobs it was asked about."""
    said, jobs, gate = [], [], threading.Event()
    gate.set()

    def advise(job, found, should_stop):
        jobs.append((job, found))
        while not gate.wait(0.01):
            if should_stop():
                raise Stopped("stopped")
            yield None
        yield from said

    monkeypatch.setattr("embedseg_napari.viewer.segment.advice_box.advise", advise)
    yield SimpleNamespace(said=said, jobs=jobs, gate=gate)
    gate.set()


@pytest.fixture
def fake(monkeypatch, advised):
    run = FakeRun()
    monkeypatch.setattr("embedseg_napari.viewer.segment.runs.segment", run)
    yield run
    run.gate.set()


@pytest.fixture
def panel(open_panel, tiny_model_file):
    from embedseg_napari.viewer.model_list import models

    models.remember(tiny_model_file)
    widget = open_panel(PANEL)
    widget.thresholds.set_values(
        {"seed_threshold": 0.5, "foreground_threshold": 0.3, "faint_seeds": 0.0, "min_object_size": 0}
    )
    return widget
