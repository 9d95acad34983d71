from __future__ import annotations

import pytest
import torch

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.networks.memory_order import channels_last, memory_format
from embedseg_napari.core.networks.unet import UNet


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_weight_is_trained(ndim: int) -> None:
    network = UNet(ndim)
    # At the start the first head's last layer is zero, and nothing before it learns from it.
    torch.nn.init.normal_(network.embedding_layer.weight)
    network(torch.randn(2, 1, *(16,) * ndim)).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


@pytest.mark.parametrize("ndim", [2, 3])
def test_dropout_is_made_for_the_deep_units_and_can_be_turned_off(ndim: int) -> None:
    network = UNet(ndim).train()
    x = torch.rand(1, 1, *(16,) * ndim)
    assert not torch.equal(network(x), network(x))
    network.scale_dropout(0.0)
    assert torch.equal(network(x), network(x))


def test_a_file_says_which_network_it_holds(tmp_path) -> None:
    for network, name in ((UNet(2), "unet"), (BranchedERFNet(2), "branched-erfnet")):
        path = Model(ModelConfig(architecture=name), network).save(tmp_path / name)
        loaded = load_model(path, device="cpu")
        assert type(loaded.network) is type(network)
        assert loaded.config.architecture == name


def test_weights_of_the_other_network_are_refused(tmp_path) -> None:
    path = Model(ModelConfig(architecture="unet"), BranchedERFNet(2)).save(tmp_path / "mixed")
    with pytest.raises(ModelError, match="no unet network in 2D"):
        load_model(path)


@pytest.mark.parametrize("ndim", [2, 3])
def test_maps_of_one_channel_lie_in_memory_as_all_others_do(ndim: int) -> None:
    images = torch.randn(2, 1, *(16,) * ndim)
    given = channels_last(images)
    assert torch.equal(given, images)
    unit = UNet(ndim).down[0]
    for maps in (unit.first(given), unit.shortcut(given)):
        assert maps.is_contiguous(memory_format=memory_format(ndim))


@pytest.mark.parametrize("ndim", [2, 3])
def test_norms_folded_into_weights_change_no_result(ndim: int) -> None:
    torch.manual_seed(0)
    network = UNet(ndim)
    x = torch.randn(2, 1, *(16,) * ndim)
    network(x)
    layer = network.bottom[0].second
    for _ in range(3):
        layer(torch.randn(4, 128, *(8,) * ndim))
    features = torch.randn(2, 128, *(8,) * ndim)
    layer.eval()
    folded = layer(features)
    plain = features
    for part in layer:
        plain = part(plain)
    torch.testing.assert_close(folded, plain, atol=1e-5, rtol=1e-4)
