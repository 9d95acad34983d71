"""Branched ERFNet (Romera et al. 2018; Neven et al. 2019; Lalit et al. 2021), one class for images and volumes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from embedseg_napari.core.networks.bands import can_band, in_bands
from embedseg_napari.core.networks.gradient_checkpointing import run_layer
from embedseg_napari.core.networks.network import (
    BATCH_NORM,
    CHANNEL_DROPOUT,
    CONVOLUTION,
    MAX_POOL,
    TRANSPOSED,
    EmbeddingNetwork,
)

BATCH_NORM_EPS = 1e-3
FIRST_CHANNELS = 16
"""Feature maps of the first layer: the input's channels, pooled, and convolutions for the rest."""


class Downsample(nn.Module):
    """Halve every side: strided convolution beside max-pooling, batch norm, ReLU."""

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = CONVOLUTION[ndim](n_in, n_out - n_in, 3, stride=2, padding=1)
        self.pool = MAX_POOL[ndim](2)
        self.bn = BATCH_NORM[ndim](n_out, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, ...) to (B, n_out, ... / 2)."""
        n_out = len(self.bn.weight)
        # One row beside it counts, and two make an even start.
        (out,) = in_bands(self._of_part, x, reach=2, n_maps=n_out, allowed=can_band(self, x))
        return out

    def _of_part(self, x: Tensor) -> tuple[Tensor]:
        return (torch.relu_(self.bn(torch.cat([self.conv(x), self.pool(x)], 1))),)


class Upsample(nn.Module):
    """Double every side: transposed convolution, batch norm, ReLU."""

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = TRANSPOSED[ndim](n_in, n_out, 3, stride=2, padding=1, output_padding=1)
        self.bn = BATCH_NORM[ndim](n_out, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, ...) to (B, n_out, ... * 2)."""
        n_maps = len(self.bn.weight) * 2 ** (x.ndim - 2)
        (out,) = in_bands(self._of_part, x, reach=1, n_maps=n_maps, allowed=can_band(self, x))
        return out

    def _of_part(self, x: Tensor) -> tuple[Tensor]:
        return (torch.relu_(self.bn(self.conv(x))),)


class Residual(nn.Module):
    """Two groups of one-dimensional convolutions, one per axis, the second dilated; added to the input."""

    def __init__(self, ndim: int, n_channels: int, dropout: float, dilation: int) -> None:
        super().__init__()
        self.groups: list[list[str]] = []
        self.dilation = dilation
        for group, spread in ((1, 1), (2, dilation)):
            names = []
            for axis in range(ndim):
                kernel = [3 if a == axis else 1 for a in range(ndim)]
                padding = [spread if a == axis else 0 for a in range(ndim)]
                dilations = [spread if a == axis else 1 for a in range(ndim)]
                # The names that files of the original program use, for example conv3x1_1.
                name = f"conv{'x'.join(map(str, kernel))}_{group}"
                layer = CONVOLUTION[ndim](n_channels, n_channels, kernel, padding=padding, dilation=dilations)
                self.add_module(name, layer)
                names.append(name)
            self.add_module(f"bn{group}", BATCH_NORM[ndim](n_channels, eps=BATCH_NORM_EPS))
            self.groups.append([*names, f"bn{group}"])
        self.dropout = CHANNEL_DROPOUT[ndim](dropout) if dropout > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        n_maps, allowed = x.shape[1], can_band(self, x)
        (out,) = in_bands(self._first, x, reach=1, n_maps=n_maps, allowed=allowed)
        (out,) = in_bands(self._second, out, x, reach=self.dilation, n_maps=n_maps, allowed=allowed)
        return out

    def _first(self, x: Tensor) -> tuple[Tensor]:
        return (torch.relu_(self._group(x, self.groups[0])),)

    def _second(self, out: Tensor, x: Tensor) -> tuple[Tensor]:
        # Not in place: in reduced precision the sum keeps the digits that `x` has from the image.
        return (torch.relu_(self.dropout(self._group(out, self.groups[1])) + x),)

    def _group(self, x: Tensor, names: list[str]) -> Tensor:
        first, *others, norm = map(self.get_submodule, names)
        x = first(x)
        for convolution in others:
            x = convolution(torch.relu_(x))
        return cast("Tensor", norm(x))


