"""Labels that are added and changed while a network learns from them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from store_steps import write_store

from embedseg_napari.core import events
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data import parts
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.splitting import hold_out_objects
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("slim_network")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(ndim=2, **changes):
    values = {"minutes": None, "epochs": 3, "steps_per_epoch": 2, "batch_size": 2, "precision": "float32"}
    return TrainingConfig.parse({**values, "crop_size": (8, 32, 32)[-ndim:], **changes})


def painted(blobs, ndim=2, ids=None, name="a", image=None):
    """One image of six blobs, of which some are labelled and nothing else is known but their surroundings."""
    from scipy.ndimage import binary_dilation

    given, labels = blobs(ndim)
    if ids is not None:
        labels = np.where(np.isin(labels, ids), labels, 0)
    ignore = ~binary_dilation(labels > 0, iterations=3)
    return Example(name, given[None] if image is None else image, labels.astype(np.int32), ignore)


def weights(result):
    return {k: v.clone() for k, v in result.model.network.state_dict().items()}


def asked(answers):
    """A callable that gives one answer after the other, then None, and counts."""
    left = list(answers)

    def updates():
        updates.calls += 1
        return left.pop(0) if left else None

    updates.calls = 0
    return updates


@pytest.mark.parametrize("ndim", [2, 3])
def test_new_strokes_join_at_the_next_epoch(blobs, ndim):
    first = painted(blobs, ndim, [1, 2])
    more = painted(blobs, ndim, [1, 2, 3, 4], image=first.image)
    other = painted(blobs, ndim, [5], name="b")
    updates = asked([None, [more], [more, other]])
    seen = []
    result = drain(Trainer(settings(ndim), [first], [], updates=updates).run(), seen.append)
    assert updates.calls == 3
    kinds = [type(e) for e in seen if not isinstance(e, events.Message)]
    step, end, joined = events.StepFinished, events.EpochFinished, events.LabelsUpdated
    assert kinds[1:-1] == [step, step, end, joined, step, step, end, joined, step, step, end]
    told = [(e.n_images, e.n_objects, e.n_changed) for e in seen if isinstance(e, events.LabelsUpdated)]
    assert told == [(1, 4, 2), (2, 5, 1)]
    record = result.model.config
    assert (record.training["n_images"], record.training["n_objects"]) == (2, 5)
    assert record.object_sizes.n_objects == 5
    sizes = np.bincount(blobs(ndim)[1].ravel())[1:6]
    assert record.object_sizes.min_size == sizes.min()
    assert record.prediction.min_object_size == sizes.min() // 2


def test_a_training_updated_before_its_first_step_is_one_on_the_new_labels(blobs):
    first, more = painted(blobs, 2, [1]), painted(blobs, 2, [1, 2, 3])
    updated = drain(Trainer(settings(), [first], [], updates=asked([[more]])).run())
    plain = drain(Trainer(settings(initial_margin="constant"), [more], []).run())
    again = drain(Trainer(settings(initial_margin="constant"), [first], [], updates=asked([[more]])).run())
    assert [row.loss for row in plain.history] == [row.loss for row in again.history]
    assert [row.loss for row in plain.history] != [row.loss for row in updated.history]


def test_labels_of_a_validation_image_may_be_corrected(blobs):
    training, held_out = painted(blobs), painted(blobs, ids=[1, 2], name="held out")
    other = painted(blobs, ids=[1, 2, 3], name="held out")
    seen = []
    result = drain(Trainer(settings(), [training], [held_out], updates=asked([None, [other]])).run(), seen.append)
    (joined,) = [e for e in seen if isinstance(e, events.LabelsUpdated)]
    assert (joined.n_images, joined.n_changed) == (1, 0)
    assert result.model.config.training["n_validation_images"] == 1
    rows = [row for row in result.history if row.is_best]
    # The score of the first epoch, against other labels, is no longer to be beaten.
    assert rows[1].epoch == 1


@pytest.mark.parametrize("ndim", [2, 3])
def test_resumes_with_more_labels_and_another_image(blobs, tmp_path, ndim):
    first = painted(blobs, ndim, [1, 2])
    more, other = painted(blobs, ndim, [1, 2, 3]), painted(blobs, ndim, [5], name="b")
    # Crops, batches and epochs that follow from the labels stay those of the beginning.
    config = settings(ndim, crop_size=None, crop_context=False, batch_size=None, steps_per_epoch=None, epochs=2)
    seen = []
    drain(Trainer(config, [first], [], run_folder=tmp_path).run(), seen.append)
    (begun,) = [e for e in seen if isinstance(e, events.TrainingStarted)]
    longer = config.model_copy(update={"epochs": 3})
    seen = []
    result = drain(Trainer(longer, [more, other], [], run_folder=tmp_path, resume=True).run(), seen.append)
    (went_on,) = [e for e in seen if isinstance(e, events.TrainingStarted)]
    assert (went_on.crop_size, went_on.steps_per_epoch) == (begun.crop_size, begun.steps_per_epoch)
    assert [row.epoch for row in result.history] == [0, 1, 2]
    assert result.model.config.training["n_objects"] == 4
    with pytest.raises(DataError, match="other images, such as a"):
        drain(Trainer(longer, [other], [], run_folder=tmp_path, resume=True).run())


def resumed_words(examples, folder, **changes):
    seen = []
    drain(Trainer(settings(**changes), examples, [], run_folder=folder, resume=True).run(), seen.append)
    (message,) = [e for e in seen if isinstance(e, events.Message) and e.text.startswith("Resumed")]
    return message


def test_labels_that_changed_are_told_when_resuming(blobs, tmp_path):
    first, other = painted(blobs), painted(blobs, name="b")
    drain(Trainer(settings(), [first, other], [], run_folder=tmp_path).run())
    same = resumed_words([first, other], tmp_path, epochs=3)
    assert "changed" not in same.text
    moved = replace(other, instances=np.roll(other.instances, 1, axis=1))
    said = resumed_words([first, moved], tmp_path, epochs=4)
    assert "The labels of 1 image, such as b, have changed" in said.text
    assert said.level == "warning"
    joined = resumed_words([first, moved, painted(blobs, name="c")], tmp_path, epochs=5)
    assert "changed" not in joined.text, "an image that joins is none that changed"
    unknown = replace(first, ignore=np.ones(first.instances.shape, bool) & (first.instances == 0))
    assert "such as a" in resumed_words([unknown, moved, painted(blobs, name="c")], tmp_path, epochs=6).text


@pytest.mark.parametrize("is_corrected", [False, True])
def test_scores_against_other_labels_are_not_to_be_beaten_when_resuming(blobs, tmp_path, is_corrected):
    training, held_out = painted(blobs), painted(blobs, name="held out")
    drain(Trainer(settings(epochs=1), [training], [held_out], run_folder=tmp_path).run())
    state = json.loads((tmp_path / "state.json").read_text())
    # As no network scores.
    state.update(record=[1.0], best_score=1.0)
    (tmp_path / "state.json").write_text(json.dumps(state))
    now = painted(blobs, ids=[1, 2], name="held out") if is_corrected else held_out
    result = drain(Trainer(settings(epochs=2), [training], [now], run_folder=tmp_path, resume=True).run())
    assert result.history[1].is_best is is_corrected
    assert result.best_score == (result.history[1].ap_mean if is_corrected else 1.0)


def test_scores_of_whole_images_are_not_compared_with_those_of_their_parts_when_resuming(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "SIDES", {2: (24, 24)})
    for part, number in (("train", 0), ("val", 0), ("val", 1)):
        for kind, array in zip(("images", "masks"), blobs(2), strict=True):
            write_store(tmp_path / part / kind / f"{number}.ome.zarr", array, chunk=32)
    output = tmp_path / "m.embedseg"
    train(tmp_path, settings(epochs=1), output=output, progress=False)
    # Less memory than any image takes.
    result = train(tmp_path, settings(epochs=2, memory=1e-5), output=output, progress=False, resume=True)
    assert result.history[1].is_best
    assert result.best_score == result.history[1].ap_mean


def test_the_run_of_an_older_version_knows_no_labels(blobs, tmp_path):
    drain(Trainer(settings(), [painted(blobs)], [], run_folder=tmp_path).run())
    content = json.loads((tmp_path / "state.json").read_text())
    assert content.pop("labels")
    (tmp_path / "state.json").write_text(json.dumps(content))
    assert "changed" not in resumed_words([painted(blobs, ids=[1])], tmp_path, epochs=3).text


def test_an_image_that_joined_must_be_there_when_resuming(blobs, tmp_path):
    first, other = painted(blobs), painted(blobs, name="b")
    drain(Trainer(settings(), [first], [], run_folder=tmp_path, updates=asked([[other]])).run())
    with pytest.raises(DataError, match="other images, such as b"):
        drain(Trainer(settings(epochs=4), [first], [], run_folder=tmp_path, resume=True).run())
    resumed = drain(Trainer(settings(epochs=4), [first, other], [], run_folder=tmp_path, resume=True).run())
    assert len(resumed.history) == 4


def test_images_of_another_kind_are_refused(blobs):
    deep = painted(blobs, 3, name="deep")
    with pytest.raises(DataError, match="deep: is 3D, but a is 2D"):
        drain(Trainer(settings(), [painted(blobs)], [], updates=asked([[deep]])).run())
    with pytest.raises(SettingsError, match="set devices to 1"):
        drain(Trainer(settings(devices=2), [painted(blobs)], [], updates=asked([])).run())


def test_the_value_of_unknown_pixels_holds_for_updates_too(blobs):
    image, labels = blobs(2)
    example = Example("a", image[None], np.where(labels == 1, 50, labels).astype(np.int32))
    seen = []
    config = settings(ignore_label=50, epochs=1)
    drain(Trainer(config, [painted(blobs)], [], updates=asked([[example]])).run(), seen.append)
    (joined,) = [e for e in seen if isinstance(e, events.LabelsUpdated)]
    assert joined.n_objects == labels.max() - 1


def twelve(name="a"):
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.pad(np.ones((12, 12), int), 4)).astype(np.int32)
    image = np.where(labels > 0, 180, 20) + np.random.default_rng(0).normal(0, 5, labels.shape)
    return Example(name, image[None].astype(np.float32), labels)


def test_objects_held_out_are_scored_and_not_trained_on():
    example = twelve()
    plain = dict.fromkeys(("scale", "shift", "gain", "offset", "gamma", "noise"), 0.0)
    config = settings(
        validation_objects=0.4,
        steps_per_epoch=70,
        epochs=2,
        crop_size=(64, 64),
        learning_rate=2e-3,
        average_decay=0.9,
        schedule="constant",
        augmentation=plain,
    )
    ids = hold_out_objects(example, 0.4)[1]
    assert 1 <= len(ids) <= 11
    seen = []
    result = drain(Trainer(config, [example]).run(), seen.append)
    assert any(f"{len(ids)} objects are held out" in e.text for e in seen if isinstance(e, events.Message))
    assert result.model.config.training["n_objects"] == 12 - len(ids)
    assert result.model.config.training["n_held_out_objects"] == len(ids)
    assert result.model.config.training["n_validation_images"] == 0
    assert [row.ap_50 is not None for row in result.history] == [True, True]
    assert result.history[-1].ap_50 > 0
    # The last state is kept, whatever the score; so are the usual thresholds.
    assert result.best_score == result.history[-1].ap_mean
    assert result.history[-1].is_best
    assert (result.model.config.prediction.seed_threshold, result.model.config.prediction.foreground_threshold) == (
        0.9,
        0.5,
    )


def test_the_tenth_object_sets_some_aside_in_every_image():
    full = twelve()
    few = Example("a", full.image, np.where(full.instances <= 6, full.instances, 0))
    seen = []
    config = settings(validation_objects=0.4)
    updates = asked([None, [twelve("b")]])
    result = drain(Trainer(config, [few], updates=updates).run(), seen.append)
    held = sum(len(hold_out_objects(example, 0.4, n_objects=18)[1]) for example in (few, twelve("b")))
    (joined,) = [e for e in seen if isinstance(e, events.LabelsUpdated)]
    assert (joined.n_images, joined.n_objects) == (2, 18 - held)
    assert [row.ap_50 is None for row in result.history] == [True, False, False]
    assert result.model.config.training["n_held_out_objects"] == held


def test_held_out_images_come_before_held_out_objects():
    config = settings(validation_objects=0.4, epochs=1)
    result = drain(Trainer(config, [twelve()], [twelve("b")]).run())
    assert result.model.config.training["n_held_out_objects"] == 0
    assert result.model.config.training["n_objects"] == 12
