"""What a training begins with."""

import json
import math

import numpy as np
import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.errors import ModelError, SettingsError
from embedseg_napari.core.model.known_models import bundled_names, find_model_file, start_models, start_path
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training import handover
from embedseg_napari.core.training.start import knows_more, start_model
from embedseg_napari.core.training.trainer import Trainer, train

FLAT = [Example("flat", np.zeros((1, 32, 32), np.float32), np.zeros((32, 32), np.int32))]
DEEP = [Example("deep", np.zeros((1, 8, 32, 32), np.float32), np.zeros((8, 32, 32), np.int32))]
FEW = TrainingConfig.preset("few")


def test_few_labels_begin_with_a_bundled_model():
    assert start_model(None, FEW, FLAT).config.name == "start-2d"
    deep = start_model(None, FEW, DEEP)
    assert deep.config.name == "nuclei-3d"
    assert deep.config.architecture != FEW.architecture, "nobody asked for one"
    assert start_model(None, TrainingConfig(), FLAT) is None, "with many labels a new network is as good"
    other = FEW.model_copy(update={"architecture": "branched-erfnet"})
    assert start_model(None, other, FLAT) is None, "who asks for another network gets it"


def test_who_says_what_to_begin_with_is_heard():
    assert start_model("scratch", FEW, FLAT) is None
    chosen = start_model("nuclei-2d", TrainingConfig(), FLAT)
    assert chosen.config.name == "nuclei-2d"
    assert start_model(chosen, FEW, FLAT) is chosen
    with pytest.raises(ModelError, match="neither such a file nor a model"):
        start_model("no-such-model", FEW, FLAT)


def test_start_models_are_known_by_name_but_are_not_offered_for_segmenting():
    (only,) = start_models()
    assert only.path == start_path(2) == find_model_file("start-2d")
    assert only.name not in bundled_names()
    assert only.config().license


def test_a_training_on_few_labels_says_what_it_starts_from(blobs):
    events = []
    config = TrainingConfig.preset("few", epochs=1, steps_per_epoch=1, precision="float32", batch_size=1)
    result = train([blobs(2)], config, on_event=events.append, device="cpu", progress=False)
    assert result.model.config.training["started_from"] == "start-2d"
    assert any("starts from start-2d" in getattr(event, "text", "") for event in events)
    other = config.model_copy(update={"architecture": "branched-erfnet"})
    events.clear()
    train([blobs(2)], other, on_event=events.append, device="cpu", progress=False)
    (said,) = (event.text for event in events if "a new network" in getattr(event, "text", ""))
    assert "start-2d" in said
    assert "no branched-erfnet" in said
    scratch = train([blobs(2)], config, start_from="scratch", device="cpu", progress=False)
    assert scratch.model.config.training["started_from"] is None


def test_a_training_goes_on_only_with_what_it_began_with(blobs, tmp_path):
    config = TrainingConfig.preset("few", epochs=1, steps_per_epoch=1, precision="float32", batch_size=1)
    longer, start = config.model_copy(update={"epochs": 2}), start_model(None, FEW, FLAT)
    for name, began, other in (("scratch", None, start), ("start", start, None)):
        folder = tmp_path / name
        drain(Trainer(config, [blobs(2)], (), began, folder, device="cpu").run())
        with pytest.raises(SettingsError, match="resume with the same start"):
            drain(Trainer(longer, [blobs(2)], (), other, folder, device="cpu", resume=True).run())
        result = drain(Trainer(longer, [blobs(2)], (), began, folder, device="cpu", resume=True).run())
        assert result.model.config.training["steps"] == 2


def test_after_many_steps_something_is_kept_of_a_model_made_for_being_trained_on_again():
    made_for_it, segments = (start_model(name, FEW, FLAT) for name in ("start-2d", "nuclei-2d"))
    assert [knows_more(made_for_it, 12, n) for n in (384, 1152, math.inf)] == [False, True, True]
    assert knows_more(made_for_it, 3, 384)
    assert knows_more(segments, 12, 384)
    assert not knows_more(None, 12, 1152)


