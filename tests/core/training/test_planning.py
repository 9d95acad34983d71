"""What training decides by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.networks.architectures import NETWORKS, build_network
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training import planning
from embedseg_napari.core.training.trainer import Trainer


@pytest.mark.parametrize("has_it", [True, False])
def test_bfloat16_is_taken_where_the_processor_has_it(blobs, monkeypatch, has_it):
    monkeypatch.setattr(planning, "supports_bfloat16", lambda device: has_it)
    for ndim in (2, 3):
        plan = planning.plan_training(TrainingConfig(), from_arrays([blobs(ndim)]), device="cpu")
        assert plan.precision == ("bfloat16" if has_it else "float32")


@pytest.mark.parametrize(("free", "factor"), [(4e9, 1), (40e9, 4)])
def test_a_gpu_with_room_gets_larger_batches_and_it_is_told(blobs, monkeypatch, free, factor):
    monkeypatch.setattr(planning, "free_memory", lambda device: free)
    gpu, examples = torch.device("cuda"), from_arrays([blobs(2)])
    assert planning.batch_factor(gpu) == factor
    assert planning.batch_factor(torch.device("cpu")) == 1
    monkeypatch.setattr(planning, "choose_device", lambda name: gpu)
    monkeypatch.setattr(planning, "supports_bfloat16", lambda device: True)
    for settings in ({}, {"batch_size": 3}, {"batch_pixels": 65536}):
        config = TrainingConfig(**settings)
        plan = planning.plan_training(config, examples)
        assert bool(planning.batch_note(plan, config)) == (factor == 4 and not settings)
    assert planning.plan_training(TrainingConfig(), examples).batch_size == 16 * factor


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("batch", [{"batch_size": 1}, {"batch_pixels": 64}])
def test_a_batch_of_one_crop_that_the_network_makes_one_pixel_is_refused(blobs, ndim, batch):
    examples = from_arrays([blobs(ndim)])
    with pytest.raises(SettingsError, match=f"one crop of {' x '.join('8' * ndim)} pixels is too little.*batch_size"):
        planning.plan_training(TrainingConfig(crop_size=(8,) * ndim, **batch), examples)
    for crop, n in (((8,) * (ndim - 1) + (16,), 1), ((8,) * ndim, 2)):
        plan = planning.plan_training(TrainingConfig(crop_size=crop, batch_size=n), examples)
        for architecture in NETWORKS:
            build_network(architecture, ndim, 1).train()(torch.zeros(plan.batch_size, 1, *plan.crop_size))


@pytest.mark.parametrize("preset", ["fast", "few", "paper"])
def test_the_seed_term_is_balanced_by_network_and_dimension(blobs, preset):
    plane, volume = from_arrays([blobs(2)]), from_arrays([blobs(3)])
    config = TrainingConfig.preset(preset)
    first = planning.plan_training(config, plane)
    assert first.foreground_weight == (10 if preset == "paper" else 3)
    # A start model brings its network.
    other = first.model_config.model_copy(update={"architecture": "branched-erfnet"})
    assert planning.plan_training(config, plane, other).foreground_weight == 10
    labels = volume[0].instances
    balance = (labels == 0).sum() / (labels != 0).sum()
    assert planning.plan_training(config, volume).foreground_weight == pytest.approx(balance)
    chosen = TrainingConfig.preset(preset, foreground_weight=5)
    assert planning.plan_training(chosen, volume).foreground_weight == 5


def test_volumes_go_on_gently_from_a_model(blobs):
    for ndim, rate in ((2, 1.0), (3, 0.3)):
        images = from_arrays([blobs(ndim)])
        scratch = planning.plan_training(TrainingConfig(), images)
        assert scratch.rate == 1
        assert planning.plan_training(TrainingConfig(), images, scratch.model_config).rate == rate
        chosen = TrainingConfig(start_rate=0.5)
        assert planning.plan_training(chosen, images, scratch.model_config).rate == 0.5
        assert planning.plan_training(chosen, images).rate == 1
        assert planning.plan_training(TrainingConfig.preset("paper"), images, scratch.model_config).rate == 1


def squares(side, n=4):
    """An image of `n` bright squares, and their labels."""
    labels = np.zeros((4 * side, 4 * side), np.int32)
    for number in range(n):
        row, column = divmod(number, 2)
        labels[2 * side * row :, 2 * side * column :][:side, :side] = number + 1
    return (labels > 0).astype(np.float32), labels


@pytest.mark.parametrize(("side", "scale"), [(14, 1.0), (35, 1.0), (56, 0.5), (400, 0.25)])
def test_large_objects_are_made_as_large_as_is_learned_quickly(side, scale):
    plan = planning.plan_training(TrainingConfig(reference_extent=28), from_arrays([squares(side)]))
    assert plan.scale == plan.model_config.reference_scale == scale
    as_they_are = planning.plan_training(TrainingConfig(reference_extent=None), from_arrays([squares(side)]))
    assert as_they_are.scale == 1
    assert planning.scale_note(as_they_are) == ""
    assert (planning.scale_note(plan) == "") == (scale == 1)
    if scale == 0.5:
        assert "resized by 0.5, which makes objects about 28 pixels wide" in planning.scale_note(plan)


def test_thin_objects_are_told_a_size_with_finer_outlines():
    labels = np.zeros((220, 220), np.int32)
    for number, row in enumerate(range(10, 200, 20), 1):
        labels[row : row + 10, 10:190] = number
    turned = np.stack([labels, labels.T])
    images = from_arrays([((one > 0).astype(np.float32), one) for one in turned])
    plan = planning.plan_training(TrainingConfig(), images)
    told = int(planning.scale_note(plan).split("a reference_extent of ")[1].split()[0])
    finer = planning.plan_training(TrainingConfig(reference_extent=told), images)
    assert plan.scale < finer.scale < 1
    assert "finer" not in planning.scale_note(finer), "the advice, once taken, is not repeated"
    assert "finer" not in planning.scale_note(plan, from_scratch=False)
    wide = planning.plan_training(TrainingConfig(), from_arrays([squares(90)]))
    assert "finer" not in planning.scale_note(wide)


@pytest.mark.parametrize(("side", "scale"), [(40, 1.0), (60, 1.0), (90, 0.5)])
def test_by_default_objects_larger_than_nuclei_are_made_smaller(side, scale):
    assert planning.plan_training(TrainingConfig(), from_arrays([squares(side)])).scale == scale
    assert planning.plan_training(TrainingConfig.preset("paper"), from_arrays([squares(side)])).scale == 1


def test_objects_beyond_the_networks_reach_are_told():
    large = from_arrays([squares(320)])
    as_they_are = planning.plan_training(TrainingConfig(reference_extent=None), large)
    assert "up to 320 pixels wide, more than the network can see" in planning.reach_warning(as_they_are)
    assert planning.reach_warning(planning.plan_training(TrainingConfig(), large)) == ""
    # Squares of several sizes and a line across the image: made no smaller than the smallest can bear.
    mixed = planning.plan_training(TrainingConfig(), from_arrays([unlike(9)]))
    assert mixed.scale == pytest.approx(math.sqrt(planning.LEAST_PIXELS[2] / 81))
    assert "up to 980 pixels wide, 596 as the network sees them" in planning.reach_warning(mixed)
    assert planning.plan_training(TrainingConfig(), from_arrays([unlike(5)])).scale == 1, "too small to be made smaller"


def unlike(smallest):
    """Twelve squares 60 pixels wide, two small ones, and a line of 980 pixels."""
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.pad(np.ones((60, 60), np.int32), 10))
    labels = np.pad(labels, ((0, 0), (0, 660)))
    labels[1, :] = 13
    labels[100 : 100 + smallest, 500 : 500 + smallest] = 14
    labels[200 : 200 + smallest, 500 : 500 + smallest] = 15
    return (labels > 0).astype(np.float32), labels


@pytest.mark.parametrize(
    ("side", "known", "before", "scale"),
    [(20, 18, 1.0, 1.0), (40, 20, 1.0, 0.5), (10, 30, 0.5, 1.5), (8, 90, 1.0, 2.0)],
)
def test_a_start_model_sees_objects_of_the_size_it_knows(side, known, before, scale):
    start = planning.plan_training(TrainingConfig(), from_arrays([squares(known)])).model_config
    start = start.model_copy(update={"reference_scale": before})
    examples = from_arrays([squares(side)])
    assert planning.plan_training(TrainingConfig(reference_extent=28), examples, start).scale == scale
    assert planning.plan_training(TrainingConfig(reference_extent=None), examples, start).scale == before


@pytest.mark.parametrize(("side", "scale"), [(12, 1.0), (34, 1.0), (60, 23 / 60)])
def test_a_start_model_of_many_sizes_sees_objects_of_each_of_them_as_they_are(side, scale):
    start = planning.plan_training(TrainingConfig(), from_arrays([squares(23)])).model_config
    sizes = start.object_sizes.model_copy(update={"std": (14.0, 14.0)})
    start = start.model_copy(update={"object_sizes": sizes})
    plan = planning.plan_training(TrainingConfig(), from_arrays([squares(side)]), start)
    assert plan.scale == pytest.approx(scale, abs=0.03)


def test_long_thin_objects_are_not_made_as_short_as_the_round_ones_a_start_model_knows():
    start = planning.plan_training(TrainingConfig(), from_arrays([squares(20)])).model_config
    labels = np.zeros((200, 200), np.int32)
    for number, row in enumerate(range(10, 190, 20), 1):
        labels[row : row + 8, 20:120] = number
    plan = planning.plan_training(TrainingConfig(), from_arrays([((labels > 0).astype(np.float32), labels)]), start)
    assert plan.scale == pytest.approx(math.sqrt(20 * 20 / 800), rel=0.1), "by their area, not by their length"


def test_a_model_of_another_scale_predicts_on_the_images_own_pixels(tmp_path):
    image, labels = squares(24)
    config = TrainingConfig.preset(
        "few", epochs=12, steps_per_epoch=8, reference_extent=8, precision="float32", batch_size=2
    )
    result = drain(Trainer(config, [(image, labels)], [], run_folder=tmp_path, device="cpu").run())
    assert result.model.config.reference_scale == pytest.approx(8 / 24)
    assert result.model.config.object_sizes.mean == pytest.approx((24, 24), rel=0.1)
    found = result.model.predict(image, "YX", seed_threshold=0.5)
    assert found.labels.shape == labels.shape
    assert match(labels, found.labels)[0].tp >= 3
    # The scale lasts, also where objects are others when it is resumed.
    part = labels.copy()
    part[12:] = 0
    assert planning.plan_training(config, from_arrays([(image, part)])).scale > 0.4
    longer = config.model_copy(update={"epochs": 13})
    again = drain(Trainer(longer, [(image, part)], [], run_folder=tmp_path, device="cpu", resume=True).run())
    assert again.model.config.reference_scale == result.model.config.reference_scale


def test_few_objects_do_not_raise_the_least_size_that_the_start_model_has(blobs):
    images = from_arrays([blobs(2)])
    known = planning.plan_training(TrainingConfig(), images).model_config
    assert known.prediction.min_object_size > 3
    start = known.model_copy(update={"prediction": known.prediction.model_copy(update={"min_object_size": 3})})
    assert planning.plan_training(TrainingConfig(), images, start).model_config.prediction.min_object_size == 3
    # The start model knew them twice as large: as the network sees them they are the same.
    doubled = {name: tuple(2 * x for x in getattr(known.object_sizes, name)) for name in ("mean", "std")}
    sizes = known.object_sizes.model_copy(
        update=doubled | {"std": (0.5, 0.5), "mean_size": 4 * known.object_sizes.mean_size}
    )
    larger = start.model_copy(
        update={
            "object_sizes": sizes,
            "prediction": known.prediction.model_copy(update={"min_object_size": 12}),
        }
    )
    plan = planning.plan_training(TrainingConfig(), images, larger)
    assert plan.scale == pytest.approx(2, rel=0.1)
    assert plan.model_config.prediction.min_object_size == 3
