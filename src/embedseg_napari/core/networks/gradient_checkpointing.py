"""Gradient checkpointing: the activations inside a layer are not stored but computed again in the backward pass."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, cast

from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


def run_layer(layer: nn.Module, x: Tensor, checkpointing: bool) -> Tensor:
    """Run a layer, with checkpointing so that it stores only its input; run again, it gives the same."""
    if not checkpointing:
        return cast("Tensor", layer(x))
    return cast(
        "Tensor",
        checkpoint(layer, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _batch_norm_frozen(layer))),
    )


@contextmanager
def _batch_norm_frozen(layer: nn.Module) -> Iterator[None]:
    """The running statistics of batch norm have seen this batch already."""
    norms = [module for module in layer.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, cast("Tensor", norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, n) in zip(norms, before, strict=True):
            norm.momentum = momentum
            cast("Tensor", norm.num_batches_tracked).copy_(n)
