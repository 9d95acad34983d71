"""A model of one channel as the start for several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import ModelConfig, TrainingConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer


def model(architecture: str = "unet", ndim: int = 2) -> Model:
    torch.manual_seed(0)
    config = ModelConfig(architecture=architecture, ndim=ndim, grid_spacing=(1 / 1023,) * ndim)
    return Model(config, build_network(architecture, ndim, 1))


@pytest.mark.parametrize("ndim", [2, 3])
def test_three_equal_channels_give_what_one_gives(ndim: int) -> None:
    one = model(ndim=ndim)
    three = with_channels(one, 3)
    image = torch.rand(1, 1, *(16,) * ndim)
    assert three.config.n_channels == 3
    assert torch.allclose(three.raw(image.expand(-1, 3, *image.shape[2:])), one.raw(image), atol=1e-5)
    assert with_channels(one, 1) is one


def coloured() -> Example:
    labels = np.zeros((48, 48), np.int32)
    for number, (y, x) in enumerate(((6, 6), (6, 30), (30, 6), (30, 30)), 1):
        labels[y : y + 12, x : x + 12] = number
    noise = np.random.default_rng(0).normal(0, 5, (3, 48, 48))
    return Example("coloured", (100 * (labels > 0) + noise).astype(np.float32), labels)


def test_a_training_on_colours_starts_from_a_model_of_one_channel() -> None:
    told: list[object] = []
    config = TrainingConfig(epochs=1, steps_per_epoch=1, batch_size=1, crop_size=(32, 32))
    result = drain(Trainer(config, [coloured()], (), model(), device="cpu").run(), told.append)
    assert result.model.config.n_channels == 3
    assert any("mean of those there are" in str(event) for event in told)


def test_the_papers_network_cannot() -> None:
    config = TrainingConfig(epochs=1, steps_per_epoch=1, batch_size=1)
    with pytest.raises(SettingsError, match="these are 2D with 3"):
        drain(Trainer(config, [coloured()], (), model("branched-erfnet"), device="cpu").run())
