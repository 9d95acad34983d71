"""The loss of EmbedSeg as the paper writes it: one instance at a time, over all pixels of a crop, in float64.

Slow, and meant to be read. Tests and benchmarks compare `spatial_embedding` with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor


def reference_loss(
    raw: Tensor,
    instances: Tensor,
    centers: Sequence[np.ndarray | Tensor],
    spacing: Sequence[float],
    foreground_weight: float = 10.0,
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0),
    ignore: Tensor | None = None,
) -> Tensor:
    """Return the mean loss of the crops of a batch.

    Parameters and shapes as of :func:`embedseg_napari.spatial_embedding_loss`.
    """
    ndim = len(spacing)
    step = torch.tensor(spacing).double()
    pixels = torch.stack(torch.meshgrid(*[torch.arange(n).double() for n in raw.shape[2:]], indexing="ij"))
    losses = []
    for index, outputs in enumerate(raw.double()):
        valid = torch.ones_like(outputs[0], dtype=torch.bool) if ignore is None else ~ignore[index]
        # e_i = x_i + tanh(o_i): where pixel i points, in grid units.
        embedding = pixels * _per_axis(step) + torch.tanh(outputs[:ndim])
        sigma, seed = outputs[ndim : 2 * ndim], torch.sigmoid(outputs[-1])

        masks = _masks(instances[index], ndim)
        hinges, variances = [], []
        seed_errors = seed.square()[valid & ~masks.any(0)].sum()
        for mask, center in zip(masks, torch.as_tensor(centers[index]).double(), strict=True):
            members = mask & valid
            if not members.any():
                continue
            # One bandwidth for each object, the mean of its pixels'; L_smooth draws them together.
            mean = sigma[:, members].mean(1)
            variances.append((sigma[:, members] - mean.detach()[:, None]).square().mean())
            # phi_i = exp(-sum (e_i - C)^2 exp(10 s)): how much pixel i belongs to the object; L_instance.
            distance = (embedding - _per_axis(center * step)).square() * _per_axis(torch.exp(10 * mean))
            phi = torch.exp(-distance.sum(0))
            hinges.append(lovasz_hinge(2 * phi[valid] - 1, members[valid]))
            # A pixel of an object is as good a seed as it is close to the centre; L_seed.
            seed_errors = seed_errors + foreground_weight * (seed - phi.detach())[members].square().sum()
        loss = weights[2] * seed_errors / max(int(valid.sum()), 1)
        if hinges:
            loss = loss + weights[0] * torch.stack(hinges).mean() + weights[1] * torch.stack(variances).mean()
        losses.append(loss)
    return torch.stack(losses).mean()


def lovasz_hinge(logits: Tensor, truth: Tensor) -> Tensor:
    """The Lovász hinge of one object: hinge errors in falling order, each times the growth of the Jaccard loss.

    Parameters
    ----------
    logits : Tensor, shape (n,)
        Above 0 where a pixel is taken for the object's.
    truth : Tensor, shape (n,), bool
        Pixels of the object.
    """
    errors, order = torch.sort((1 - logits * torch.where(truth, 1.0, -1.0)).relu(), descending=True)
    return (errors * jaccard_growth(truth[order])).sum()


def jaccard_growth(truth: Tensor) -> Tensor:
    """How much each pixel adds to the Jaccard loss of an object, if the pixels are got wrong one after the other."""
    members = truth.double()
    intersection = members.sum() - members.cumsum(0)
    union = members.sum() + (1 - members).cumsum(0)
    return torch.diff(1 - intersection / union, prepend=torch.zeros(1).double())


def _masks(instances: Tensor, ndim: int) -> Tensor:
    """(n, (Z,) Y, X) bool, one plane for each object."""
    if instances.ndim == ndim:
        ids: Tensor = torch.unique(instances[instances != 0])
        return instances == ids.reshape(-1, *[1] * ndim)
    planes = instances.bool()
    return planes[planes.flatten(1).any(1)]


def _per_axis(values: Tensor) -> Tensor:
    """(n,) values in a shape that goes with (n, (Z,) Y, X)."""
    return values.reshape(-1, *[1] * len(values))
