"""What a training made is kept: when it is interrupted, cannot write its checkpoints, or its place is taken."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import CheckpointSaved, Message, StepFinished
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import EndNow, drain
from embedseg_napari.core.training.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("slim_network")

CONFIG = TrainingConfig.parse(
    {"minutes": None, "epochs": 3, "steps_per_epoch": 2, "batch_size": 1, "crop_size": (32, 32), "precision": "float32"}
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C raise KeyboardInterrupt, as it does where Python was not started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def steps_of(path):
    return load_model(path, device="cpu").config.training["steps"]


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_and_returns_the_model_so_far(blobs, tmp_path, ctrl_c, times):
    def press(event):
        if isinstance(event, StepFinished) and event.step >= 3:
            for _ in range(times):
                ctrl_c()

    result = train([blobs(2)], CONFIG, output=tmp_path / "m.embedseg", on_event=press)
    assert result.stopped
    assert steps_of(result.path) == 3
    assert sorted(path.name for path in tmp_path.iterdir())[:1] == ["m.embedseg"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EndNow])
@pytest.mark.parametrize("where", ["on_event", "should_stop"])
def test_an_interruption_anywhere_keeps_the_model_so_far(blobs, tmp_path, interruption, where):
    seen = []

    def interrupt(*event):
        seen.extend(event)
        if sum(isinstance(one, StepFinished) for one in seen) == 2:
            raise interruption
        return False

    given = {"on_event": interrupt} if where == "on_event" else {"on_event": seen.append, "should_stop": interrupt}
    result = train([blobs(2)], CONFIG, output=tmp_path / "m.embedseg", **given)
    assert result.stopped
    assert steps_of(result.path) == 2


def test_before_the_first_step_there_is_nothing_to_keep(blobs, tmp_path, ctrl_c):
    with pytest.raises(KeyboardInterrupt):
        train([blobs(2)], CONFIG, output=tmp_path / "m.embedseg", on_event=lambda _: ctrl_c())
    assert list(tmp_path.iterdir()) == []


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_checkpoints_that_cannot_be_written_do_not_end_a_training(blobs, tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    result = train([blobs(2)], CONFIG, output=tmp_path / "m.embedseg", on_event=events.append)
    assert steps_of(result.path) == 6
    (warning,) = [one.text for one in events if isinstance(one, Message) and "No space left" in one.text]
    assert "Training goes on" in warning
    assert not any(isinstance(one, CheckpointSaved) for one in events)
    assert [path.name for path in tmp_path.iterdir()] == ["m.embedseg"]


def test_the_checkpoint_before_stays_whole_where_a_new_one_fails(blobs, tmp_path, monkeypatch):
    trainer = Trainer(CONFIG, [blobs(2)], [], run_folder=tmp_path)
    stops = iter([False] * 2)
    assert drain(trainer.run(lambda: next(stops, True))).stopped
    (tmp_path / "state-notes.safetensors").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_text = Path.write_text
    with monkeypatch.context() as patched:
        patched.setattr(
            Path,
            "write_text",
            lambda path, *a, **k: (full_disk if path.suffix == ".json" else write_text)(path, *a, **k),
        )
        drain(Trainer(CONFIG, [blobs(2)], [], run_folder=tmp_path, resume=True).run())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    drain(Trainer(CONFIG, [blobs(2)], [], run_folder=tmp_path, resume=True).run())
    assert (tmp_path / "state-notes.safetensors").read_text() == "mine"
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_model_that_cannot_be_written_there_goes_elsewhere(blobs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "place").mkdir()
    output = tmp_path / "place" / "m.embedseg"
    events = []

    def fill_up(event):
        events.append(event)
        if isinstance(event, StepFinished) and (tmp_path / "place").is_dir() and event.step == 6:
            # A folder that is gone and cannot be made again.
            for path in (*(tmp_path / "place" / "m.run").iterdir(), tmp_path / "place" / "m.run", tmp_path / "place"):
                path.rmdir() if path.is_dir() else path.unlink()
            (tmp_path / "place").write_text("a file")

    result = train([blobs(2)], CONFIG, output=output, on_event=fill_up)
    assert result.path != output
    assert steps_of(result.path) == 6
    assert any(isinstance(one, Message) and str(result.path) in one.text for one in events)


def test_what_exists_is_refused_before_any_time_is_spent(blobs, tmp_path):
    output = tmp_path / "m.embedseg"
    output.write_text("precious")
    with pytest.raises(DataError, match="exists already"):
        train("no such folder", CONFIG, output=output)
    assert output.read_text() == "precious"
    assert steps_of(train([blobs(2)], CONFIG, output=output, overwrite=True).path) == 6
    output.unlink()
    with pytest.raises(DataError, match="holds an earlier training"):
        train([blobs(2)], CONFIG, output=output)


def test_a_training_that_begins_anew_leaves_nothing_to_resume_before_it_saves(blobs, tmp_path):
    output = tmp_path / "m.embedseg"
    train([blobs(2)], CONFIG, output=output)
    (tmp_path / "m.run" / "objects-1.npz").write_text("measured")

    def kill(event):
        if isinstance(event, StepFinished):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train([blobs(2)], CONFIG, output=output, overwrite=True, on_event=kill)
    assert steps_of(output) == 6
    assert [path.name for path in (tmp_path / "m.run").iterdir()] == ["objects-1.npz"]
    with pytest.raises(DataError, match="exists already"):
        train([blobs(2)], CONFIG, output=output, resume=True)


def test_what_comes_while_training_runs_stays(blobs, tmp_path):
    output, events = tmp_path / "m.embedseg", []

    def write(event):
        events.append(event)
        output.write_text("precious")

    for overwrite in (False, True):
        result = train([blobs(2)], CONFIG, output=output, overwrite=overwrite, on_event=write)
        assert output.read_text() == "precious"
        assert steps_of(result.path) == 6
        assert result.model.config.name == result.path.stem
        assert "left as it is" in events[-1].text
        output.unlink()
