"""Networks in bands give what they give in one piece."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from embedseg_napari.core.networks import bands
from embedseg_napari.core.networks.bands import in_bands
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.networks.memory_order import memory_format
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.networks.unet import UNet


@pytest.fixture
def low(monkeypatch):
    """Bands as low as they may be, which small images would not get."""

    def turn(on):
        monkeypatch.setattr(bands, "BAND_VALUES", 1 if on else 1 << 40)

    return turn


@pytest.mark.parametrize("kind", [UNet, BranchedERFNet])
@pytest.mark.parametrize("shape", [(1, 1, 200, 48), (2, 1, 328, 24), (1, 1, 72, 24, 16), (2, 1, 104, 16, 24)])
def test_bands_change_nothing(kind, shape, low):
    torch.manual_seed(0)
    ndim = len(shape) - 2
    network = kind(ndim).eval().to(memory_format=memory_format(ndim))
    # Its initial weights are zeros: every output would be the same.
    nn.init.normal_(network.embedding_layer.weight)
    images, heights = torch.rand(shape), []
    first = next(module for module in network.modules() if isinstance(module, nn.MaxPool2d | nn.MaxPool3d))
    first.register_forward_pre_hook(lambda _, inputs: heights.append(inputs[0].shape[2]))
    low(False)
    whole = raw_output(network, images)
    low(True)
    in_parts = raw_output(network, images)
    assert heights[0] == shape[2] > max(heights[1:])
    torch.testing.assert_close(in_parts, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [UNet, BranchedERFNet])
@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((200, 136), ((40, 99), (24, 80))),
        ((200, 136), ((0, 56), (101, 136))),
        ((24, 80, 72), ((0, 24), (40, 61), (0, 33))),
    ],
)
def test_a_part_of_the_output_is_what_the_whole_has_there(kind, shape, wanted, low):
    torch.manual_seed(0)
    network, part = kind(len(shape)).eval(), [slice(*ends) for ends in wanted]
    nn.init.normal_(network.embedding_layer.weight)
    images = torch.rand(1, 1, *shape)
    low(False)
    whole = raw_output(network, images)
    for is_low in (False, True):
        low(is_low)
        torch.testing.assert_close(raw_output(network, images, wanted=part), whole[(..., *part)], rtol=0, atol=1e-5)


def test_a_band_sees_as_far_as_the_layer_looks(low):
    x = torch.rand(1, 1, 90, 8)
    row = nn.Conv2d(1, 1, (5, 1), padding=(2, 0), bias=False).requires_grad_(False)
    seen = []

    def layer(x):
        seen.append(x.shape[2])
        return row(x), nn.functional.max_pool2d(x, 2)

    low(True)
    out, half = in_bands(layer, x, reach=2, n_maps=1, allowed=True)
    assert len(seen) > 1
    assert max(seen) < 90
    torch.testing.assert_close(out, row(x))
    assert torch.equal(half, nn.functional.max_pool2d(x, 2))


def test_training_sees_the_whole_image(low):
    network, heights = UNet(2).train(), []
    network.down[0].register_forward_pre_hook(lambda _, inputs: heights.append(inputs[0].shape[2]))
    low(True)
    network(torch.rand(2, 1, 200, 16)).sum().backward()
    with torch.no_grad():
        network(torch.rand(2, 1, 200, 16))
    assert heights == [200, 200]