ONE_STEP = TrainingConfig.preset("few", epochs=1, steps_per_epoch=1, precision="float32", batch_size=1)


def squares(rng, n):
    """An image with up to twelve objects."""
    labels = np.zeros((64, 80), np.int32)
    for number in range(n):
        row, column = divmod(number, 4)
        labels[20 * row + 4 : 20 * row + 16, 20 * column + 4 : 20 * column + 16] = number + 1
    return Example("some", rng.normal(labels[None] > 0, 0.1).astype(np.float32), labels)


def has_norms_of(start, model):
    before, after = (dict(one.network.named_buffers()) for one in (start, model))
    return all(before[name].equal(after[name]) for name in before if name.endswith("running_mean"))


@pytest.mark.parametrize(
    ("name", "n", "keeps", "keeps_norms"),
    [
        ("start-2d", 12, False, False),
        ("start-2d", 3, True, True),
        ("nuclei-2d", 12, True, False),
        ("nuclei-2d", 3, True, False),
    ],
)
def test_what_is_kept_of_a_model_where_many_or_a_few_objects_are_learned(rng, name, n, keeps, keeps_norms, monkeypatch):
    monkeypatch.setattr(handover, "least_share", lambda model_of, *_: (0.5, model_of(0.5).config.prediction, 1.0))
    config = ONE_STEP.model_copy(update={"validation_objects": 0.0})
    start = start_model(name, FEW, FLAT)
    result = drain(Trainer(config, [squares(rng, n)], (), start, device="cpu").run())
    assert result.model.config.training["share_trained"] == (0.5 if keeps else 1)
    assert has_norms_of(start, result.model) == keeps_norms


def test_objects_that_are_held_out_or_painted_while_it_trains_count_as_annotated(rng, monkeypatch):
    monkeypatch.setattr(handover, "least_share", lambda model_of, *_: (0.5, model_of(0.5).config.prediction, 1.0))
    start, asked = start_model("start-2d", FEW, FLAT), iter([[squares(rng, 12)]])
    held_out = ONE_STEP.model_copy(update={"validation_objects": 0.4})
    added = ONE_STEP.model_copy(update={"epochs": 2, "validation_objects": 0.0})
    for config, n, updates in ((held_out, 12, None), (added, 3, lambda: next(asked, None))):
        result = drain(Trainer(config, [squares(rng, n)], (), start, device="cpu", updates=updates).run())
        assert (result.model.config.training["n_held_out_objects"] > 2) == (config is held_out)
        assert result.model.config.training["share_trained"] == 1
        assert not has_norms_of(start, result.model)


def test_the_run_of_an_older_version_is_not_mixed_with_a_model_it_may_not_have_begun_with(blobs, tmp_path):
    config = TrainingConfig.preset("few", epochs=1, steps_per_epoch=1, precision="float32", batch_size=1)
    drain(Trainer(config, [blobs(2)], (), None, tmp_path, device="cpu").run())
    state = tmp_path / "state.json"
    content = json.loads(state.read_text())
    assert content.pop("start") == ""
    state.write_text(json.dumps(content))
    longer, start = config.model_copy(update={"epochs": 2}), start_model(None, FEW, FLAT)
    result = drain(Trainer(longer, [blobs(2)], (), start, tmp_path, device="cpu", resume=True).run())
    assert result.model.config.training["share_trained"] == 1


def test_the_steps_of_earlier_rounds_are_counted_but_not_those_of_a_bundled_model(blobs, tmp_path):
    config = TrainingConfig.preset("few", epochs=1, steps_per_epoch=2, precision="float32", batch_size=1)
    start = None
    for n in (1, 2, 3):
        result = train([blobs(2)], config, start_from=start, output=tmp_path / f"{n}", device="cpu", progress=False)
        start = result.path
        assert result.model.config.training["steps"] == 2
        assert result.model.config.n_steps == 2 * n
