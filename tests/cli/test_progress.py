"""What runs show of themselves."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from embedseg_napari.cli import progress as module
from embedseg_napari.cli.progress import PredictionProgress, TrainingProgress, curve_rows
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import (
    EpochFinished,
    Message,
    PredictionStarted,
    StepFinished,
    TileFinished,
    TrainingStarted,
)
from embedseg_napari.jobs.folder.segment_folder import ImageFailed, ImageSaved
from embedseg_napari.jobs.segment import ImageStarted

STARTED = TrainingStarted(6, 2, 40, (64, 64), 20, None, 10, "cpu", "float32")


def epoch(number, ap=None, best=False):
    return EpochFinished(number, 10 * number + 10, 5.0 * number, 1.0 / (number + 1), 0.1, 0.1, 0.1, 1e-3, ap, ap, best)


def set_clock(monkeypatch, step):
    """Let the module's clock advance by so many seconds each time it is read; other threads keep the real one."""
    now = itertools.count(0.0, step)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))


def test_a_log_gets_lines_at_intervals(monkeypatch, capsys):
    set_clock(monkeypatch, 4)
    progress = TrainingProgress(shown=True)
    with progress.showing():
        progress(STARTED)
        for number in range(20):
            progress(StepFinished(number, number, 0.5, 0.1, 0.1, 0.1, 1e-3, (number + 1) / 20))
            progress(epoch(number, ap=0.5, best=True))
    lines = [line for line in capsys.readouterr().out.splitlines() if "epoch" in line and "loss" in line]
    # An epoch takes 4 seconds here and a line may come every 10, so every third has one, and the last.
    assert len(lines) == 8
    assert " ".join(lines[0].split()) == "5% epoch 1/20 0:00 loss 1.0000 AP@0.5 0.500 mean AP 0.500 kept"
    assert "epoch 20/20" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress = TrainingProgress(shown=True)
    with progress.showing():
        progress(STARTED)
        progress(StepFinished(0, 1, 0.5, 0.1, 0.1, 0.1, 1e-3, 0.5))
        progress.bar.refresh()
    assert "epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [TrainingProgress(False), PredictionProgress(False)])
def test_without_progress_messages_remain(capsys, kind):
    with kind.showing():
        kind(Message("The axes were guessed."))
        kind(Message("The tile was made smaller.", "warning"))
        if isinstance(kind, TrainingProgress):
            kind(epoch(0))
        else:
            kind(TileFinished(0, 1, 2))
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "The axes were guessed." in captured.out
    assert "Warning: " in captured.err
    assert "The tile was made smaller." in captured.err


def test_a_slow_image_tells_its_tiles(monkeypatch, capsys):
    set_clock(monkeypatch, 6)
    progress = PredictionProgress(shown=True)
    progress(ImageStarted(0, 1, "big.tif"))
    progress(PredictionStarted("TYX", 2, 8))
    for tile in range(8):
        progress(TileFinished(1, tile + 1, 8))
    lines = capsys.readouterr().out.splitlines()
    assert 0 < len(lines) < 8
    assert lines[0].startswith("big.tif: frame 2 of 2, tile ")


def test_what_is_said_after_an_image_is_not_of_it(capsys):
    progress = PredictionProgress(shown=True)
    progress(ImageStarted(0, 2, "good.tif"))
    progress(Message("Its axes were guessed.", "warning"))
    progress(ImageSaved(0, "good.tif", 12))
    progress(ImageFailed(1, Path("odd.czi"), DataError("odd.czi: left out; it is a format of microscopes.")))
    progress(Message("The report was not written.", "warning"))
    captured = capsys.readouterr()
    said = [line.split(",")[0] for line in captured.out.splitlines()]
    assert said == ["good.tif: 12 objects", "odd.czi: failed"]
    assert "good.tif: Its axes were guessed." in captured.err
    assert "Warning: The report was not written." in captured.err


@pytest.mark.parametrize("n", [1, 2, 9, 10, 57, 1000])
def test_a_curve_keeps_first_last_and_best(n):
    best = n // 3
    history = [
        {"epoch": i, "seconds": i, "loss": 1.0, "ap_50": None, "ap_mean": 0.5, "is_best": i == best} for i in range(n)
    ]
    header, rows = curve_rows(history, {"best_score": 0.5, "n_validation_images": 4})
    assert len(rows) <= 10
    shown = [int(row[0].split()[0]) for row in rows]
    assert {1, best + 1, n} <= set(shown)
    assert shown == sorted(set(shown))
    assert all(len(row) == len(header) for row in rows)
    assert [int(row[0].split()[0]) for row in rows if "kept" in row[0]] == [best + 1]


@pytest.mark.parametrize("score", [None, 0.4])
def test_what_was_best_for_a_while_is_not_called_kept_where_the_model_is_another(score):
    history = [{"epoch": 0, "seconds": 1, "loss": 1.0, "ap_50": 0.1, "ap_mean": 0.05, "is_best": True}]
    history += [{"epoch": 1, "seconds": 9, "loss": 0.5, "ap_50": None, "ap_mean": None, "is_best": False}]
    assert [row[0] for row in curve_rows(history, {"best_score": score, "n_validation_images": 4})[1]] == ["1", "2"]


@pytest.mark.parametrize(("steps", "shown"), [(20, ["1", "2 kept"]), (25, ["1", "2"])])
def test_where_objects_are_held_out_the_last_state_is_the_model_whatever_its_row_scored(steps, shown):
    rows = ({"epoch": i, "step": 10 * (i + 1), "loss": 1.0, "ap_mean": 0.1, "is_best": i == 0} for i in range(2))
    training = {"best_score": 0.6, "n_held_out_objects": 5, "steps": steps}
    assert [row[0] for row in curve_rows(list(rows), training)[1]] == shown
