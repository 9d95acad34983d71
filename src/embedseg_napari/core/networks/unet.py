"""A small U-Net (Ronneberger et al. 2015) of residual units (He et al. 2016), one class for images and volumes.

Unlike the paper's network it works at full resolution at both ends, so that outlines are sharper, and its decoder is
shared by all outputs. `docs/choices.md` says what it gains and what else was tried.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from embedseg_napari.core.networks.bands import can_band, in_bands
from embedseg_napari.core.networks.gradient_checkpointing import run_layer
from embedseg_napari.core.networks.memory_order import memory_format
from embedseg_napari.core.networks.network import (
    BATCH_NORM,
    CHANNEL_DROPOUT,
    CONVOLUTION,
    MAX_POOL,
    STRIDE,
    TRANSPOSED,
    EmbeddingNetwork,
    cut,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTHS = (16, 32, 64, 128)
"""Feature maps at full size, a half, a quarter and an eighth of it."""
DILATIONS = (2, 4, 8)
"""Of the units at an eighth of the size: with them a pixel's outputs depend on what lies up to 180 pixels away."""
UP_REACH = 16
"""Pixels up to which an output depends, by the units and heads of the way up alone, on what lies beside it."""
DROPOUT = 0.2
"""Of whole feature maps, in the units at a quarter and an eighth of the size on the way down."""


