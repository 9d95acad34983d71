"""Layers that look only a few pixels far, computed one band of a large image after the other: the same numbers.

Feature maps of a whole tile fill 50 MB and more each. The operating system hands out so much memory page by page,
filled with zeros, and takes it back after each layer, which costs a third of the time; and every layer fetches from
memory what the one before could have left in the processor's cache. Those of a band are small enough for both.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from embedseg_napari.core.networks.volume_layers import is_recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

BAND_VALUES = 128 * 1280 * 16
"""Values of a feature map of a band. In 2D a quarter or the double of it is as quick to a twentieth."""
OVERLAP_SHARE = 8
"""Bands are at least this many times as high as what they share with both neighbours, for that is computed twice."""


def in_bands(
    layer: Callable[..., tuple[Tensor, ...]],
    *inputs: Tensor,
    reach: int,
    n_maps: int,
    allowed: bool,
    kept: slice = slice(None),
) -> tuple[Tensor, ...]:
    """Apply a layer, in bands where that saves time.

    Parameters
    ----------
    layer : callable
        Maps tensors such as the inputs to tensors of the same image, each finer or coarser by a whole factor.
    *inputs : Tensor, shape (B, C, (Z,) Y, X)
        Of one image, the first the coarsest. Its number of rows (planes in a volume) is even.
    reach : int
        Rows of the first input up to which an output depends on what lies beside it; even where outputs are coarser.
    n_maps : int
        Feature maps that the layer holds per pixel of the first input.
    allowed : bool
        False applies it to the whole, as `can_band` says.
    kept : slice
        Rows that are wanted of the first output, which has as many as the first input; even.

    Returns
    -------
    tuple of Tensor
        The outputs.
    """
    if not allowed:
        return _whole(layer, inputs, kept)
    first = inputs[0]
    n, per_row = first.shape[2], first[0, 0, 0].numel() * len(first) * n_maps
    height = max(2, 2 * OVERLAP_SHARE * reach, BAND_VALUES // per_row // 2 * 2)
    # A low band at the end would be computed for what it shares.
    n_bands = max(1, n // height)
    if n_bands == 1:
        return _whole(layer, inputs, kept)
    ends = [n * band // n_bands // 2 * 2 for band in range(n_bands)] + [n]
    outputs: list[Tensor] = []
    for begin, end in itertools.pairwise(ends):
        low, high = max(begin - reach, 0), min(end + reach, n)
        parts = layer(*(_rows(one, n, low, high) for one in inputs))
        ranges = [kept.indices(n)[:2], *[(0, n)] * (len(parts) - 1)]
        if not outputs:
            outputs = [_room(part, b - a, high - low) for part, (a, b) in zip(parts, ranges, strict=True)]
        for output, part, (a, b) in zip(outputs, parts, ranges, strict=True):
            top, bottom = max(begin, a), min(end, b)
            if top < bottom:
                _rows(output, b - a, top - a, bottom - a).copy_(_rows(part, high - low, top - low, bottom - low))
    return tuple(outputs)


def _whole(layer: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], kept: slice) -> tuple[Tensor, ...]:
    first, *others = layer(*inputs)
    return (first[:, :, kept], *others)


def can_band(network: nn.Module, x: Tensor) -> bool:
    """Whether a network may work in bands: on a CPU, with nothing to learn from, and not while it is being traced."""
    learns = network.training or torch.is_grad_enabled()
    return x.device.type == "cpu" and not learns and not is_recorded()


def _rows(x: Tensor, n: int, begin: int, end: int) -> Tensor:
    """Rows of a tensor, counted as if there were `n`."""
    return x[:, :, begin * x.shape[2] // n : end * x.shape[2] // n]


def _room(part: Tensor, n: int, n_part: int) -> Tensor:
    """Memory for all bands, in the order of the part's."""
    shape = (*part.shape[:2], part.shape[2] * n // n_part, *part.shape[3:])
    order = torch.channels_last if part.ndim == 4 else torch.channels_last_3d
    return torch.empty(shape, dtype=part.dtype, memory_format=order)
