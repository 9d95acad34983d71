"""What all networks promise."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.networks.architectures import NETWORKS, build_network

KINDS = [(name, ndim) for name in NETWORKS for ndim in (2, 3)]


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(("name", "ndim"), KINDS)
def test_shapes(name: str, ndim: int, n_channels: int) -> None:
    side = (8, 16, 24)[-ndim:]
    network = build_network(name, ndim, n_channels).eval()
    with torch.inference_mode():
        raw = network(torch.randn(2, n_channels, *side))
    assert raw.shape == (2, 2 * ndim + 1, *side)


@pytest.mark.parametrize("n_channels", [0, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_too_many_channels_are_a_sentence(name: str, n_channels: int) -> None:
    with pytest.raises(SettingsError, match="1 to 15 channels"):
        build_network(name, 2, n_channels)


@pytest.mark.parametrize(("name", "ndim"), KINDS)
def test_fresh_network_points_every_pixel_to_itself_with_one_margin(name: str, ndim: int) -> None:
    network = build_network(name, ndim, 1).eval()
    with torch.inference_mode():
        raw = network(torch.randn(1, 1, *(16,) * ndim))
    assert (raw[:, :ndim] == 0).all()
    assert (raw[:, ndim : 2 * ndim] == 1).all()
    assert raw[:, -1].std() > 0


@pytest.mark.parametrize(("name", "ndim"), KINDS)
def test_initial_margin(name: str, ndim: int) -> None:
    from embedseg_napari.core.networks.embedding import decode

    spacing = (3 / 1023, 1 / 1023, 1 / 1023)[-ndim:]
    margin = (4.0, 12.0, 15.0)[-ndim:]
    network = build_network(name, ndim, 1).eval()
    network.set_initial_margin(margin, spacing)
    with torch.inference_mode():
        _, margins, _ = decode(network(torch.randn(1, 1, *(8,) * ndim))[0], spacing)
    np.testing.assert_allclose(margins.reshape(ndim, -1)[:, 0], margin, rtol=1e-4)


@pytest.mark.parametrize(("name", "ndim"), KINDS)
def test_shifting_by_the_stride_shifts_the_output(name: str, ndim: int) -> None:
    # Why tiles lie on multiples of 8: between two pixels of one such class the network is a convolution.
    torch.manual_seed(0)
    network = build_network(name, ndim, 1).eval()
    wide = torch.zeros(1, 1, *(8,) * (ndim - 1), 2048)
    wide[..., 1000:1040] = torch.randn(40)
    with torch.inference_mode():
        here, there = network(wide), network(wide.roll(8, -1))
    torch.testing.assert_close(here.roll(8, -1)[..., 900:1200], there[..., 900:1200], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "ndim"), KINDS)
def test_low_memory_changes_no_result(name: str, ndim: int) -> None:
    torch.manual_seed(0)
    plain = build_network(name, ndim, 1).train()
    thrifty = copy.deepcopy(plain)
    thrifty.gradient_checkpointing = True
    x = torch.randn(2, 1, *(8, 16, 16)[-ndim:])
    kept = []
    for network in (plain, thrifty):
        n_bytes = []

        def note(tensor: torch.Tensor, n_bytes: list[int] = n_bytes) -> torch.Tensor:
            n_bytes.append(tensor.nbytes)
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            out = network(x)
        kept.append(sum(n_bytes))
        # Dropout must draw the same numbers again, wherever the generator is by then.
        torch.manual_seed(2)
        out.square().mean().backward()
    assert kept[1] < 0.3 * kept[0]
    for mine, other in zip(thrifty.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(thrifty.state_dict()[name], value, msg=name)
