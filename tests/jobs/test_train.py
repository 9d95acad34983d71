"""A training as the worker runs it: saved at the end, at a stop, after a pause, and after a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from napari.layers import Image, Labels

from embedseg_napari.core.config import AugmentationConfig, TrainingConfig
from embedseg_napari.core.errors import ComputeError, DataError, SettingsError
from embedseg_napari.core.events import (
    EpochFinished,
    Message,
    PreviewReady,
    StepFinished,
    TrainingFinished,
    TrainingStarted,
)
from embedseg_napari.jobs.train import TrainingJob, TrainingPaused, TrainingRequest
from embedseg_napari.viewer.labelled_images import pair_from_layers

pytestmark = pytest.mark.usefixtures("slim_network")
TINY = TrainingConfig(
    epochs=2, minutes=None, steps_per_epoch=2, crop_size=(32, 32), batch_size=1, precision="float32",
    augmentation=AugmentationConfig(scale=0, blur=0),
)  # fmt: skip


@pytest.fixture
def request_(blobs, tmp_path) -> TrainingRequest:
    image, labels = blobs(2)
    pair = pair_from_layers(Image(image, name="cells"), Labels(labels))
    return TrainingRequest(TINY, (pair,), None, None, "cpu", tmp_path / "models" / "cells.embedseg")


def drain(run):
    events = []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            return events, end.value


def test_the_model_is_saved_and_can_be_trained_further(request_):
    from embedseg_napari.core.model.model import load_model

    shown = []

    def preview(example, normalization):
        assert normalization == TINY.normalization
        shown.append(example)
        return example

    events, saved = drain(TrainingJob(request_, preview).run(lambda: False))
    assert saved.path == request_.output
    assert saved.steps == 4
    assert not saved.stopped
    kinds = [type(event) for event in events]
    assert kinds.count(TrainingStarted) == 1
    assert PreviewReady in kinds
    assert shown[0].name == "cells"
    assert load_model(saved.path).config.name == "cells"
    assert not request_.output.with_suffix(".run").exists()

    # The same name is refused, another goes on from the weights.
    with pytest.raises(SettingsError, match="exists already"):
        drain(TrainingJob(request_).run(lambda: False))
    further = replace(request_, start_from=str(saved.path), output=request_.output.with_name("further.embedseg"))
    _, saved = drain(TrainingJob(further).run(lambda: False))
    assert load_model(saved.path).config.training["started_from"] == "cells"


def test_stop_keeps_the_model_so_far(request_):
    stop = []
    run = TrainingJob(request_).run(lambda: bool(stop))
    for event in run:
        if isinstance(event, StepFinished):
            stop.append(True)
            break
    _, saved = drain(run)
    assert saved.stopped
    assert saved.steps == 1
    assert saved.path.exists()


def test_stop_before_the_first_step_leaves_nothing(request_):
    _, saved = drain(TrainingJob(request_).run(lambda: True))
    assert saved.path is None
    assert not request_.output.exists()
    assert not request_.output.with_suffix(".run").exists()


def test_a_pause_changes_nothing_but_the_time(request_):
    from embedseg_napari.core.model.model import load_model

    job = TrainingJob(request_)
    kinds = []
    run = job.run(lambda: False)
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            saved = end.value
            break
        kinds.append(type(event))
        if isinstance(event, StepFinished) and event.step == 3 and TrainingPaused not in kinds:
            job.pause()
        elif isinstance(event, TrainingPaused):
            job.resume()
    assert kinds.count(TrainingPaused) == 1
    assert kinds.count(StepFinished) == 4
    assert not saved.stopped
    straight = replace(request_, output=request_.output.with_name("straight.embedseg"))
    _, other = drain(TrainingJob(straight).run(lambda: False))
    one, two = load_model(saved.path).network.state_dict(), load_model(other.path).network.state_dict()
    assert all((one[name] == two[name]).all() for name in one)


@pytest.fixture
def further(request_) -> TrainingRequest:
    """A training that goes on from a model, and chooses at its end how much of that stays."""
    _, first = drain(TrainingJob(request_).run(lambda: False))
    config = TINY.model_copy(update={"keep_start": True, "epochs": 4, "validation_fraction": 0.0})
    output = request_.output.with_name("further.embedseg")
    return replace(request_, config=config, start_from=str(first.path), output=output)


def test_nothing_is_chosen_or_said_for_a_pause(further):
    job, events = TrainingJob(further), []
    run = job.run(lambda: False)
    for event in run:
        events.append(event)
        if isinstance(event, StepFinished):
            job.pause()
            break
    for event in run:
        events.append(event)
        if isinstance(event, TrainingPaused):
            break
    assert [type(event) for event in events[-2:]] == [StepFinished, TrainingPaused]
    job.resume()
    said = {event.text for event in events if isinstance(event, Message)}
    events, saved = drain(run)
    assert not said & {event.text for event in events if isinstance(event, Message)}
    assert saved.steps == 8


def test_going_on_at_once_after_a_pause_ends_nothing(request_, monkeypatch):
    job = TrainingJob(request_)
    run = job.run(lambda: False)
    next(event for event in run if isinstance(event, StepFinished))
    job.pause()
    from embedseg_napari.core.training.run import TrainingRun

    save = TrainingRun.save

    def resume_meanwhile(self):
        job.resume()
        return save(self)

    monkeypatch.setattr(TrainingRun, "save", resume_meanwhile)
    _, saved = drain(run)
    assert saved.steps == 4
    assert not saved.stopped


def test_a_stop_ends_a_pause(request_):
    stop, job = [], TrainingJob(request_)
    run = job.run(lambda: bool(stop))
    for event in run:
        if isinstance(event, StepFinished):
            job.pause()
        elif isinstance(event, TrainingPaused):
            stop.append(True)
            break
    _, saved = drain(run)
    assert saved.stopped
    assert saved.path.exists()


@pytest.mark.parametrize("stops", ["in the pause", "while the checkpoint is written"])
def test_a_stop_of_a_pause_chooses_what_any_stop_does(further, monkeypatch, stops):
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.training.run import TrainingRun

    stop, job, save = [], TrainingJob(further), TrainingRun.save

    def save_slowly(self):
        if stops == "while the checkpoint is written":
            stop.append(True)
        return save(self)

    monkeypatch.setattr(TrainingRun, "save", save_slowly)
    run, events = job.run(lambda: bool(stop)), []
    for event in run:
        events.append(event)
        if isinstance(event, StepFinished) and event.step == 3:
            job.pause()
        elif isinstance(event, TrainingPaused):
            stop.append(True)
    assert sum(isinstance(event, StepFinished) for event in events) == 3
    assert any(isinstance(event, TrainingPaused) for event in events) == (stops == "in the pause")
    is_chosen = load_model(further.output).config.training["share_trained"] < 1
    said = " ".join(event.text for event in events if isinstance(event, Message))
    # There is a second for it.
    assert is_chosen or "before weights and thresholds were chosen" in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory"), "ran out of memory"),
        (MemoryError(), "ran out of memory"),
        (DataError("a.ome.zarr: is no longer there."), "a.ome"),
    ],
)
def test_a_failure_keeps_the_state_last_saved(request_, monkeypatch, error, words):
    from embedseg_napari.core.training import run as core_run

    monkeypatch.setattr(core_run, "CHECKPOINT_SECONDS", 0.0)
    cut, calls = core_run.CropSampler.cut, []

    def fail_later(self, *arguments):
        calls.append(1)
        if len(calls) > 2:
            raise error
        return cut(self, *arguments)

    monkeypatch.setattr(core_run.CropSampler, "cut", fail_later)
    events, saved = drain(TrainingJob(request_).run(lambda: False))
    assert saved.stopped
    assert saved.steps == 2
    assert saved.path.exists()
    [message] = [event.text for event in events if isinstance(event, Message) and "failed" in event.text]
    assert words in message
    assert "the state last saved became the model" in message


@pytest.mark.parametrize("error", [MemoryError(), KeyError("x"), OSError("the disk is gone")])
def test_a_failure_of_any_kind_while_scoring_keeps_the_state_last_saved(blobs, request_, monkeypatch, error):
    from dataclasses import replace

    from embedseg_napari.core.training import run as core_run
    from embedseg_napari.core.training.validation import HeldOutValidator

    def fail(*_):
        raise error

    monkeypatch.setattr(core_run, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(HeldOutValidator, "score", fail)
    image, labels = blobs(2, 14, 96)
    pair = pair_from_layers(Image(image, name="cells"), Labels(labels))
    events, saved = drain(TrainingJob(replace(request_, pairs=(pair,))).run(lambda: False))
    assert saved.stopped
    assert saved.steps >= 2
    assert saved.path.exists()
    [message] = [event.text for event in events if isinstance(event, Message) and "failed" in event.text]
    assert (str(error) or "MemoryError") in message


@pytest.mark.parametrize(("score", "state"), [(0.5, "that scored best"), (0.0, "last saved")])
def test_a_training_that_diverges_says_which_network_it_leaves(blobs, request_, monkeypatch, score, state):
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.training import run as core_run
    from embedseg_napari.core.training.readback import LossReader
    from embedseg_napari.core.training.validation import Scores, Validator

    put = LossReader.put

    def put_nothing(reader, step, losses):
        put(reader, step, losses * torch.nan if step == 3 else losses)

    monkeypatch.setattr(core_run, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(LossReader, "put", put_nothing)
    monkeypatch.setattr(Validator, "score", lambda *_: Scores(score, score, (score,)))
    image, labels = blobs(2)
    pairs = tuple(pair_from_layers(Image(image, name=f"cells {i}"), Labels(labels)) for i in range(5))
    config = TINY.model_copy(update={"validate_every": 1})
    events, saved = drain(TrainingJob(replace(request_, pairs=pairs, config=config)).run(lambda: False))
    [message] = [event.text for event in events if isinstance(event, Message) and "loss became nan" in event.text]
    assert f"the state {state} became the model" in message
    assert sum(isinstance(event, EpochFinished) for event in events) == 1
    assert load_model(saved.path).config.training["best_score"] == (score or None)


def test_what_failed_is_said_where_nothing_of_it_can_be_used(request_, monkeypatch):
    from embedseg_napari.core.training import run as core_run

    monkeypatch.setattr(core_run, "CHECKPOINT_SECONDS", 0.0)
    cut, calls = core_run.CropSampler.cut, []

    def fail_later(self, *arguments):
        calls.append(1)
        if len(calls) > 2:
            raise DataError("a.ome.zarr: is no longer there.")
        return cut(self, *arguments)

    def damaged(self, is_diverging):
        raise DataError("state.json: is damaged.")

    monkeypatch.setattr(core_run.CropSampler, "cut", fail_later)
    monkeypatch.setattr("embedseg_napari.core.training.trainer.Trainer.last_saved", damaged)
    with pytest.raises(DataError, match=r"a\.ome\.zarr"):
        drain(TrainingJob(request_).run(lambda: False))


@pytest.mark.parametrize(
    ("error", "kind"), [(RuntimeError("CUDA out of memory"), ComputeError), (KeyError("out of memory"), KeyError)]
)
def test_a_failure_before_anything_was_saved_is_an_error(request_, monkeypatch, error, kind):
    from embedseg_napari.core.training import run as core_run

    def fail(self, *arguments):
        raise error

    monkeypatch.setattr(core_run.CropSampler, "cut", fail)
    with pytest.raises(kind, match="out of memory"):
        drain(TrainingJob(request_).run(lambda: False))
    # The name stays free.
    assert not request_.output.exists()
    assert not request_.output.with_suffix(".run").exists()


def test_the_end_is_told_by_the_result_alone(request_):
    events, _ = drain(TrainingJob(request_).run(lambda: False))
    assert not any(isinstance(event, TrainingFinished) for event in events)


def test_a_model_that_took_the_name_meanwhile_is_left_alone(tmp_path):
    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.erfnet import BranchedERFNet
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.jobs.saved_training import save_result

    (tmp_path / "cells.embedseg").write_bytes(b"another model")
    model = Model(ModelConfig(training={"steps": 3}), BranchedERFNet(2))
    saved = save_result(TrainingResult(model, (), None, False, None), tmp_path / "cells.embedseg", "cells")
    assert saved.path == tmp_path / "cells_2.embedseg"
    assert model.config.name == "cells_2"
    assert (tmp_path / "cells.embedseg").read_bytes() == b"another model"


def test_one_labelled_image_gives_a_score(blobs, request_):
    image, labels = blobs(2, 14, 96)
    pair = pair_from_layers(Image(image, name="cells"), Labels(labels))
    events, saved = drain(TrainingJob(replace(request_, pairs=(pair,))).run(lambda: False))
    (started,) = [event for event in events if isinstance(event, TrainingStarted)]
    assert started.n_held_out_objects > 0
    assert saved.best_score is not None
