"""3D convolutions computed as convolutions of planes: the same numbers, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from embedseg_napari.core.device import supports_bfloat16
from embedseg_napari.core.networks.architectures import NETWORKS, build_network
from embedseg_napari.core.networks.volume_layers import VolumeConvolution, VolumeTransposedConvolution

KERNELS = [
    {"kernel_size": (3, 1, 1), "padding": (1, 0, 0)},
    {"kernel_size": (3, 1, 1), "padding": (4, 0, 0), "dilation": (4, 1, 1)},
    {"kernel_size": (1, 3, 1), "padding": (0, 1, 0)},
    {"kernel_size": (1, 1, 3), "padding": (0, 0, 2), "dilation": (1, 1, 2)},
    {"kernel_size": (1, 3, 3), "padding": (0, 2, 2), "dilation": (1, 2, 2), "bias": False},
    {"kernel_size": 3, "padding": 1, "stride": 2},
    {"kernel_size": 1},
]
DOUBLING = [{"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}, {"kernel_size": 2, "stride": 2}]


def check(ours: nn.Module, theirs: nn.Module, channels_last: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8, 4, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        ours.to(memory_format=torch.channels_last_3d)
    ours.double()
    theirs.double().load_state_dict(ours.state_dict())
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, wanted = ours(a), theirs(b)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(wanted)
    (found * weight).sum().backward()
    (wanted * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("how", KERNELS)
def test_convolutions(how, channels_last):
    check(VolumeConvolution(3, 5, **how), nn.Conv3d(3, 5, **how), channels_last)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("how", DOUBLING)
def test_transposed_convolutions(how, channels_last):
    check(VolumeTransposedConvolution(3, 5, **how), nn.ConvTranspose3d(3, 5, **how), channels_last)


@pytest.mark.skipif(not supports_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16")
@pytest.mark.parametrize("architecture", NETWORKS)
def test_gradients_in_bfloat16_are_those_of_float32(architecture):
    # PyTorch's own gradients of 3D convolutions read memory that nobody wrote: here it is full of large numbers.
    torch.manual_seed(0)
    network = build_network(architecture, 3, 1).to(memory_format=torch.channels_last_3d).eval()
    x = torch.rand(1, 1, 16, 32, 32)
    target = torch.randn(1, 7, 16, 32, 32)
    gradients = []
    for is_reduced in (False, True):
        network.zero_grad()
        garbage = [torch.full((1 << 18,), 1e30) for _ in range(20)]
        del garbage
        with torch.autocast("cpu", torch.bfloat16, enabled=is_reduced):
            out = network(x)
        (out.float() * target).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    exact, reduced = gradients
    assert (reduced - exact).norm() < 0.05 * exact.norm()
