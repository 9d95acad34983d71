from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.networks.erfnet import BranchedERFNet


@pytest.mark.parametrize("ndim", [2, 3])
def test_only_used_weights_are_trained(ndim: int) -> None:
    network = BranchedERFNet(ndim)
    network(torch.randn(2, 1, *(16,) * ndim)).square().mean().backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert without == {"encoder.output_conv.weight", "encoder.output_conv.bias"}


@pytest.mark.parametrize("ndim", [2, 3])
def test_reproduces_the_original_program(golden, ndim: int) -> None:
    checkpoint = torch.load(golden(f"legacy_{ndim}d.pth"), weights_only=True)["model_state_dict"]
    network = BranchedERFNet(ndim)
    network.load_state_dict({name.removeprefix("module."): value for name, value in checkpoint.items()})
    numbers = np.load(golden(f"network_{ndim}d.npz"))
    with torch.inference_mode():
        raw = network.eval()(torch.from_numpy(numbers["input"])[None])[0].numpy()
    for part in (slice(0, ndim), slice(ndim, 2 * ndim), slice(2 * ndim, None)):
        expected = numbers["raw"][part]
        assert np.linalg.norm(raw[part] - expected) < 2e-4 * np.linalg.norm(expected)


def test_dropout_is_scaled_and_turned_off() -> None:
    network = BranchedERFNet(2).train()
    x = torch.rand(1, 1, 16, 16)
    network.scale_dropout(0.5)
    assert max(module.p for module in network.modules() if isinstance(module, torch.nn.Dropout2d)) == 0.15
    assert not torch.equal(network.encoder(x), network.encoder(x))
    network.scale_dropout(0.0)
    assert torch.equal(network.encoder(x), network.encoder(x))
