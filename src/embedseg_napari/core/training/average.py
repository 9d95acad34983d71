"""Running average of a network's weights: steadier than the last step's, at no cost in data."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of all weights and batch-norm statistics.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.
    decay : float
        Share of the old average kept at each step; 0 means the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False) if decay > 0 else network
        old, new = self.network.state_dict(), network.state_dict()
        is_averaged = {name: value.dtype.is_floating_point for name, value in old.items()}
        # Both networks change their tensors in place.
        self._averaged = [(old[name], new[name]) for name, yes in is_averaged.items() if yes]
        self._copied = [(old[name], new[name]) for name, yes in is_averaged.items() if not yes]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the network after step `step` (1 for the first)."""
        if self.decay <= 0:
            return
        # Early on the average follows closely, or it would remember the random start for hundreds of steps.
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        old, new = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(old, new, weight)
        for mine, its in self._copied:
            mine.copy_(its)
