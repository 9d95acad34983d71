"""From raw network output to offsets, margins and seed map in pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

MAX_EXPONENT = 60.0
"""Bound on 10 s, as in the loss: margins stay finite and above zero."""


def decode(raw: Tensor, spacing: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Decode raw output; always in float32.

    A pixel belongs to an instance where exp(-sum (e - C)^2 exp(10 s)) > 0.5 in grid units, which is
    sum ((e - C) / margin)^2 < 1 with margin = sqrt(ln 2 / exp(10 s)).

    Parameters
    ----------
    raw : Tensor, shape (2 * ndim + 1, (Z,) Y, X) or (B, 2 * ndim + 1, (Z,) Y, X)
        Network output, axes (z, y, x).
    spacing : sequence of float
        Grid units per pixel (z, y, x); its length is ndim.

    Returns
    -------
    offsets, margins : Tensor
        In pixels, ndim channels each.
    seed_map : Tensor
        0 to 1, no channel axis.
    """
    return decode_by(raw, torch.tensor(list(spacing), dtype=torch.float32, device=raw.device), len(spacing))


def decode_by(raw: Tensor, spacing: Tensor, ndim: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `decode`, with the spacing as a tensor of its own, for networks that are recorded."""
    channel = raw.ndim - ndim - 1
    offsets, sigmas, seed = torch.split(raw.float(), [ndim, ndim, 1], dim=channel)
    step = spacing.reshape(-1, *[1] * ndim)
    # In place, for each of these is as large as the image.
    margins = (10.0 * sigmas).clamp_(-MAX_EXPONENT, MAX_EXPONENT).mul_(-0.5).exp_().mul_(math.sqrt(math.log(2.0)))
    return torch.tanh(offsets).div_(step), margins.div_(step), torch.sigmoid(seed.squeeze(channel))
