"""The loss of `spatial_embedding` on a GPU: value and gradient at once, and no number that the host waits for.

Work for a GPU is queued, and whoever asks for a result (how many pixels are near, which ids there are) waits until the
queue has run empty. So every size here is known before: that of the crops and the number of centres. Each instance is
compared with all pixels of its crop, one row of a matrix for each, and each row is sorted by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from embedseg_napari.core.device import send
from embedseg_napari.core.losses.limits import MAX_EXPONENT, NEGLIGIBLE_PHI

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PAIRS_AT_ONCE = 1 << 21
"""Pairs of instance and pixel that are worked on together: bounds the working memory."""
MOST_PAIRS = 1 << 26
"""Of a batch; where there are more, waiting for the number of those that matter costs less than looking at all."""


class Truth(NamedTuple):
    """The instances of a batch: as many as there are centres."""

    crop: Tensor
    """(k,) crop of each instance."""
    center: Tensor
    """(k, ndim) in grid units."""
    layers: Tensor
    """Label images: (B, pixels of a crop) index of each pixel's instance, k for none. Planes: (planes, pixels)."""
    plane: Tensor | None
    """(k,) row of each instance in `layers`; None for label images."""
    background: Tensor
    """(B, pixels of a crop) pixels of no instance that count."""
    valid: Tensor | None
    """(B, pixels of a crop) pixels that count; None if all do."""
    is_wrong: Tensor
    """Whether a crop holds another number of instances than there are centres, or a negative id."""

    def members(self, first: int, end: int) -> Tensor:
        """(end - first, pixels of a crop) the pixels of some instances that count."""
        crop = self.crop[first:end]
        if self.plane is None:
            index = torch.arange(first, end, device=crop.device, dtype=self.layers.dtype)
            found = self.layers.index_select(0, crop) == index[:, None]
        else:
            found = self.layers.index_select(0, self.plane[first:end])
        return found if self.valid is None else found & self.valid.index_select(0, crop)

    def counts(self) -> Tensor:
        """(k,) pixels of each instance that count."""
        k = len(self.crop)
        if self.plane is not None:
            return self.members(0, k).sum(1).float()
        ones = torch.ones_like(self.background) if self.valid is None else self.valid
        table = torch.zeros(k + 1, device=self.layers.device)
        return table.index_add_(0, self.layers.reshape(-1), ones.reshape(-1).float())[:k]


class Weights(NamedTuple):
    """Of the terms of the loss."""

    instance: float
    variance: float
    seed: float
    foreground: float
    """Within the seed term."""


def find_truth(
    instances: Tensor, centers: Sequence[np.ndarray | Tensor], step: Sequence[float], valid: Tensor | None
) -> Truth:
    """Number the instances of a batch through, on its device.

    Parameters
    ----------
    instances : Tensor, shape (B, (Z,) Y, X) or (B, K, (Z,) Y, X)
        Label images, or planes of one object each.
    centers : sequence of arrays, shape (n, ndim)
        For each crop, in pixels, rows in ascending id; on the host.
    step : sequence of float
        Grid units per pixel and axis (z, y, x).
    valid : Tensor, shape (pixels,), bool, optional
        Pixels that count.
    """
    device, ndim, n_crops = instances.device, len(step), len(instances)
    given = [torch.as_tensor(np.asarray(c), dtype=torch.float32).reshape(-1, ndim) for c in centers]
    numbers = [len(c) for c in given]
    k = sum(numbers)
    crop = send(torch.from_numpy(np.repeat(np.arange(n_crops), numbers)), device)
    center = send(torch.cat(given) * torch.tensor(list(step)), device)
    seen = None if valid is None else valid.reshape(n_crops, -1)
    per_crop = math.prod(instances.shape[-ndim:])
    plane: Tensor | None = None
    if instances.ndim == ndim + 2:
        layers = instances.reshape(-1, per_crop) != 0
        found = layers.any(1)
        rows = torch.arange(len(layers), device=device)
        plane = torch.zeros(k + 1, dtype=torch.long, device=device).scatter_(0, _numbered(found, k), rows)[:k]
        found = found.reshape(n_crops, -1)
        background = ~layers.reshape(n_crops, -1, per_crop).any(1)
        is_odd = torch.zeros((), dtype=torch.bool, device=device)
    else:
        labels = instances.reshape(n_crops, per_crop)
        # Sorted, the first pixel of each id can be told; ids of any size are numbered that way.
        values, order = torch.sort(labels.to(torch.uint8) if labels.dtype == torch.bool else labels, dim=1)
        found = values > 0
        found[:, 1:] &= values[:, 1:] != values[:, :-1]
        index = (torch.cumsum(found.reshape(-1), 0) - 1).clamp(max=k).reshape(n_crops, per_crop)
        index = torch.where(values > 0, index, k)
        layers = torch.empty_like(index).scatter_(1, order, index)
        background = labels == 0
        is_odd = (values[:, :1] < 0).any()
    if seen is not None:
        background = background & seen
    expected = torch.zeros(n_crops, dtype=torch.long, device=device).index_add_(0, crop, torch.ones_like(crop))
    is_wrong = is_odd | (found.sum(1) != expected).any()
    return Truth(crop, center, layers, plane, background, seen, is_wrong)


