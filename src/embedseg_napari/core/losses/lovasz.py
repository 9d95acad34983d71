"""The Lovasz hinge of many instances at once (Berman, Rannen Triki, Blaschko, CVPR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


def lovasz_weights(errors: Tensor, is_member: Tensor, segment: Tensor, member_counts: Tensor) -> Tensor:
    """Return the Lovasz extension's weight of every error, each instance by itself.

    The Lovasz hinge of an instance is the sum of its errors, each times the growth of the Jaccard loss when the pixels
    are taken in order of falling error. Pixels of an instance that are not listed must have errors below those of all
    its listed members: they would get weight zero.

    Parameters
    ----------
    errors : Tensor, shape (n,), float32
        Hinge errors, not negative.
    is_member : Tensor, shape (n,), bool
        Whether the pixel belongs to the instance.
    segment : Tensor, shape (n,), int64
        Index of the instance, 0..k-1.
    member_counts : Tensor, shape (k,), int64
        Members of each instance.

    Returns
    -------
    Tensor, shape (n,), float32
        Weights in the order of the input; they sum to 1 over an instance with members.
    """
    # By segment, then by falling error: the bits of non-negative floats sort like the floats, so one integer key sorts
    # all instances at once.
    bits = errors.contiguous().view(torch.int32).to(torch.int64)
    order = argsort((segment << 32) | (0x7FFFFFFF - bits))
    in_order = is_member[order]
    lengths = torch.bincount(segment, minlength=len(member_counts))
    first = torch.cumsum(lengths, 0) - lengths
    members_until = torch.cumsum(member_counts, 0)

    members_seen = torch.cumsum(in_order, 0)
    others_seen = torch.arange(1, len(order) + 1, device=order.device) - members_seen
    # Of the instance alone: its members not yet seen, and the union of its members with the others seen.
    left = (torch.repeat_interleave(members_until, lengths) - members_seen).float()
    union = (others_seen + torch.repeat_interleave(members_until - first, lengths)).float()
    # Growth of 1 - left / union by one pixel, in closed form: no difference of nearly equal numbers.
    growth = torch.where(in_order, 1.0 / union, left / (union * (union - 1.0).clamp(min=1.0)))
    weights = torch.empty_like(errors)
    weights[order] = growth
    return weights


def argsort(key: Tensor) -> Tensor:
    """Return the order that sorts integer keys; ties in any order."""
    # NumPy's vectorised sort is several times faster than torch's on the CPU.
    return torch.from_numpy(np.argsort(key.numpy())) if key.device.type == "cpu" else torch.argsort(key)
