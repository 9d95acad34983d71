"""What training decides by itself."""

from __future__ import annotations

import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.events import TrainingStarted
from embedseg_napari.core.training import planning
from embedseg_napari.core.training.trainer import Trainer


@pytest.mark.parametrize(("ndim", "precision"), [(2, "bfloat16"), (3, "float32")])
def test_volumes_are_not_trained_in_bfloat16_on_a_cpu(blobs, monkeypatch, ndim, precision):
    monkeypatch.setattr(planning, "supports_bfloat16", lambda device: True)
    plan = planning.plan_training(TrainingConfig(), from_arrays([blobs(ndim)]), device="cpu")
    assert plan.precision == precision


@pytest.mark.parametrize(("ndim", "is_warned"), [(2, False), (3, True)])
def test_whoever_asks_for_bfloat16_in_volumes_on_a_cpu_is_warned(blobs, ndim, is_warned):
    config = TrainingConfig(precision="bfloat16", validation_fraction=0)
    said = []
    for event in Trainer(config, [blobs(ndim)], device="cpu").run():
        if isinstance(event, TrainingStarted):
            break
        said.append(event.text)
    assert any("bfloat16 on a CPU" in text for text in said) == is_warned
