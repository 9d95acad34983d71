"""What ``embedseg train`` says of going on, where it was stopped or failed."""

from __future__ import annotations

import signal

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.training import run as core_run


def test_a_stop_without_a_checkpoint_says_what_can_start_from_the_model(
    embedseg, dataset, settings, tmp_path, monkeypatch
):
    step = core_run.Optimization.step

    def cannot_be_written(*_):
        raise DataError("The disk is full.")

    def step_and_stop(self, *words):
        signal.raise_signal(signal.SIGINT)
        return step(self, *words)

    monkeypatch.setattr(core_run, "save_checkpoint", cannot_be_written)
    monkeypatch.setattr(core_run.Optimization, "step", step_and_stop)
    model = tmp_path / "m.embedseg"
    ended = embedseg("train", dataset, "--output", model, "--config", settings, "--epochs", 100000)
    assert ended.status == 128 + signal.SIGINT
    assert "--resume" not in ended.err
    assert f"--from {model}" in ended.err
    assert load_model(model).config.training["steps"] == 1


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_failure_says_how_to_go_on_where_something_was_saved(
    embedseg, dataset, settings, tmp_path, monkeypatch, seconds
):
    step, done = core_run.Optimization.step, []

    def fail_later(self, *words):
        done.append(1)
        if len(done) > 1:
            raise MemoryError
        return step(self, *words)

    monkeypatch.setattr(core_run, "CHECKPOINT_SECONDS", seconds)
    monkeypatch.setattr(core_run.Optimization, "step", fail_later)
    ended = embedseg("train", dataset, "--output", tmp_path / "m.embedseg", "--config", settings, "--epochs", 2)
    assert ended.status == 1
    assert "Error: Not enough memory; " in ended.err
    assert "--tile" not in ended.err
    assert (" --resume" in ended.err) is (seconds == 0.0)


def test_a_stop_after_a_score_says_that_the_model_has_none(embedseg, dataset, settings, tmp_path, monkeypatch):
    """Scores come now and then: what was scored at the end of the first epoch is not the model."""
    step, done = core_run.Optimization.step, []

    def stop_in_second_epoch(self, *words):
        done.append(1)
        if len(done) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(self, *words)

    monkeypatch.setattr(core_run.Optimization, "step", stop_in_second_epoch)
    model = tmp_path / "m.embedseg"
    (tmp_path / "tiny.yaml").write_text(settings.read_text() + "validate_every: 1\n")
    words = ("--output", model, "--config", tmp_path / "tiny.yaml", "--epochs", 9, "--val", dataset)
    ended = embedseg("train", dataset, *words, "--no-progress")
    assert ended.status == 128 + signal.SIGINT
    assert "It was stopped after 3 steps and has no score" in " ".join(ended.out.split())
    info = embedseg("info", model)
    config = load_model(model, "cpu").config
    assert (config.history[0]["is_best"], config.training["best_score"]) == (True, None)
    for out in (ended.out, info.out):
        assert "Training curve" in out
        assert " kept" not in out