class Encoder(nn.Module):
    """Image to 128 feature maps at an eighth of the size."""

    def __init__(self, ndim: int, n_channels: int, n_outputs: int) -> None:
        super().__init__()
        self.initial_block = Downsample(ndim, n_channels, FIRST_CHANNELS)
        layers: list[nn.Module] = [Downsample(ndim, FIRST_CHANNELS, 64)]
        layers += [Residual(ndim, 64, 0.03, 1) for _ in range(5)]
        layers.append(Downsample(ndim, 64, 128))
        layers += [Residual(ndim, 128, 0.3, dilation) for _ in range(2) for dilation in (2, 4, 8, 16)]
        self.layers = nn.ModuleList(layers)
        # Never used; kept because files of the original program hold it.
        self.output_conv = CONVOLUTION[ndim](128, n_outputs, 1)
        self.output_conv.requires_grad_(False)

    def forward(self, x: Tensor, checkpointing: bool = False) -> Tensor:
        """(B, C, ...) to (B, 128, ... / 8)."""
        for layer in (self.initial_block, *self.layers):
            x = run_layer(layer, x, checkpointing)
        return x


class Decoder(nn.Module):
    """Feature maps to outputs at full size."""

    def __init__(self, ndim: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Upsample(ndim, 128, 64),
                Residual(ndim, 64, 0.0, 1),
                Residual(ndim, 64, 0.0, 1),
                Upsample(ndim, 64, 16),
                Residual(ndim, 16, 0.0, 1),
                Residual(ndim, 16, 0.0, 1),
            ]
        )
        self.output_conv = TRANSPOSED[ndim](16, n_outputs, 2, stride=2)

    def forward(self, x: Tensor, checkpointing: bool = False) -> Tensor:
        """(B, 128, ... / 8) to (B, 16, ... / 2), of which `outputs` makes the outputs."""
        for layer in self.layers:
            x = run_layer(layer, x, checkpointing)
        return x

    def outputs(self, x: Tensor) -> Tensor:
        """(B, 16, ... / 2) to (B, n_outputs, ...)."""
        # In reduced precision thousands of pixels would tie in seediness, and margins come in steps of 2 %.
        with torch.autocast(x.device.type, enabled=False):
            return cast("Tensor", self.output_conv(x.float()))


class BranchedERFNet(EmbeddingNetwork):
    """The network of the paper: one encoder, one decoder for offsets and bandwidths, one for the seediness.

    Parameters as of :class:`EmbeddingNetwork`.
    """

    def __init__(self, ndim: int, n_channels: int = 1) -> None:
        super().__init__(ndim, n_channels)
        self.encoder = Encoder(ndim, n_channels, 2 * ndim + 1)
        self.decoders = nn.ModuleList([Decoder(ndim, 2 * ndim), Decoder(ndim, 1)])
        self.initialize_embedding()

    @property
    def embedding_layer(self) -> nn.Module:
        """The last layer of the first decoder."""
        return cast("Decoder", self.decoders[0]).output_conv

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, (Z,) Y, X) to (B, 2 * ndim + 1, (Z,) Y, X), see :class:`EmbeddingNetwork`."""
        features = self.encoder(x, self.uses_checkpointing)
        halves = [decoder(features, self.uses_checkpointing) for decoder in self.decoders]
        n_maps = (2 * self.ndim + 1) * 2**self.ndim
        (out,) = in_bands(self._outputs, *halves, reach=0, n_maps=n_maps, allowed=can_band(self, x))
        return out

    def _outputs(self, *halves: Tensor) -> tuple[Tensor]:
        parts = [cast("Decoder", decoder).outputs(half) for decoder, half in zip(self.decoders, halves, strict=True)]
        return (torch.cat(parts, 1),)
