"""A training on few labels keeps as much of its start model as the annotated objects allow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from embedseg_napari.core import events
from embedseg_napari.core.config import PredictionConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.sparse import object_ids
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.evaluation.held_out import held_out_ious
from embedseg_napari.core.inference import predictor
from embedseg_napari.core.inference.network_pass import NetworkPass
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.model.quiet import quietly_segmented
from embedseg_napari.core.runs import drain, never, soon_after
from embedseg_napari.core.training import trainer
from embedseg_napari.core.training.blending import blended, least_share, scored_examples
from embedseg_napari.core.training.trainer import Trainer
from embedseg_napari.core.training.validation import with_reached_seeds


def test_blended_weights_lie_between():
    start = {"weight": torch.zeros(3, dtype=torch.float16), "n": torch.tensor(1)}
    trained = {"weight": torch.full((3,), 4.0), "n": torch.tensor(9)}
    found = blended(start, trained, 0.75)
    assert found["weight"].dtype == torch.float32
    assert found["weight"].tolist() == [3.0] * 3
    assert found["n"] == 9


def usual(*_):
    return PredictionConfig()


def finding(maps):
    """A model that says the same of every image."""
    config = SimpleNamespace(axes="C" + "ZYX"[-maps.ndim :], prediction=PredictionConfig())
    return SimpleNamespace(config=config, embed=lambda *_, **__: maps)


def maps_of(labels):
    """What a network says that finds these objects."""
    at = np.indices(labels.shape, dtype=np.float32)
    offsets = np.zeros_like(at)
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        for axis, middle in enumerate(ndimage.center_of_mass(inside)):
            offsets[axis][inside] = middle - at[axis][inside]
    return EmbeddingMaps(offsets, np.full_like(at, 3), (labels > 0).astype(np.float32))


def shrunk(labels, by):
    size = (1, 2 * by + 1, 2 * by + 1)[-labels.ndim :]
    return np.where(ndimage.minimum_filter(labels, size) == labels, labels, 0)


@pytest.mark.parametrize(
    # Pixels that each side of an object lacks, by the share that was trained.
    ("lacking", "share"),
    [({0.5: 0, 0.75: 0, 1.0: 0}, 0.5), ({0.5: 2, 0.75: 0, 1.0: 0}, 0.75), ({0.5: 3, 0.75: 2, 1.0: 0}, 1.0)],
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_smallest_share_that_finds_the_annotated_objects_as_well(blobs, lacking, share, ndim):
    image, labels = blobs(ndim)
    example = Example("a", image[None], np.where(labels <= 3, labels, 0).astype(np.int32), labels == 0)

    def model_of(share):
        return finding(maps_of(shrunk(labels, lacking[share])))

    found, _, iou = least_share(model_of, [example], usual, "float32")
    assert (found, iou) == (share, pytest.approx(1))


def test_where_all_objects_were_erased_all_of_the_training_counts():
    nothing = np.zeros((16, 16), np.int32)
    example = Example("a", nothing[None].astype(np.float32), nothing, nothing > 0)
    model = SimpleNamespace(embed=lambda *_, **__: pytest.fail("nothing can be scored"))
    share, settings, _ = least_share(lambda _: model, [example], usual, "float32")
    assert (share, settings) == (1, PredictionConfig())


@pytest.mark.parametrize(("lowered_to", "share", "iou"), [(0.9, 0.5, 0), (0.6, 1.0, 1)])
def test_a_share_is_chosen_with_the_threshold_that_is_stored(blobs, lowered_to, share, iou):
    """The start model, here half of it, finds nothing; the trained network all, as soon as faint seeds count."""
    _, labels = blobs(2)
    example = Example("a", np.zeros((1, *labels.shape), np.float32), labels.astype(np.int32), labels == 0)

    def model_of(share):
        maps = maps_of(labels)
        return finding(EmbeddingMaps(maps.offsets, maps.margins, maps.seed_map * (0.7 if share == 1 else 0.3)))

    def settings_of(*_):
        return PredictionConfig(seed_threshold=lowered_to)

    expected = (share, PredictionConfig(seed_threshold=lowered_to), pytest.approx(iou))
    assert least_share(model_of, [example], settings_of, "float32") == expected


@pytest.mark.parametrize("seeds", ["greedy", "local_maxima"])
def test_maps_that_the_threshold_was_chosen_on_give_what_a_prediction_gives(blobs, seeds):
    """Also where a fourth image is looked at for the threshold alone, and some are not looked at for it."""
    image, labels = blobs(2)
    annotated = [
        Example(str(n), np.rot90(image, n)[None], np.where(found <= 3 + n, found, 0).astype(np.int32), found == 0)
        for n, found in enumerate(np.rot90(labels, n) for n in range(5))
    ]
    model = load_model("nuclei-2d", device="cpu")
    model.config = model.config.model_copy(
        update={"prediction": model.config.prediction.model_copy(update={"seeds": seeds, "find_scale": False})}
    )
    start, own, taken = model.config.prediction, {}, []

    def settings_of(model, take):
        return with_reached_seeds(model, annotated[:4], start, 0.999, "float32", never, take)

    def counted(*given, **options):
        taken.append(1)
        return Model.embed(model, *given, **options)

    model.embed = counted
    share, settings, iou = least_share(lambda _: model, annotated, settings_of, "float32")
    # Three are scored, the last of which the threshold is not chosen on; two shares are looked at.
    assert (share, len(taken)) == (0.5, 2 * 5)
    for example in scored_examples(annotated):
        labels = quietly_segmented(model, example, precision="float32", **settings.clustering)
        own[example.name] = held_out_ious(labels, example, object_ids(example))
    assert iou == np.concatenate(list(own.values())).mean() > 0
    assert settings.seed_threshold < 0.999


SHORT = {"epochs": 1, "minutes": None, "steps_per_epoch": 2, "batch_size": 1, "crop_size": (32, 32)}


def trained(blobs, start=None, validation=(), **changes):
    image, labels = blobs(2)
    config = TrainingConfig.preset("few", **SHORT | changes, precision="float32")
    seen = []
    pairs = [(image, labels, labels > 4)]
    return drain(Trainer(config, pairs, validation, start).run(), seen.append), seen


def test_a_training_that_found_nothing_better_keeps_half_of_its_start(blobs):
    start = trained(blobs)[0].model
    assert start.config.training["share_trained"] == 1
    first, seen = trained(blobs, start)
    whole, _ = trained(blobs, start, keep_start=False)
    # Two steps: neither finds anything.
    assert first.model.config.training["share_trained"] == 0.5
    told = [event.text for event in seen if isinstance(event, events.Message)]
    assert any("finds none of the annotated objects, so the model keeps 50 %" in text for text in told)
    before, after, kept = (one.network.state_dict() for one in (start, whole.model, first.model))
    for name, value in kept.items():
        if value.is_floating_point():
            assert torch.allclose(value, (before[name] + after[name]) / 2, atol=1e-6)


def test_each_image_is_segmented_once_for_each_share(blobs, monkeypatch):
    start, seen = trained(blobs)[0].model, []
    run = NetworkPass.run
    monkeypatch.setattr(NetworkPass, "run", lambda self, *given: seen.append(1) or run(self, *given))
    pairs = [(image, labels, labels > 4) for image, labels in [blobs(2)] * 5]
    config = TrainingConfig.preset("few", **SHORT, precision="float32")
    drain(Trainer(config, pairs, (), start).run())
    # All of the training, then half of it, which finds no less.
    assert len(seen) == 2 * len(pairs)


def test_no_scale_is_looked_for_in_what_is_learned_from(blobs, monkeypatch):
    """Its objects have said how large objects are; the search takes longer than all else at the end of a training."""
    monkeypatch.setattr(predictor, "find_scale", lambda *_: pytest.fail("it is known"))
    found, _ = trained(blobs, trained(blobs)[0].model)
    assert found.model.config.prediction.find_scale


def test_with_held_out_images_they_decide_alone(blobs):
    start = trained(blobs)[0].model
    image, labels = blobs(2)
    found, _ = trained(blobs, start, [(image[::-1], labels[::-1])])
    assert found.model.config.training["share_trained"] == 1


def test_the_thresholds_of_the_start_model_are_kept(blobs):
    start = trained(blobs)[0].model
    start.config = start.config.model_copy(
        update={"prediction": start.config.prediction.model_copy(update={"foreground_threshold": 0.3})}
    )
    assert trained(blobs, start)[0].model.config.prediction.foreground_threshold == 0.3


def test_the_choice_of_a_share_can_be_stopped(blobs):
    image, labels = blobs(2)
    example = Example("a", image[None], labels.astype(np.int32), labels == 0)
    model = load_model("nuclei-2d", device="cpu")
    with pytest.raises(Stopped):
        least_share(lambda _: model, [example], usual, "float32", lambda: True)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_stop_at_the_end_keeps_the_model(blobs, monkeypatch, seconds):
    """Quick choices are still made; else the model stays as it was trained."""
    image, labels = blobs(2)
    first, _ = trained(blobs)
    monkeypatch.setattr(trainer, "soon_after", lambda should_stop, _=0: soon_after(should_stop, seconds))
    config = TrainingConfig.preset("few", **SHORT, precision="float32")
    seen = []
    run = Trainer(config, [(image, labels, labels > 4)], (), first.model).run(
        lambda: any(isinstance(event, events.StepFinished) for event in seen)
    )
    result = drain(run, seen.append)
    assert result.stopped
    told = [
        event.text for event in seen if isinstance(event, events.Message) and "thresholds were chosen" in event.text
    ]
    assert len(told) == (seconds == 0)
    if seconds == 0:
        assert result.model.config.training["share_trained"] == 1
