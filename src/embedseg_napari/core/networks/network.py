"""What every network for embeddings has, whatever lies inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from embedseg_napari.core.config import MAX_CHANNELS
from embedseg_napari.core.device import supports_precision
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.networks.memory_order import channels_last
from embedseg_napari.core.networks.volume_layers import VolumeConvolution, VolumeTransposedConvolution

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from embedseg_napari.core.config import ModelConfig

CONVOLUTION: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: VolumeConvolution}
TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: VolumeTransposedConvolution}
BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
CHANNEL_DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
STRIDE = 8
"""Every spatial side of an input must be a multiple of this."""


def cut(x: Tensor, box: Iterable[slice]) -> Tensor:
    """A part of feature maps along their last axes (a view)."""
    index: Any = (..., *box)
    part: Tensor = x[index]
    return part


class EmbeddingNetwork(nn.Module):
    """Images to offsets, bandwidths and seediness, before activation.

    Parameters
    ----------
    ndim : {2, 3}
        Spatial dimensions.
    n_channels : int
        Input channels, 1 to 15.

    Attributes
    ----------
    gradient_checkpointing : bool
        Whether training computes activations again in the backward pass instead of storing them; same results.

    Raises
    ------
    SettingsError
        If there are too many channels.
    """

    def __init__(self, ndim: int, n_channels: int = 1) -> None:
        super().__init__()
        if not 1 <= n_channels <= MAX_CHANNELS:
            raise SettingsError(
                f"The network takes 1 to {MAX_CHANNELS} channels, not {n_channels}; choose some of them."
            )
        self.ndim = ndim
        self.gradient_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """Map images to raw outputs.

        Parameters
        ----------
        x : Tensor, shape (B, C, (Z,) Y, X)
            Normalised images, every side a multiple of 8.

        Returns
        -------
        Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X)
            Offsets (z, y, x), bandwidths (z, y, x) and seediness, before activation.
        """
        raise NotImplementedError

    def part(self, x: Tensor, wanted: Sequence[slice]) -> Tensor:
        """A part of what :meth:`forward` gives, with the same numbers.

        Parameters
        ----------
        x : Tensor, shape (B, C, (Z,) Y, X)
            As there.
        wanted : sequence of slice
            Of the output, per spatial axis, with both ends given.
        """
        return cut(self(x), wanted)

    @property
    def embedding_layer(self) -> nn.Module:
        """The last layer for offsets and bandwidths, with weight and bias."""
        raise NotImplementedError

    @property
    def uses_checkpointing(self) -> bool:
        """Whether this forward pass is one whose activations are not stored."""
        return self.gradient_checkpointing and self.training and torch.is_grad_enabled()

    @torch.no_grad()
    def initialize_embedding(self) -> None:
        """Let every pixel point to itself, with one margin everywhere: the state before training."""
        weight, bias = self._embedding_weights()
        weight.zero_()
        bias[: self.ndim] = 0.0
        bias[self.ndim :] = 1.0

    @torch.no_grad()
    def set_initial_margin(self, margin: Sequence[float], spacing: Sequence[float]) -> None:
        """Let an untrained network start at given margins.

        Parameters
        ----------
        margin : sequence of float
            Semi-axes in pixels (z, y, x).
        spacing : sequence of float
            Grid units per pixel (z, y, x).
        """
        _, bias = self._embedding_weights()
        for axis, (pixels, step) in enumerate(zip(margin, spacing, strict=True)):
            # Inverts margin = sqrt(ln 2 / exp(10 s)) / spacing.
            bias[self.ndim + axis] = math.log(math.log(2.0) / (max(pixels, 0.5) * step) ** 2) / 10.0

    def scale_dropout(self, factor: float) -> None:
        """Multiply the probability of each layer's dropout by a factor."""
        for module in self.modules():
            if isinstance(module, _DropoutNd):
                module.p *= factor

    def _embedding_weights(self) -> tuple[Tensor, Tensor]:
        layer = self.embedding_layer
        return cast("Tensor", layer.weight), cast("Tensor", layer.bias)


def device_of(network: nn.Module) -> torch.device:
    """Where a network is."""
    device: torch.device = next(network.parameters()).device
    return device


@torch.inference_mode()
def raw_output(
    network: nn.Module, images: Tensor, precision: str = "float32", wanted: Sequence[slice] | None = None
) -> Tensor:
    """Run a network in a number format, without gradients.

    Parameters
    ----------
    network : nn.Module
        On the device it is used on.
    images : Tensor, shape (B, C, (Z,) Y, X)
        Normalised images, sides multiples of 8.
    precision : {"float32", "bfloat16", "float16"}
        Number format; float32 where the device lacks it.
    wanted : sequence of slice, optional
        Part of the output per spatial axis, with both ends given; an `EmbeddingNetwork` only.

    Returns
    -------
    Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X), float32
        Offsets (z, y, x), bandwidths (z, y, x), seediness, before activation.
    """
    device = device_of(network)
    reduced = precision != "float32" and supports_precision(device, precision)
    images = channels_last(images.to(device))
    with torch.autocast(device.type, getattr(torch, precision) if reduced else None, enabled=reduced):
        output: Tensor = network(images) if wanted is None else cast("EmbeddingNetwork", network).part(images, wanted)
        return output.float()


class Trained(Protocol):
    """A network, and what says how its output is read: all that segmenting needs of a model."""

    @property
    def network(self) -> EmbeddingNetwork:
        """Weights, on the device they are used on."""

    @property
    def config(self) -> ModelConfig:
        """Axes, channels, grid, normalisation and thresholds."""
