"""The instances of a batch, numbered through, and the pixels that belong to each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Members:
    """Every (instance, pixel) pair of a batch, instances numbered through."""

    instance: Tensor
    """(m,) index of the instance."""
    pixel: Tensor
    """(m,) flat index into the batch's pixels."""
    counts: Tensor
    """(k,) pixels of each instance."""
    crop: Tensor
    """(k,) index of the instance's crop."""
    center: list[Tensor]
    """Per axis (k,) centres in grid units."""
    key: Tensor
    """(k,) the instance's value in `owner` (label images), or its row there (planes)."""
    owner: Tensor
    """Label images: (pixels,) key of each pixel's instance, -1 for background. Planes: (planes, pixels of a crop)."""
    background: Tensor
    """(pixels,) bool, pixels of no instance that count."""
    valid: Tensor | None
    """(pixels,) bool, pixels that count; None if all do."""

    def contains(self, instance: Tensor, pixel: Tensor) -> Tensor:
        """Whether each pixel belongs to the instance beside it."""
        if self.owner.ndim == 1:
            return self.owner.index_select(0, pixel) == self.key.index_select(0, instance)
        return self.owner[self.key[instance], pixel % self.owner.shape[1]]


def collect_members(
    instances: Tensor, centers: Sequence[np.ndarray | Tensor], step: list[float], valid: Tensor | None
) -> Members:
    """Number the instances of a batch through; those of which no pixel counts are left out.

    Parameters
    ----------
    instances : Tensor, shape (B, (Z,) Y, X) or (B, K, (Z,) Y, X)
        Label images, or planes of one object each.
    centers : sequence of arrays, shape (n, ndim)
        For each crop, in pixels, rows in ascending id.
    step : list of float
        Grid units per pixel and axis (z, y, x).
    valid : Tensor, shape (pixels,), bool, optional
        Pixels that count.

    Raises
    ------
    ValueError
        If a crop's centres are not as many as its instances, or an id is negative.
    """
    device, ndim = instances.device, len(step)
    n_crops = len(instances)
    given = [torch.as_tensor(np.asarray(c), dtype=torch.float32).reshape(-1, ndim) for c in centers]
    per_crop = math.prod(instances.shape[-ndim:])
    if instances.ndim == ndim + 2:
        planes = instances.reshape(n_crops * instances.shape[1], per_crop) != 0
        key = torch.nonzero(planes.any(1)).reshape(-1)
        crop = key // instances.shape[1]
        plane, place = torch.nonzero(planes[key], as_tuple=True)
        member, pixel = plane, crop[plane] * per_crop + place
        background = ~planes.reshape(n_crops, -1, per_crop).any(1).reshape(-1)
        owner = planes
    else:
        labels = instances.reshape(n_crops, per_crop).long()
        low, high = (int(v) for v in torch.aminmax(labels)) if labels.numel() else (0, 0)
        if low < 0:
            raise ValueError("instances holds negative ids")
        if high > per_crop * 4:
            # Sparse large ids: make them dense so that the tables below stay small.
            labels = torch.unique(labels, return_inverse=True)[1] + (0 if bool((labels == 0).any()) else 1)
            high = int(labels.max())
        flat = (labels + torch.arange(n_crops, device=device)[:, None] * (high + 1)).reshape(-1)
        pixel = torch.nonzero(labels.reshape(-1)).reshape(-1)
        present = torch.bincount(flat[pixel], minlength=n_crops * (high + 1)) > 0
        index = torch.cumsum(present, 0) - 1
        key = torch.nonzero(present).reshape(-1)
        crop = key // (high + 1)
        member = index[flat[pixel]]
        background = (labels == 0).reshape(-1)
        owner = torch.where(background, -1, flat)
    found = torch.bincount(crop, minlength=n_crops).tolist()
    if found != [len(c) for c in given]:
        raise ValueError(f"crops hold {found} instances but {[len(c) for c in given]} centres were given")
    center = list((torch.cat(given) * torch.tensor(step)).to(device).unbind(1))
    if valid is not None:
        keep = valid[pixel]
        member, pixel = member[keep], pixel[keep]
        background = background & valid
    counts = torch.bincount(member, minlength=len(key))
    if valid is not None and bool((counts == 0).any()):
        # Wholly ignored instances are as good as absent.
        kept = counts > 0
        renumber = torch.cumsum(kept, 0) - 1
        member, key, crop, counts = renumber[member], key[kept], crop[kept], counts[kept]
        center = [c[kept] for c in center]
    return Members(member, pixel, counts, crop, center, key, owner, background, valid)