def _numbered(found: Tensor, k: int) -> Tensor:
    """Index among those found, k for the others."""
    return torch.where(found, (torch.cumsum(found, 0) - 1).clamp(max=k), k)


class LossOnDevice(torch.autograd.Function):
    """Total, instance, variance and seed term; only the total has a gradient, and only with respect to `raw`."""

    @staticmethod
    def forward(
        ctx: Any, raw: Tensor, truth: Truth, step: Sequence[float], weights: Weights
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the terms and, with them, the gradient.

        Parameters
        ----------
        ctx
            Keeps the gradient.
        raw : Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X)
            Network output before activation.
        truth : Truth
            From `find_truth`.
        step : sequence of float
            Grid units per pixel and axis (z, y, x).
        weights : Weights
            Of the terms.
        """
        total, instance, variance, seed, gradient = _terms(raw.detach().float(), truth, step, weights)
        ctx.gradient = gradient.to(raw.dtype)
        ctx.mark_non_differentiable(instance, variance, seed)
        return total, instance, variance, seed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradient that is there already."""
        return to_total * ctx.gradient, None, None, None


def _terms(raw: Tensor, truth: Truth, step: Sequence[float], weights: Weights) -> tuple[Tensor, ...]:
    """Total, instance, variance and seed term, and the gradient of the total."""
    n_crops, n_channels, *shape = raw.shape
    ndim, per_crop = len(shape), math.prod(shape)
    offset = torch.tanh(raw[:, :ndim])
    embedding = torch.empty_like(offset, memory_format=torch.contiguous_format)
    for axis in range(ndim):
        line = torch.arange(shape[axis], device=raw.device, dtype=torch.float32) * step[axis]
        torch.add(offset[:, axis], line.reshape(-1, *[1] * (ndim - 1 - axis)), out=embedding[:, axis])
    embedding = embedding.reshape(n_crops, ndim, per_crop)
    sigma = raw[:, ndim : 2 * ndim].reshape(n_crops, ndim, per_crop)
    seed = torch.sigmoid(raw[:, -1]).reshape(n_crops, per_crop)

    n_pixels = torch.full((n_crops,), float(per_crop), device=raw.device)
    if truth.valid is not None:
        n_pixels = truth.valid.sum(1).clamp(min=1).float()
    each = weights.seed / (n_pixels * n_crops)
    gradient = torch.zeros((n_crops, n_channels, per_crop), device=raw.device)
    wrong = seed * truth.background
    gradient[:, -1] = 2.0 * each[:, None] * wrong
    seed_term = (wrong.square().sum(1) / n_pixels).sum()

    counts = truth.counts()
    is_present = (counts > 0).float()
    # Instances per crop; a term is the mean over the instances of a crop.
    present = torch.zeros_like(n_pixels).index_add_(0, truth.crop, is_present).clamp(min=1)
    share = is_present / present.index_select(0, truth.crop) / n_crops
    instance_term, variance_term, foreground = (torch.zeros((), device=raw.device) for _ in range(3))
    at_once = max(1, PAIRS_AT_ONCE // per_crop)
    for first in range(0, len(truth.crop), at_once):
        end = min(first + at_once, len(truth.crop))
        part = _Part(truth, first, end, counts[first:end], share[first:end])
        hinge, variance, error, change = part.terms(embedding, sigma, seed, each, weights)
        gradient.index_add_(0, part.crop, change)
        instance_term += (hinge * part.share).sum()
        variance_term += (variance * part.share).sum()
        foreground += (error / n_pixels.index_select(0, part.crop)).sum()
    seed_term = (seed_term + weights.foreground * foreground) / n_crops
    gradient[:, :ndim] *= 1.0 - offset.reshape(n_crops, ndim, per_crop).square()
    gradient[:, -1] *= seed * (1.0 - seed)
    total = weights.instance * instance_term + weights.variance * variance_term + weights.seed * seed_term
    # The host does not look, so the loss itself says so.
    total = torch.where(truth.is_wrong, math.nan, total)
    return total, instance_term, variance_term, seed_term, gradient.reshape(raw.shape)


class _Part(NamedTuple):
    """Instances that are worked on together."""

    truth: Truth
    first: int
    end: int
    counts: Tensor
    share: Tensor

    @property
    def crop(self) -> Tensor:
        """(c,) crop of each."""
        return self.truth.crop[self.first : self.end]

    def terms(
        self, embedding: Tensor, sigma: Tensor, seed: Tensor, each: Tensor, weights: Weights
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hinge, variance and seed error (c,) of each instance; the gradient (c, channels, pixels of a crop)."""
        crop, center = self.crop, self.truth.center[self.first : self.end]
        ndim = center.shape[1]
        member = self.truth.members(self.first, self.end)
        n = self.counts.clamp(min=1.0)
        change = embedding.new_empty((len(crop), 2 * ndim + 1, embedding.shape[2]))
        deviation = torch.where(member[:, None], sigma.index_select(0, crop), 0.0)
        mean = deviation.sum(2) / n[:, None]
        deviation = torch.where(member[:, None], deviation - mean[:, :, None], 0.0)
        variance = deviation.square().sum((1, 2)) / (n * ndim)
        by_sigma = 2.0 * weights.variance * self.share / (n * ndim)
        torch.mul(deviation, by_sigma[:, None, None], out=change[:, ndim : 2 * ndim])

        exponent = 10.0 * mean
        precision = torch.exp(exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT))
        difference = embedding.index_select(0, crop) - center[:, :, None]
        square = difference.square()
        distance = (square * precision[:, :, None]).sum(1)
        phi = torch.exp(-distance)
        nearest = torch.where(member, distance, math.inf).amin(1)
        # Pixels outside with a smaller error than every member have weight zero.
        reach = -torch.log((-torch.expm1(-nearest)).clamp(min=NEGLIGIBLE_PHI))
        is_left_out = ~member & (distance >= reach[:, None])
        if self.truth.valid is not None:
            is_left_out |= ~self.truth.valid.index_select(0, crop)
        error = torch.where(member, 2.0 - 2.0 * phi, 2.0 * phi)
        slope = _lovasz_slope(error.masked_fill(is_left_out, -1.0), member, self.counts)
        hinge = (slope * error).sum(1)

        # With the order fixed the hinge is linear in phi, and phi falls by itself times the distance.
        push = torch.where(member, 2.0, -2.0) * phi * slope * (weights.instance * self.share)[:, None]
        torch.mul(difference, 2.0 * push[:, None] * precision[:, :, None], out=change[:, :ndim])
        to_mean = (push[:, None] * square).sum(2) * precision * 10.0 * (exponent.abs() <= MAX_EXPONENT)
        change[:, ndim : 2 * ndim] += member[:, None] * (to_mean / n[:, None])[:, :, None]
        doubt = torch.where(member, seed.index_select(0, crop) - phi, 0.0)
        by_seed = 2.0 * weights.foreground * each.index_select(0, crop)
        torch.mul(doubt, by_seed[:, None], out=change[:, -1])
        return hinge, variance, doubt.square().sum(1), change


def _lovasz_slope(error: Tensor, member: Tensor, counts: Tensor) -> Tensor:
    """The Lovasz extension's weight of every error, each row by itself; what is negative comes last, with weight 0."""
    order = torch.sort(error, dim=1, descending=True).indices
    in_order = member.gather(1, order)
    seen = torch.cumsum(in_order, 1, dtype=torch.int32)
    others = torch.arange(1, error.shape[1] + 1, device=error.device, dtype=torch.int32) - seen
    left, union = counts[:, None] - seen, counts[:, None] + others
    # Growth of 1 - left / union by one pixel, in closed form: no difference of nearly equal numbers.
    growth = torch.where(in_order, 1.0 / union, left / (union * (union - 1.0).clamp(min=1.0)))
    return torch.empty_like(growth).scatter_(1, order, growth)
