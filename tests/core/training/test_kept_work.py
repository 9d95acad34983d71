"""What a training made is kept: when it is interrupted, cannot write its checkpoints, or its place is taken."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import CheckpointSaved, EpochFinished, Message, StepFinished
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import EndNow, drain, never
from embedseg_napari.core.training.handover import finish, interrupted
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.trainer import Trainer, train
from embedseg_napari.core.training.validation import Scores, Validator

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


def weights_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def is_same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("ending", ["stop", "interruption", "last saved"])
@pytest.mark.parametrize("is_worse", [False, True])
def test_the_network_as_it_is_is_kept_unless_it_was_found_to_be_worse(blobs, tmp_path, monkeypatch, ending, is_worse):
    """Scores come now and then: one from the beginning says nothing of what was learned since."""
    monkeypatch.setattr(TrainingRun, "_should_validate", lambda run, epoch: epoch == 0 or (is_worse and epoch == 2))
    monkeypatch.setattr(Scores, "is_as_good_as", lambda *_: False)
    config = CONFIG.model_copy(update={"epochs": 9})
    trainer = Trainer(config, [blobs(2)], [blobs(2)], run_folder=tmp_path)
    run = drain(trainer._prepare())
    first = {}

    def note(event):
        if isinstance(event, EpochFinished) and event.epoch == 0:
            first.update(weights_of(run.optimization.average.module))

    assert drain(trainer._train(run, lambda: run.state.step == 7), note)
    now = weights_of(run.optimization.average.module)
    drain(run.save())
    result = {
        "stop": lambda: drain(finish(run, True, never)),
        "interruption": lambda: interrupted(run),
        "last saved": trainer.last_saved,
    }[ending]()
    run.close()
    assert result.stopped
    found = weights_of(result.model.network)
    assert (is_same(found, first), is_same(found, now)) == (is_worse, not is_worse)
    assert result.is_earlier is is_worse
    assert (result.best_score is None) is not is_worse
    assert result.model.config.training["best_score"] == result.best_score


@pytest.mark.parametrize(
    ("score", "steps", "is_broken", "is_kept"),
    [(0.5, 4, False, True), (0.5, 5, False, False), (0.0, 4, False, False), (0.5, 5, True, True), (0.0, 5, True, True)],
    ids=["mature", "young", "finds nothing", "no numbers", "no numbers, finds nothing"],
)
def test_of_a_training_that_diverged_the_network_that_was_scored_is_kept(
    blobs, tmp_path, monkeypatch, score, steps, is_broken, is_kept
):
    """The state last saved is from after the score: it may diverge already, or holds no numbers any more."""
    monkeypatch.setattr(TrainingRun, "_should_validate", lambda run, epoch: epoch == 0)
    monkeypatch.setattr(Validator, "score", lambda *_: Scores(score, score, (score,)))
    config = CONFIG.model_copy(update={"epochs": 9})
    trainer, first = Trainer(config, [blobs(2)], [blobs(2)], run_folder=tmp_path), {}
    run = drain(trainer._prepare())

    def note(event):
        if isinstance(event, EpochFinished) and event.epoch == 0:
            first.update(weights_of(run.optimization.average.module))

    assert drain(trainer._train(run, lambda: run.state.step == steps), note)
    if is_broken:
        next(run.optimization.average.module.parameters()).data.fill_(torch.nan)
    drain(run.save())
    run.close()
    result = trainer.last_saved(is_diverging=not is_broken)
    assert is_same(weights_of(result.model.network), first) is result.is_earlier is is_kept
    assert result.best_score == (score if is_kept else None)


def test_an_interruption_right_after_a_validation_keeps_its_score(blobs):
    def interrupt(event):
        if isinstance(event, EpochFinished):
            raise KeyboardInterrupt

    config = CONFIG.model_copy(update={"validate_every": 1})
    result = train([blobs(2)], config, validation=[blobs(2)], on_event=interrupt, progress=False)
    assert result.stopped
    assert result.best_score == result.history[0].ap_mean is not None
