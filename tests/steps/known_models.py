"""Models whose output is known: one hands its input on as raw output, one is equivariant by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from embedseg_napari.core.config import ModelConfig, NormalizationConfig
from embedseg_napari.core.model.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 1 / 1023


class PassThrough(nn.Module):
    """Raw output = input: an image of 2 * ndim + 1 channels says itself what the maps are."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x.clone()


class Equivariant(nn.Module):
    """Offsets from central differences, bandwidths from second differences, seediness from the image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        one = x[:, 0]
        first, second = [], []
        for axis in range(1, one.ndim):
            n = one.shape[axis]
            zero = torch.zeros_like(one.narrow(axis, 0, 1))
            left = torch.cat([zero, one.narrow(axis, 0, n - 1)], axis)
            right = torch.cat([one.narrow(axis, 1, n - 1), zero], axis)
            first.append(right - left)
            second.append(right + left - 2 * one)
        return torch.stack([*first, *second, one], 1)


def _model(ndim: int, n_channels: int, network: nn.Module, **config: object) -> Model:
    # Floating-point images stay as they are under this normalisation.
    normalization = NormalizationConfig(method="dtype-range")
    values = {"ndim": ndim, "n_channels": n_channels, "grid_spacing": (STEP,) * ndim, "normalization": normalization}
    # Every network says it; of a small image it keeps the choice of an engine from making another network ready.
    network.ndim = ndim
    return Model(ModelConfig(**{**values, **config}), network)


@pytest.fixture
def pass_through() -> Callable[..., Model]:
    """Return a model whose raw output is its input: ``pass_through(ndim)``."""
    return lambda ndim, **config: _model(ndim, 2 * ndim + 1, PassThrough(), **config)


@pytest.fixture
def equivariant() -> Callable[..., Model]:
    """Return a model that commutes with flips and turns: ``equivariant(ndim)``."""
    return lambda ndim, **config: _model(ndim, 1, Equivariant(), **config)


@pytest.fixture
def perfect_raw() -> Callable[[np.ndarray], np.ndarray]:
    """Return the raw output, (2 * ndim + 1, (Z,) Y, X), that says exactly what a label image says."""

    def make(labels: np.ndarray) -> np.ndarray:
        ndim = labels.ndim
        offsets = np.zeros((ndim, *labels.shape), np.float32)
        for label in np.unique(labels[labels > 0]):
            members = np.argwhere(labels == label)
            center = np.round(members.mean(0))
            for axis in range(ndim):
                offsets[axis][labels == label] = center[axis] - members[:, axis]
        sigmas = np.full_like(offsets, np.log(np.log(2) / (1.5 * STEP) ** 2) / 10)
        seed = np.where(labels > 0, 6, -6).astype(np.float32)
        return np.concatenate([np.arctanh(offsets * STEP), sigmas, seed[None]])

    return make
