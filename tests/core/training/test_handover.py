"""What a training decides for the model that it hands over."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.events import EpochFinished, Message
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.runs import drain, unheard
from embedseg_napari.core.training import handover
from embedseg_napari.core.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("slim_network")

SHORT = {"epochs": 1, "minutes": None, "steps_per_epoch": 1, "batch_size": 1, "crop_size": (32, 32)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(pair, start=None, validation=(), on_event=None, **changes):
    config = TrainingConfig.preset("few", **SHORT | changes, precision="float32")
    return drain(Trainer(config, [pair], validation, start).run(), on_event or unheard)


def maps_of(labels, peak):
    """What a network says that finds these objects, as sure of them as `peak`."""
    at = np.indices(labels.shape, dtype=np.float32)
    offsets = np.zeros_like(at)
    for label in range(1, labels.max() + 1):
        inside = labels == label
        offsets[:, inside] = np.argwhere(inside).mean(0)[:, None] - at[:, inside]
    return EmbeddingMaps(offsets, np.full_like(at, 3.0), np.where(labels > 0, peak, 0.1).astype(np.float32))


def let_seeds_reach(monkeypatch, labels, peak):
    """Let networks find all objects, as sure of them as `peak`."""
    maps = maps_of(labels, peak)
    monkeypatch.setattr(Model, "embed", lambda *_, **__: maps)


def warnings(seen):
    return [event.text for event in seen if isinstance(event, Message) and event.level == "warning"]


@pytest.mark.parametrize("peak", [0.7, 0.3])
def test_held_out_objects_are_scored_with_the_threshold_that_is_stored(blobs, monkeypatch, peak):
    image, labels = blobs(2, 14, 96)
    let_seeds_reach(monkeypatch, labels, peak)
    seen = []
    result = trained((image, labels), validation=None, on_event=seen.append)
    assert result.model.config.training["n_held_out_objects"] > 0
    assert result.model.config.prediction.seed_threshold == max(peak, 0.5)
    # In the epochs no threshold is lowered yet.
    assert result.history[-1].ap_mean == 0
    assert (result.best_score > 0.5) is (peak > 0.5)
    assert result.model.config.training["best_score"] == result.best_score
    assert result.model.config.sure_seediness == (pytest.approx(peak) if peak > 0.5 else None)
    assert any("finds none of the held-out objects" in text for text in warnings(seen)) is (peak < 0.5)


@pytest.mark.parametrize("limit", [{"epochs": None, "minutes": 1e-4}, {"epochs": 1}])
def test_few_steps_in_the_minutes_given_are_said(blobs, monkeypatch, limit):
    pair, seen = blobs(2), []
    let_seeds_reach(monkeypatch, pair[1], 0.95)
    steps = trained(pair, on_event=seen.append, **limit).model.config.training["steps"]
    assert steps < handover.FEW_STEPS
    assert any(f"No more than {steps} step" in text for text in warnings(seen)) == ("minutes" in limit)


def test_how_sure_earlier_weights_were_is_not_noted_of_those_of_a_stop(blobs, monkeypatch):
    pair = blobs(2)
    let_seeds_reach(monkeypatch, pair[1], 0.95)
    config = TrainingConfig.preset("fast", **SHORT | {"epochs": 9}, precision="float32", validate_every=2)
    seen = []
    run = Trainer(config, [pair], [pair]).run(lambda: sum(isinstance(event, EpochFinished) for event in seen) == 3)
    result = drain(run, seen.append)
    assert [row.ap_mean is None for row in result.history] == [True, False, True]
    assert result.best_score is None
    assert result.model.config.sure_seediness is None


@pytest.mark.parametrize("is_old", [False, True])
def test_a_seed_threshold_that_was_lowered_rises_again_with_what_objects_reach(blobs, monkeypatch, is_old):
    pair = blobs(2)
    let_seeds_reach(monkeypatch, pair[1], 0.55)
    first = trained(pair).model
    assert first.config.prediction.seed_threshold == 0.55
    if is_old:
        # Saved before it was noted.
        record = {name: value for name, value in first.config.training.items() if name != "usual_seed_threshold"}
        first.config = first.config.model_copy(update={"training": record})
    let_seeds_reach(monkeypatch, pair[1], 0.7)
    second = trained(pair, first).model
    assert second.config.prediction.seed_threshold == 0.7
    let_seeds_reach(monkeypatch, pair[1], 0.97)
    assert trained(pair, second).model.config.prediction.seed_threshold == 0.9


@pytest.mark.parametrize("chosen", [0.6, 0.95])
def test_a_seed_threshold_that_somebody_stored_is_the_highest(blobs, monkeypatch, tmp_path, chosen):
    pair = blobs(2)
    let_seeds_reach(monkeypatch, pair[1], 0.55)
    trained(pair).model.save(tmp_path / "mine")
    ModelLibrary(tmp_path).describe("mine", {"seed_threshold": chosen})
    let_seeds_reach(monkeypatch, pair[1], 0.97)
    again = trained(pair, load_model(tmp_path / "mine.embedseg", "cpu")).model
    assert again.config.prediction.seed_threshold == chosen


def test_without_seeds_to_reach_the_threshold_stays_and_what_it_was_lowered_from_is_kept(blobs, monkeypatch):
    pair = blobs(2)
    let_seeds_reach(monkeypatch, pair[1], 0.55)
    first = trained(pair).model
    let_seeds_reach(monkeypatch, pair[1], 0.97)
    second = trained(pair, first, reached_seeds=False).model
    assert second.config.prediction.seed_threshold == 0.55
    assert trained(pair, second).model.config.prediction.seed_threshold == 0.9


@pytest.mark.parametrize(("reached_seeds", "threshold"), [(True, 0.6), (False, 0.9)])
def test_shares_of_the_start_model_are_compared_with_the_threshold_that_is_stored(
    blobs, monkeypatch, reached_seeds, threshold
):
    """It is that of all images, also where the shares are compared on some of them."""
    pair, seen = blobs(2), []
    start = trained(pair, reached_seeds=False).model
    faint = itertools.cycle([False, False, False, True, True])
    sure, unsure = (maps_of(pair[1], peak) for peak in (0.8, 0.6))
    monkeypatch.setattr(Model, "embed", lambda *_, **__: unsure if next(faint) else sure)

    def choose(model_of, annotated, settings_of, *_):
        assert len(annotated) == 3
        seen.append(settings_of(model_of(0.5)))
        return 0.5, seen[-1], 1.0

    monkeypatch.setattr(handover, "least_share", choose)
    config = TrainingConfig.preset("few", **SHORT, precision="float32", reached_seeds=reached_seeds)
    found = drain(Trainer(config, [pair] * 5, (), start).run()).model
    assert found.config.training["share_trained"] == 0.5
    assert [one.seed_threshold for one in seen] == [found.config.prediction.seed_threshold] == [threshold]


def test_a_stop_after_a_share_was_chosen_keeps_it_with_its_threshold(blobs, monkeypatch):
    pair, chosen, seen = blobs(2, 14, 96), [], []
    start = trained(pair, reached_seeds=False).model
    let_seeds_reach(monkeypatch, pair[1], 0.7)

    def choose(model_of, annotated, settings_of, *_):
        chosen.append(settings_of(model_of(0.5)))
        return 0.5, chosen[0], 1.0

    monkeypatch.setattr(handover, "least_share", choose)
    monkeypatch.setattr("embedseg_napari.core.training.trainer.soon_after", lambda should_stop: should_stop)
    config = TrainingConfig.preset("few", **SHORT, precision="float32")
    result = drain(Trainer(config, [pair], None, start).run(lambda: bool(chosen)), seen.append)
    assert result.stopped
    assert result.model.config.training["share_trained"] == 0.5
    assert result.model.config.prediction.seed_threshold == 0.7
    (told,) = (event.text for event in seen if isinstance(event, Message) and event.text.startswith("Stopped"))
    assert told == "Stopped before the number format was chosen; the model is saved with float32."
