"""The running average of a network's weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from embedseg_napari.core.training.optimization import MovingAverage


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def one_step(trained: nn.Module) -> None:
    """Change weights, running statistics and the count of batches."""
    trained(torch.rand(2, 1, 8, 8))
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += torch.randn_like(parameter)


def test_average_of_weights_and_statistics_begins_at_the_first_weights_and_follows_closely_at_first() -> None:
    trained = network()
    average = MovingAverage(trained, 0.5)
    expected = {name: value.clone() for name, value in trained.state_dict().items()}
    for step in range(1, 12):
        one_step(trained)
        average.update_parameters(trained)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in trained.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not any(module.training for module in average.modules())


@pytest.mark.parametrize("n_steps", [0, 3])
def test_without_decay_the_average_is_the_network(n_steps: int) -> None:
    trained = network()
    average = MovingAverage(trained, 0.0)
    for _ in range(n_steps):
        one_step(trained)
        average.update_parameters(trained)
    for name, value in average.module.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])
