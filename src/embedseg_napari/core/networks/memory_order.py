"""In which order the values of feature maps lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def memory_format(ndim: int) -> torch.memory_format:
    """The order of values in memory that convolutions are quickest with: twice as fast as the default on a CPU."""
    return torch.channels_last if ndim == 2 else torch.channels_last_3d


def channels_last(images: Tensor) -> Tensor:
    """Images (B, C, (Z,) Y, X) in that order."""
    images = images.contiguous(memory_format=memory_format(images.ndim - 2))
    # One channel lies in memory alike in both orders. Where the strides do not say which is meant, a convolution of one
    # pixel answers in the other one, and adding its maps to those of its neighbours takes ten times as long.
    return images[:, 0].unsqueeze(-1).movedim(-1, 1) if images.shape[1] == 1 else images
