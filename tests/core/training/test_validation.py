"""Which of several states of a training the held-out images can tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core import events
from embedseg_napari.core.config import PredictionConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer
from embedseg_napari.core.training.training_set import TrainingSet
from embedseg_napari.core.training.validation import HeldOutValidator, Scores, Validator

pytestmark = pytest.mark.usefixtures("slim_network")


@pytest.mark.parametrize(
    ("each", "record", "is_as_good"),
    [
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], True),
        # One image lost much, the others gained: chance.
        ([0.2, 0.7, 0.8, 0.6], [0.6, 0.6, 0.7, 0.5], True),
        # All lost a little: sure.
        ([0.55, 0.54, 0.56, 0.55], [0.6, 0.6, 0.6, 0.6], False),
        ([0.7, 0.5], [0.5, 0.5], True),
        ([0.59], [0.6], False),
        ([0.6], [0.6], True),
    ],
)
def test_a_loss_counts_only_where_it_is_larger_than_its_standard_error(each, record, is_as_good):
    assert Scores(0.0, sum(each) / len(each), tuple(each)).is_as_good_as(record) is is_as_good


def test_wider_margins_are_chosen_only_where_held_out_images_surely_gain(blobs):
    examples, tight, right = [], [], []
    for size in (56, 64, 72, 80):
        _, labels = blobs(2, size=size)
        examples.append(Example(f"{size}", np.zeros((1, *labels.shape), np.float32), labels))
        grid = np.indices(labels.shape, dtype=np.float32)
        seed_map = np.where(labels > 0, 0.95, 0.0).astype(np.float32)
        seeds = [np.argwhere(labels == label).mean(0).round().astype(int) for label in range(1, labels.max() + 1)]
        for y, x in seeds:
            seed_map[y, x] = 0.99
        radii = [np.sqrt((labels == label).sum() / np.pi) for label in range(1, labels.max() + 1)]
        # Nobody points anywhere: a pixel belongs to the seed whose margin it lies in.
        margins = np.ones_like(grid)
        for label, radius in enumerate(radii, 1):
            margins[:, labels == label] = radius
        right.append(EmbeddingMaps(np.zeros_like(grid), 1.1 * margins, seed_map))
        tight.append(EmbeddingMaps(np.zeros_like(grid), 0.8 * margins, seed_map))
    validator = Validator(examples)
    usual = PredictionConfig()
    assert validator.with_best_margins(right, usual).margin_scale == 1.0
    chosen = validator.with_best_margins(tight, usual)
    assert chosen.margin_scale in (1.2, 1.35)
    assert validator.score(tight, chosen).ap_mean > validator.score(tight, usual).ap_mean + 0.1


def uniform(labels, seediness):
    """Maps of one object, whose pixels all point at its middle."""
    grid = np.indices(labels.shape, dtype=np.float32)
    middle = np.argwhere(labels).mean(0)[:, None, None]
    return EmbeddingMaps(np.where(labels, middle - grid, 0).astype(np.float32), np.full_like(grid, 9.0), seediness)


def test_how_sure_a_network_is_of_what_it_finds_is_told_of_true_pixels_of_all_or_of_held_out_objects():
    labels = np.zeros((24, 24), np.int32)
    labels[4:14, 4:14], labels[16:20, 4:14] = 1, 2
    image = np.zeros((1, 24, 24), np.float32)
    seed_map = np.where(labels == 1, 0.95, 0.1).astype(np.float32)
    # Of the ten rows seven are surer than the others; what is not found says nothing.
    seed_map[4:7, 4:14] = 0.92
    maps, settings = [uniform(labels == 1, seed_map)], PredictionConfig()
    planes = np.stack([labels == 1, labels == 2])
    for instances in (labels, planes):
        assert Validator([Example("a", image, instances)]).score(maps, settings).sure_seediness == pytest.approx(0.95)
        for number, level in ((1, pytest.approx(0.95)), (2, None)):
            held_out = HeldOutValidator([(Example("a", image, instances), np.array([number]))])
            assert held_out.score(maps, settings).sure_seediness == level


def one_image(blobs, n=14, validation=None, **changes):
    image, labels = blobs(2, n, 96)
    assert labels.max() == n
    values = {"epochs": 1, "minutes": None, "steps_per_epoch": 1, "batch_size": 1, "crop_size": (32, 32)}
    config = TrainingConfig(**values | changes, precision="float32")
    seen = []
    return drain(Trainer(config, [(image, labels)], validation).run(), seen.append), seen


@pytest.mark.parametrize("seed", range(12))
def test_chance_leaves_no_single_image_without_a_score(blobs, seed):
    examples = from_arrays([blobs(2, 10, 96)])
    found = TrainingSet(TrainingConfig(seed=seed), examples, [], is_unasked=True)
    assert 0 < found.n_held_out < 10


def test_one_labelled_image_gives_a_score(blobs):
    result, seen = one_image(blobs)
    (started,) = [event for event in seen if isinstance(event, events.TrainingStarted)]
    assert 0 < started.n_held_out_objects < 7
    assert started.n_objects + started.n_held_out_objects == 14
    assert result.best_score is not None
    assert result.model.config.training["n_held_out_objects"] == started.n_held_out_objects


@pytest.mark.parametrize("given", [{"validation_fraction": 0}, {"validation": []}, {"n": 9}])
def test_nothing_is_held_out_where_that_is_not_wanted_or_objects_are_few(blobs, given):
    result, seen = one_image(blobs, **given)
    (started,) = [event for event in seen if isinstance(event, events.TrainingStarted)]
    assert started.n_held_out_objects == 0
    assert result.best_score is None
