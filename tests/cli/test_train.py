"""``embedseg train`` as a user types it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.model.model import load_model

if TYPE_CHECKING:
    from pathlib import Path

from embedseg_napari.cli.train import training_settings
from embedseg_napari.core.errors import SettingsError

CONTROL = "\x1b"


def leftovers(folder: Path) -> list[str]:
    """Names of temporary files in a folder."""
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


def test_trains_saves_and_says_how_to_go_on(embedseg, dataset, settings, tmp_path):
    model = tmp_path / "new folder" / "cells.embedseg"
    ended = embedseg(
        "train", dataset, "--output", model, "--epochs", 2, "--config", settings, "--seed", 7, "--val-fraction", 0.2
    )
    assert ended.status == 0, ended.err
    assert load_model(model).config.training["settings"]["seed"] == 7
    assert (tmp_path / "new folder" / "cells.run" / "state.json").exists()
    assert f"embedseg predict '{model}' IMAGES... --output DIR" in ended.out
    assert "Mean AP on the held-out images" in ended.out
    assert "epoch 2/2" in ended.out
    assert CONTROL not in ended.out + ended.err
    assert leftovers(tmp_path) == []


def test_options_beat_the_file_and_the_file_beats_the_preset(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("epochs: 3\nlearning_rate: 0.01\naugmentation:\n  noise: 0.25\n")
    paper = training_settings("paper", None, {})
    assert (paper.epochs, paper.center_of) == (200, "fragment")
    mixed = training_settings("paper", path, {"seed": 5, "minutes": None})
    assert (mixed.epochs, mixed.minutes, mixed.learning_rate, mixed.seed) == (3, None, 0.01, 5)
    # What the file does not name stays the preset's, also inside a group of settings.
    assert mixed.augmentation == paper.augmentation.model_copy(update={"noise": 0.25})
    timed = training_settings("paper", path, {"minutes": 2.0})
    assert (timed.epochs, timed.minutes) == (None, 2.0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("epochs: [1, 2\n", "YAML"),
        ("just words", "no settings"),
        ("no_such_setting: 1", "no_such_setting"),
        ("learning_rate: fast", "learning_rate"),
        ("epochs: 1\nminutes: 1", "cannot be used together"),
        ("augmentation: 3", "augmentation"),
    ],
)
def test_a_faulty_settings_file_is_named_with_its_fault(embedseg, dataset, tmp_path, text, fault):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    ended = embedseg("train", dataset, "--output", tmp_path / "m.embedseg", "--config", path)
    assert ended.status == 1
    assert fault in ended.err
    assert "bad.yaml" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_missing_settings_file_and_an_unknown_preset_are_errors(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read"):
        training_settings("fast", tmp_path / "none.yaml", {})
    with pytest.raises(SettingsError, match="quick"):
        training_settings("quick", None, {})


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--epochs", 1, "--minutes", 1], "cannot be used together"),
        (["--val", ".", "--val-fraction", 0.2], "--val-fraction"),
        (["--val", ".", "--val-group", "x"], "--val-group"),
        (["--spacing", "1,two"], "not a pixel size"),
        (["--spacing", "0,1"], "not a pixel size"),
        (["--channel", -1], "--channel"),
        (["--output", "model.txt"], ".embedseg"),
    ],
)
def test_contradicting_options_are_wrong_calls(embedseg, dataset, tmp_path, words, fault):
    ended = embedseg("train", dataset, "--output", tmp_path / "m.embedseg", *words)
    assert ended.status == 2
    assert fault in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [(["--axes", "QQ"], "QQ"), (["--val-fraction", 2], "validation_fraction"), (["--epochs", 0], "epochs")],
)
def test_values_out_of_range_are_errors(embedseg, dataset, tmp_path, words, fault):
    ended = embedseg("train", dataset, "--output", tmp_path / "m.embedseg", *words)
    assert ended.status in (1, 2)
    assert fault in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_empty_dataset_is_named(embedseg, tmp_path):
    ended = embedseg("train", tmp_path / "nowhere", "--output", tmp_path / "m.embedseg")
    assert (ended.status, "nowhere" in ended.err) == (1, True)
    for part in ("images", "masks"):
        (tmp_path / "empty" / part).mkdir(parents=True)
    ended = embedseg("train", tmp_path / "empty", "--output", tmp_path / "m.embedseg")
    assert (ended.status, "empty" in ended.err) == (1, True)
    ended = embedseg("train", tmp_path / "empty" / "images", "--output", tmp_path / "m.embedseg")
    assert (ended.status, "images/" in ended.err) == (1, True)
    assert not (tmp_path / "m.embedseg").exists()


def spoil_missing_mask(folder: Path) -> None:
    (folder / "masks" / "plate0_0.tif").unlink()


def spoil_float_mask(folder: Path) -> None:
    mask = folder / "masks" / "plate0_0.tif"
    tifffile.imwrite(mask, tifffile.imread(mask).astype(np.float32))


def spoil_size(folder: Path) -> None:
    mask = folder / "masks" / "plate0_0.tif"
    tifffile.imwrite(mask, tifffile.imread(mask)[:40])


def spoil_tiff(folder: Path) -> None:
    (folder / "images" / "plate0_0.tif").write_bytes(b"II*\0 and then nothing of the kind")


@pytest.mark.parametrize("spoil", [spoil_missing_mask, spoil_float_mask, spoil_size, spoil_tiff])
def test_a_bad_file_is_named_before_training(embedseg, dataset, tmp_path, spoil):
    folder = tmp_path / "spoilt"
    shutil.copytree(dataset, folder)
    spoil(folder)
    ended = embedseg("train", folder, "--output", tmp_path / "m.embedseg", "--epochs", 1)
    assert ended.status == 1
    assert "plate0_0.tif" in ended.err
    assert not (tmp_path / "m.embedseg").exists()


def test_values_that_are_no_numbers_are_told_and_filled_in(embedseg, dataset, settings, tmp_path):
    folder = tmp_path / "spoilt"
    shutil.copytree(dataset, folder)
    path = folder / "images" / "plate0_0.tif"
    image = tifffile.imread(path).astype(np.float32)
    image[3, 3:5] = np.nan, np.inf
    tifffile.imwrite(path, image)
    ended = embedseg("train", folder, "--output", tmp_path / "m.embedseg", "--epochs", 1, "--config", settings)
    assert ended.status == 0
    assert "NaN or infinite values: 2" in ended.err
    assert "plate0_0.tif" in ended.err


def test_an_existing_model_is_not_replaced_unasked(embedseg, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    model.write_text("precious")
    ended = embedseg("train", dataset, "--output", model, "--epochs", 1, "--config", settings)
    assert ended.status == 1
    assert "--overwrite" in ended.err
    assert model.read_text() == "precious"
    assert embedseg("train", dataset, "--output", model, "--epochs", 1, "--config", settings, "--overwrite").status == 0
    assert load_model(model).config.ndim == 2


def test_an_earlier_run_folder_is_not_begun_anew_unasked(embedseg, dataset, tmp_path):
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "state.json").write_text("{}")
    ended = embedseg("train", dataset, "--output", tmp_path / "m.embedseg", "--epochs", 1)
    assert ended.status == 1
    assert "--resume" in ended.err


def test_a_place_that_cannot_be_written_is_refused_at_once(embedseg, dataset, tmp_path):
    (tmp_path / "file").write_text("")
    ended = embedseg("train", dataset, "--output", tmp_path / "file" / "m.embedseg", "--epochs", 1)
    assert ended.status == 1
    assert "cannot be written" in ended.err


def test_resume_goes_on(embedseg, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    words = ["train", dataset, "--output", model, "--config", settings]
    assert embedseg(*words, "--epochs", 1).status == 0
    ended = embedseg(*words, "--epochs", 2, "--resume")
    assert ended.status == 0, ended.err
    assert "Resumed after 2 steps" in ended.out
    assert len(load_model(model).config.history) == 2


def test_resume_without_anything_to_resume_replaces_no_model(embedseg, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    model.write_text("precious")
    ended = embedseg("train", dataset, "--output", model, "--config", settings, "--epochs", 1, "--resume")
    assert ended.status == 1
    assert "nothing to resume" in ended.err
    assert model.read_text() == "precious"


def test_validation_images_are_those_asked_for(embedseg, dataset, settings, tmp_path):
    words = ["train", dataset, "--epochs", 1, "--config", settings]
    ended = embedseg(*words, "--output", tmp_path / "a.embedseg", "--val", dataset)
    assert "Training on 6 images with 24 objects, validating on 6 images." in ended.out
    ended = embedseg(*words, "--output", tmp_path / "b.embedseg", "--val-group", r"plate\d", "--val-fraction", 0.4)
    assert "Training on 3 images with 12 objects, validating on 3 images." in ended.out
    ended = embedseg(*words, "--output", tmp_path / "c.embedseg", "--val-fraction", 0)
    assert "no images are held out" in ended.out
    thrifty = tmp_path / "objects.yaml"
    thrifty.write_text(settings.read_text() + "validation_objects: 0.25\n")
    ended = embedseg(*words[:-1], thrifty, "--output", tmp_path / "o.embedseg", "--val-fraction", 0)
    assert "the last state is kept, scored on 3 objects held out." in ended.out
    nested = tmp_path / "nested"
    shutil.copytree(dataset, nested / "train")
    shutil.copytree(dataset, nested / "val")
    ended = embedseg("train", nested, *words[2:], "--output", tmp_path / "d.embedseg")
    assert "validating on 6 images." in ended.out


def test_starts_from_a_model(embedseg, dataset, settings, trained, tmp_path):
    words = ["train", dataset, "--epochs", 1, "--config", settings, "--output", tmp_path / "m.embedseg"]
    assert embedseg(*words, "--from", trained).status == 0
    ended = embedseg(*words, "--from", tmp_path / "none.embedseg", "--overwrite")
    assert ended.status == 1
    assert "none.embedseg" in ended.err


def test_minutes_include_everything(start, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    began = time.monotonic()
    child = start("train", dataset, "--output", model, "--minutes", 0.06, "--config", settings)
    _, err = child.communicate(timeout=120)
    taken = time.monotonic() - began
    assert child.returncode == 0, err
    config = load_model(model).config
    # What the program took for its own time is the time a user sees, apart from ending the process.
    assert 3.6 - 3 < config.training["seconds"] <= taken


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    "names",
    [
        ["SIGINT"],
        *(
            pytest.param(names, marks=pytest.mark.thorough)
            for names in (["SIGTERM"], ["SIGHUP"], ["SIGINT", "SIGINT"], ["SIGTERM", "SIGINT"])
        ),
    ],
)
def test_a_stop_keeps_a_model_and_says_how_to_go_on(start, dataset, settings, tmp_path, names, request):
    number, *more = [getattr(signal, name) for name in names]
    if number == signal.SIGHUP:
        # Tests that run under nohup hand on to their children that it is ignored.
        before = signal.signal(number, signal.SIG_DFL)
        request.addfinalizer(lambda: signal.signal(number, before))
    model = tmp_path / "m.embedseg"
    words = ["train", dataset, "--output", model, "--config", settings]
    child = start(*words, "--epochs", 100000)
    assert child.stdout is not None
    # The first epoch's line says that training is under way.
    for line in child.stdout:
        if "epoch 1/" in line:
            break
    child.send_signal(number)
    for another in more:
        # As wrappers do that pass on what the terminal has sent to all.
        time.sleep(0.02)
        child.send_signal(another)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 128 + number, err
    assert "--resume" in err
    assert "Traceback" not in err
    assert load_model(model).config.training["steps"] >= 2
    assert json.loads((tmp_path / "m.run" / "state.json").read_text())["step"] >= 2
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_an_early_interruption_leaves_nothing(start, dataset, tmp_path):
    model = tmp_path / "new" / "m.embedseg"
    # A pipe: the program waits for its settings, before images are read and PyTorch is loaded, as long as it is open.
    settings, ours = os.pipe()
    os.write(ours, b"\n")
    words = ("train", dataset, "--output", model, "--epochs", 100000, "--config", "/dev/stdin")
    child = start(*words, stdin=settings)
    with open(ours, "w"), open(settings):
        while select.select([settings], [], [], 0)[0]:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=120)
    assert child.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert not model.parent.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.thorough
def test_a_second_ctrl_c_leaves_no_half_of_a_model(start, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    child = start("train", dataset, "--output", model, "--epochs", 100000, "--config", settings)
    for line in child.stdout:
        if "epoch 1/" in line:
            break
    child.send_signal(signal.SIGINT)
    # The answer to the first one says that the second can be told from it.
    for line in child.stderr:
        if "Stopping" in line:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert not model.exists() or load_model(model).config.ndim == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no hangup")
@pytest.mark.thorough
def test_what_outlasts_its_terminal_is_left_alone(start, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        child = start("train", dataset, "--output", model, "--epochs", 6, "--config", settings)
    finally:
        signal.signal(signal.SIGHUP, before)
    for line in child.stdout:
        if "epoch 1/" in line:
            break
    child.send_signal(signal.SIGHUP)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert load_model(model).config.training["steps"] == 12


@pytest.mark.thorough
def test_a_model_that_comes_while_training_runs_is_left_alone(start, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    child = start("train", dataset, "--output", model, "--epochs", 6, "--config", settings)
    for line in child.stdout:
        if "epoch 1/" in line:
            break
    model.write_text("precious")
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1, err
    assert model.read_text() == "precious"
    assert f"left as it is; the model is saved as {tmp_path / 'm_2.embedseg'}" in err
    assert str(tmp_path / "m_2.embedseg") in out
    assert load_model(tmp_path / "m_2.embedseg").config.name == "m_2"


def test_a_value_of_unknown_pixels(embedseg, dataset, settings, tmp_path):
    model = tmp_path / "m.embedseg"
    words = ["train", dataset, "--output", model, "--epochs", 1, "--config", settings]
    ended = embedseg(*words, "--ignore-label", 0)
    assert ended.status == 0, ended.err
    assert "objects but no known background: " in ended.err
    assert "% of the pixels are labelled" in ended.out + ended.err
    assert load_model(model).config.training["settings"]["ignore_label"] == 0
