"""Convolutions of volumes that a CPU computes as convolutions of planes: the same sums, with the same weights.

In bfloat16 the gradients of PyTorch's own 3D convolutions cannot be used on a CPU: with PyTorch 2.13 they read memory
that nobody wrote. Those of images are right, and nearly as quick. With the channels last in memory, the planes of a
volume are a batch of images, and its columns the rows of one image, without a copy. On a GPU, and in
a traced network that may go anywhere, everything stays as it is.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedseg_napari.core.networks.memory_order import channels_last


class VolumeConvolution(nn.Conv3d):
    """`nn.Conv3d` for kernels in a plane or along Z, and for kernels of three voxels each way with a stride of two."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(B, n_in, Z, Y, X) to (B, n_out, ...)."""
        if _stays_whole(x):
            return cast("Tensor", super()._conv_forward(x, weight, bias))
        if self.stride[0] == 2:
            return self._halving(x, weight, bias)
        padding, dilation = cast("tuple[int, int, int]", self.padding), self.dilation
        if self.kernel_size[0] == 1:
            out = F.conv2d(_planes(x), weight[:, :, 0], bias, 1, padding[1:], dilation[1:])
            return _volume(out, len(x))
        # Along Z: an image whose rows are whole planes.
        out = F.conv2d(x.flatten(3), weight[:, :, :, 0], bias, 1, (padding[0], 0), (dilation[0], 1))
        return out.reshape(*out.shape[:3], *x.shape[3:])

    @staticmethod
    def _halving(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = F.pad(x, (0, 0, 0, 0, 1, 0))
        # The three planes below a plane of the result, as channels.
        below = torch.cat([padded[:, :, k : k + x.shape[2] : 2] for k in range(3)], 1)
        weight = weight.movedim(2, 1).flatten(1, 2)
        return _volume(F.conv2d(_planes(below), weight, bias, 2, 1), len(x))


class VolumeTransposedConvolution(nn.ConvTranspose3d):
    """`nn.ConvTranspose3d` for kernels of two or three voxels each way that double every side."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, n_in, Z, Y, X) to (B, n_out, 2 Z, 2 Y, 2 X)."""
        if _stays_whole(x):
            return super().forward(x, output_size)
        weight = self.weight
        if self.kernel_size[0] == 2:
            # Both planes that a plane becomes, as channels.
            bias = None if self.bias is None else self.bias.repeat(2)
            both = F.conv_transpose2d(_planes(x), weight.movedim(2, 1).flatten(1, 2), bias, 2)
            return torch.stack([_volume(half, len(x)) for half in both.chunk(2, 1)], 3).flatten(2, 3)
        following = F.pad(x[:, :, 1:], (0, 0, 0, 0, 0, 1))
        # A plane of the result lies on one of the input, or between two.
        on = F.conv_transpose2d(_planes(x), weight[:, :, 1], self.bias, 2, 1, 1)
        between = F.conv_transpose2d(
            _planes(torch.cat([x, following], 1)), torch.cat([weight[:, :, 2], weight[:, :, 0]]), self.bias, 2, 1, 1
        )
        return torch.stack([_volume(on, len(x)), _volume(between, len(x))], 3).flatten(2, 3)


def is_recorded() -> bool:
    """Whether the network is being traced: what depends on device or size must not be in what it records."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _stays_whole(x: Tensor) -> bool:
    return x.device.type != "cpu" or is_recorded()


def _planes(x: Tensor) -> Tensor:
    """(B, C, Z, Y, X) as (B * Z, C, Y, X)."""
    return channels_last(x.movedim(2, 1).flatten(0, 1))


def _volume(x: Tensor, n: int) -> Tensor:
    """(n * Z, C, Y, X) as (n, C, Z, Y, X)."""
    return x.view(n, -1, *x.shape[1:]).movedim(1, 2)