class Convolution(nn.Sequential):
    """Three pixels each way, in a volume first in the plane and then, unless it is `flat`, along Z; batch norm."""

    def __init__(self, ndim: int, n_in: int, n_out: int, dilation: int = 1, flat: bool = False) -> None:
        kernels = [(3, 3)] if ndim == 2 else [(1, 3, 3), (3, 1, 1)][: 1 if flat else 2]
        layers: list[nn.Module] = []
        for kernel in kernels:
            padding = [dilation * (side // 2) for side in kernel]
            dilations = [dilation if side > 1 else 1 for side in kernel]
            layers.append(CONVOLUTION[ndim](n_in, n_out, kernel, padding=padding, dilation=dilations, bias=False))
            n_in = n_out
        super().__init__(*layers, BATCH_NORM[ndim](n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, ...) to (B, n_out, ...)."""
        if self.training:
            for layer in self:
                x = layer(x)
            return x
        # Norms whose statistics stand still are a part of the weights: one way less through memory, up to a quarter
        # of the time.
        layers: list[Any] = list(self)
        *before, last, norm = layers
        for layer in before:
            x = layer(x)
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = last.weight * factor.reshape(-1, *[1] * (last.weight.ndim - 1))
        return cast("Tensor", last._conv_forward(x, weight, norm.bias - norm.running_mean * factor))


class Unit(nn.Module):
    """Two convolutions, the second dilated, added to the input."""

    def __init__(
        self, ndim: int, n_in: int, n_out: int, dilation: int = 1, dropout: float = 0.0, flat: bool = False
    ) -> None:
        super().__init__()
        self.first = Convolution(ndim, n_in, n_out, flat=flat)
        self.second = Convolution(ndim, n_out, n_out, dilation, flat)
        self.shortcut = CONVOLUTION[ndim](n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.dropout = CHANNEL_DROPOUT[ndim](dropout) if dropout > 0 else nn.Identity()
        self.reach = 0 if flat and ndim == 3 else 1 + dilation
        """Rows (planes in a volume) up to which an output depends on what lies beside it."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, ...) to (B, n_out, ...)."""
        out = self.dropout(self.second(torch.relu_(self.first(x))))
        return torch.relu_(out.add_(self.shortcut(x)))


class Head(nn.Module):
    """One more convolution, and the outputs."""

    def __init__(self, ndim: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.convolution = Convolution(ndim, n_in, n_in, flat=True)
        self.output = CONVOLUTION[ndim](n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, ...) to (B, n_out, ...)."""
        x = torch.relu_(self.convolution(x))
        # In reduced precision thousands of pixels would tie in seediness, and margins come in steps of 2 %.
        with torch.autocast(x.device.type, enabled=False):
            return cast("Tensor", self.output(x.float()))


class UNet(EmbeddingNetwork):
    """A U-Net with residual units, skip connections that are added, and two heads.

    In volumes the units at full size look along the plane only: there they would cost most, and planes lie further
    apart than pixels.

    Parameters as of :class:`EmbeddingNetwork`.
    """

    def __init__(self, ndim: int, n_channels: int = 1) -> None:
        super().__init__(ndim, n_channels)
        widths = (n_channels, *WIDTHS)
        deep = len(WIDTHS) - 2
        self.down = nn.ModuleList(
            Unit(ndim, n_in, n_out, dropout=DROPOUT if level >= deep else 0.0, flat=level == 0)
            for level, (n_in, n_out) in enumerate(itertools.pairwise(widths))
        )
        self.bottom = nn.ModuleList(Unit(ndim, WIDTHS[-1], WIDTHS[-1], dilation, DROPOUT) for dilation in DILATIONS)
        upwards = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(TRANSPOSED[ndim](n_in, n_out, 2, stride=2) for n_in, n_out in upwards)
        self.up = nn.ModuleList(Unit(ndim, n_out, n_out, flat=n_out == WIDTHS[0]) for _, n_out in upwards)
        self.heads = nn.ModuleList(Head(ndim, WIDTHS[0], n_out) for n_out in (2 * ndim, 1))
        self.pool = MAX_POOL[ndim](2)
        self.initialize_embedding()

    @property
    def embedding_layer(self) -> nn.Module:
        """The last layer of the first head."""
        return cast("Head", self.heads[0]).output

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, (Z,) Y, X) to (B, 2 * ndim + 1, (Z,) Y, X), see :class:`EmbeddingNetwork`."""
        return self._run(x, None)

    def part(self, x: Tensor, wanted: Sequence[slice]) -> Tensor:
        """A part of that; the way up, half of the work, goes no further than it needs."""
        seen = [
            slice(max(0, one.start - UP_REACH) // STRIDE * STRIDE, min(n, -(-(one.stop + UP_REACH) // STRIDE) * STRIDE))
            for one, n in zip(wanted, x.shape[2:], strict=True)
        ]
        inside = (slice(one.start - s.start, one.stop - s.start) for one, s in zip(wanted, seen, strict=True))
        return cut(self._run(x, seen), inside)

    def _run(self, x: Tensor, seen: Sequence[slice] | None) -> Tensor:
        """Outputs of the part that is seen on the way up, multiples of 8."""
        allowed = can_band(self, x)
        *shrinking, deepest = cast("Iterable[Unit]", self.down)
        skipped: list[Tensor] = []
        for level, (unit, width) in enumerate(zip(shrinking, WIDTHS, strict=False)):
            rows, *beside = _coarser(seen, 2**level, self.ndim)
            shrink = partial(self._shrink, unit, beside)
            out, x = in_bands(shrink, x, reach=unit.reach, n_maps=width, allowed=allowed, kept=rows)
            skipped.append(out)
            # Skipped ones go as soon as they are used.
            del out
        for layer in (deepest, *self.bottom):
            x = run_layer(layer, x, self.uses_checkpointing)
        if seen is not None:
            x = cut(x, _coarser(seen, STRIDE, self.ndim)).contiguous(memory_format=memory_format(self.ndim))
        for level, (unit, width) in enumerate(zip(cast("Iterable[Unit]", self.up), WIDTHS[-2::-1], strict=True)):
            # Rows of what is enlarged: two of them are four of the result, and unit and head together look three far.
            reach, n_maps = unit.reach, width * 2**self.ndim
            grow = partial(self._grow, level)
            (x,) = in_bands(grow, x, skipped.pop(), reach=reach, n_maps=n_maps, allowed=allowed)
        return x

    def _shrink(self, unit: nn.Module, beside: Sequence[slice], x: Tensor) -> tuple[Tensor, Tensor]:
        """What the way up sees again, cut along all axes but the first, and the whole at half the size."""
        out = run_layer(unit, x, self.uses_checkpointing)
        return cut(out, (slice(None), *beside)), self.pool(out)

    def _grow(self, level: int, x: Tensor, skipped: Tensor) -> tuple[Tensor]:
        """Double the size; at the last level to the outputs."""
        checkpointing = self.uses_checkpointing
        out = run_layer(self.up[level], self.enlarge[level](x).add_(skipped), checkpointing)
        if level == len(self.up) - 1:
            out = torch.cat([run_layer(head, out, checkpointing) for head in self.heads], 1)
        return (out,)


def _coarser(seen: Sequence[slice] | None, coarseness: int, ndim: int) -> list[slice]:
    """The part that is seen in pixels of so much smaller feature maps."""
    if seen is None:
        return [slice(None)] * ndim
    return [slice(one.start // coarseness, one.stop // coarseness) for one in seen]
