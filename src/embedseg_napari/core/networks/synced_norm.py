"""Batch norm over the crops of all processes of a training, so that a network does not depend on how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from torch import Tensor


class _Sum(torch.autograd.Function):
    """Sum over all processes; so are its gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the sum, the same in each process."""
        from torch.distributed import all_reduce

        total = values.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        """Each process made use of the sum."""
        return _summed(slopes[0])


def _summed(values: Tensor) -> Tensor:
    return cast("Tensor", _Sum.apply(values))  # type: ignore[no-untyped-call]


class SyncedNorm(_BatchNorm):
    """As `torch.nn.SyncBatchNorm`, which works on NVIDIA GPUs only."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Every number of axes will do."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise a batch, shape (B, C, (Z,) Y, X), by what all processes have of it; as many crops each."""
        if not self.training:
            return super().forward(input)
        from torch.distributed import get_world_size

        axes = (0, *range(2, input.ndim))
        view = (1, -1, *[1] * (input.ndim - 2))
        # As every batch norm: the 8 bits of bfloat16 are too few for sums.
        values = input.float()
        n = values.numel() // values.shape[1] * get_world_size()
        mean = _summed(values.sum(axes)) / n
        centred = values - mean.reshape(view)
        variance = _summed(centred.square().sum(axes)) / n
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
                self.running_var.lerp_((variance * n / max(n - 1, 1)).to(self.running_var), self.momentum)
                cast("Tensor", self.num_batches_tracked).add_(1)
        factor = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * factor.reshape(view) + self.bias.reshape(view)).to(input.dtype)


def sync_norms(network: nn.Module, device: torch.device) -> None:
    """Replace the batch norms of a network by such as look at the crops of all processes; their tensors stay."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                synced = SyncedNorm(child.num_features, child.eps, child.momentum or 0.0)
                synced.weight, synced.bias = child.weight, child.bias
                synced.running_mean, synced.running_var = child.running_mean, child.running_var
                synced.num_batches_tracked = child.num_batches_tracked
                synced.train(child.training)
                setattr(module, name, synced)
