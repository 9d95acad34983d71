"""Batch norm over several processes is that of one process on all crops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from embedseg_napari.core.networks.synced_norm import sync_norms

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def alone() -> Iterator[None]:
    """A training of one process, which waits for itself."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available():
        pytest.skip("this PyTorch knows one process only")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_it_is_the_batch_norm_of_one_process_in_every_number_format(kind: torch.dtype) -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.BatchNorm2d(3)).train()

    one, synced = network(), network()
    sync_norms(synced, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    images = (5 + torch.randn(4, 3, 16, 16, generator=generator)).to(kind)
    slopes = torch.randn(4, 3, 16, 16, generator=generator).to(kind)
    found = []
    for norm in (synced, one):
        given = images.clone().requires_grad_()
        normalised = norm(given)
        normalised.backward(slopes)
        found.append([normalised.detach(), given.grad, *norm.state_dict().values()])
    assert_close(*found)
