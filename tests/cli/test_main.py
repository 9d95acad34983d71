"""The command itself: help, version, how errors end."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest

from embedseg_napari.cli import main
from embedseg_napari.cli.failures import StopRequest, end_with_a_sentence, sentence
from embedseg_napari.core.config import PredictionConfig, TrainingConfig
from embedseg_napari.core.errors import DataError, Stopped

COMMANDS = ("train", "predict", "evaluate", "info", "demo")
HEAVY = ("torch", "numpy", "scipy", "skimage", "tifffile", "numba", "napari")


def test_help_names_every_command(embedseg):
    ended = embedseg("--help")
    assert ended.status == 0
    for command in COMMANDS:
        assert command in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(embedseg, command):
    ended = embedseg(command, "--help")
    assert ended.status == 0
    assert ended.err == ""


def test_help_of_an_option_is_that_of_the_setting(embedseg):
    text = " ".join(embedseg("train", "--help").out.split())
    assert TrainingConfig.model_fields["minutes"].description in text
    assert f"[default: {TrainingConfig.model_fields['minutes'].default}]" in text
    text = " ".join(embedseg("predict", "--help").out.split())
    assert PredictionConfig.model_fields["seed_threshold"].description in text


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom embedseg_napari.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("loaded []")


def test_module_is_the_command(start):
    child = start("--help")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0
    assert out.startswith("Usage: embedseg")
    assert err == ""


def test_version(embedseg):
    ended = embedseg("--version")
    assert ended.status == 0
    assert ended.out.startswith("embedseg-napari ")


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["predict"], ["evaluate", "--truth", "x"], ["train", "--nonsense"]]
)
def test_a_wrong_call_ends_with_two_and_says_what(embedseg, words):
    ended = embedseg(*words)
    assert ended.status == 2
    assert "Error: " in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("Mask a.tif is empty; paint something."), "Error: Mask a.tif is empty; paint something."),
        (OSError(errno.ENOSPC, "No space left on device", "x.tif"), "Error: x.tif: No space left on device."),
        (MemoryError(), "Error: Not enough memory"),
        (ZeroDivisionError("division by zero"), "Error: Unexpected ZeroDivisionError: division by zero."),
    ],
)
def test_every_error_becomes_one_sentence(capsys, error, text):
    with pytest.raises(SystemExit) as ended, end_with_a_sentence():
        raise error
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(text)
    assert len(captured.err.splitlines()) == 1


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("EMBEDSEG_DEBUG", "1")
    try:
        raise DataError("Something is wrong.")
    except DataError as error:
        text = sentence(error)
    assert text.startswith("Traceback")
    assert text.endswith("Error: Something is wrong.")


def test_demo_gets_its_folder_and_minutes(embedseg, monkeypatch, tmp_path):
    demo = pytest.importorskip("embedseg_napari.demo")
    called = {}

    def run(folder, minutes, **_):
        called.update(folder=folder, minutes=minutes)
        return {"embedseg": 1.0}

    monkeypatch.setattr(demo, "run", run)
    assert embedseg("demo", tmp_path / "here", "--minutes", 0.5).status == 0
    assert called == {"folder": tmp_path / "here", "minutes": 0.5}


def test_main_always_exits():
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code in (0, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_a_signal_stops_ends_with_the_status_of_the_signal(capsys, number):
    request = StopRequest()

    def stopped() -> None:
        with request.listening("Stopping."):
            signal.raise_signal(number)
            assert request()
            raise Stopped("Nothing was begun.")

    with pytest.raises(SystemExit) as ended:
        stopped()
    assert ended.value.code == 128 + number
    assert "Stopped: Nothing was begun." in capsys.readouterr().err


def test_what_stops_without_a_signal_is_told_by_others():
    with pytest.raises(Stopped), StopRequest().listening("Stopping."):
        raise Stopped("It was.")
