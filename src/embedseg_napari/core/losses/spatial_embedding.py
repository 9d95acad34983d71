"""The loss of EmbedSeg (Lalit, Tomancak, Jug, 2021), after Neven et al. (CVPR 2019).

Cost follows the pixels near each object, not objects times crop: an instance is compared only with its own pixels and
with those whose embedding lies where its Gaussian is not yet negligible, found in a grid of cells over the embeddings.
Everything is vectorised over all instances of a batch. A CPU has compiled loops for it (`on_cpu`), and on a GPU, where
waiting for a number costs more than looking at all pixels of a crop, `on_device` does that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.compiled.background_import import CompiledModule
from embedseg_napari.core.losses.limits import MAX_EXPONENT, NEGLIGIBLE_PHI
from embedseg_napari.core.losses.lovasz import lovasz_weights
from embedseg_napari.core.losses.members import Members, collect_members
from embedseg_napari.core.losses.neighbours import neighbours, scaled_distance
from embedseg_napari.core.losses.on_device import MOST_PAIRS, LossOnDevice, Weights, find_truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from embedseg_napari.core.losses.on_cpu import Instances

LOOPS = CompiledModule("embedseg_napari.core.losses.on_cpu", "the loss is computed by PyTorch, which is slower")
"""The same computation for a CPU, compiled."""
LARGE_ID = 1 << 16
"""Ids below this are counted in a table; larger ones are numbered anew."""


class LossTerms(NamedTuple):
    """The loss and its parts, each a scalar tensor; the parts carry no weights of their own."""

    total: Tensor
    instance: Tensor
    variance: Tensor
    seed: Tensor


def spatial_embedding_loss(
    raw: Tensor,
    instances: Tensor,
    centers: Sequence[np.ndarray | Tensor],
    spacing: Sequence[float],
    foreground_weight: float = 10.0,
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0),
    ignore: Tensor | None = None,
) -> Tensor:
    """Return the training loss of a batch of crops.

    Parameters
    ----------
    raw : Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X)
        Network output before activation: offsets and bandwidths (axes z, y, x), seediness. Computed on in float32.
    instances : Tensor, shape (B, (Z,) Y, X) or (B, K, (Z,) Y, X)
        Label images (0 is background, any integer type), or binary planes of one object each, which may overlap.
    centers : sequence of arrays, shape (n, ndim)
        For each crop the centres of its instances, in pixels from the crop's first pixel (fractions and places outside
        the crop are fine), rows in ascending id; for planes one row for each plane that is not empty.
    spacing : sequence of float
        Grid units per pixel and axis (z, y, x).
    foreground_weight : float
        Weight of foreground against background in the seed term; the paper takes 10 in 2D.
    weights : tuple of float
        Weights of the instance, variance and seed terms; the paper takes 1, 10, 1.
    ignore : Tensor, shape (B, (Z,) Y, X), bool, optional
        Pixels that neither reward nor punish.

    Returns
    -------
    Tensor
        Scalar: mean over the crops.

    Raises
    ------
    ValueError
        If the shapes do not belong together, or an image's centres are not as many as its instances.
    """
    return spatial_embedding_loss_terms(raw, instances, centers, spacing, foreground_weight, weights, ignore).total


def spatial_embedding_loss_terms(
    raw: Tensor,
    instances: Tensor,
    centers: Sequence[np.ndarray | Tensor],
    spacing: Sequence[float],
    foreground_weight: float = 10.0,
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0),
    ignore: Tensor | None = None,
    *,
    wait: bool = True,
    check: bool = True,
) -> LossTerms:
    """Return the loss of :func:`spatial_embedding_loss` together with its three terms.

    With ``wait=False`` PyTorch computes it, more slowly, while the loops for a CPU are still being compiled. With
    ``check=False`` the host does not wait for a GPU to count instances: the loss is NaN if centres do not fit.
    """
    n_crops, n_channels, *shape = raw.shape
    ndim = len(shape)
    if n_channels != 2 * ndim + 1:
        raise ValueError(f"raw has {n_channels} channels; {ndim} spatial axes need {2 * ndim + 1}")
    if len(spacing) != ndim:
        raise ValueError(f"spacing has {len(spacing)} values for {ndim} axes")
    if tuple(instances.shape[-ndim:]) != tuple(shape) or len(instances) != n_crops or len(centers) != n_crops:
        raise ValueError(
            f"raw {tuple(raw.shape)}, instances {tuple(instances.shape)} and centers do not belong together"
        )
    valid = None if ignore is None else ~devices.send(ignore.to(torch.bool), raw.device).reshape(-1)
    step = [float(value) for value in spacing]
    loops = _loops_for(raw.device, wait)
    if loops is not None:
        terms = _on_cpu(loops, raw, instances, centers, step, foreground_weight, weights, valid)
        if terms is not None:
            return terms
    instances = devices.send(instances, raw.device)
    if devices.queues_work(raw.device) and sum(map(len, centers)) * math.prod(shape) <= MOST_PAIRS:
        found = find_truth(instances, centers, step, valid)
        if not check or not bool(found.is_wrong):
            factors = Weights(*weights, foreground_weight)
            return LossTerms(*LossOnDevice.apply(raw, found, step, factors))  # type: ignore[no-untyped-call]
    members = collect_members(instances, centers, step, valid)

    with torch.autocast(raw.device.type, enabled=False):
        # One contiguous line of pixels per axis: rows of two or three values would defeat vectorisation.
        lines = [raw[:, channel].float().reshape(-1) for channel in range(n_channels)]
        embedding = [
            torch.tanh(lines[axis]) + _grid(shape, axis, step[axis], n_crops, raw.device) for axis in range(ndim)
        ]
        seed = torch.sigmoid(lines[-1])

        per_crop = math.prod(shape)
        n_pixels = torch.full((n_crops,), float(per_crop), device=raw.device)
        if valid is not None:
            n_pixels = valid.reshape(n_crops, -1).sum(1).clamp(min=1).float()
        background = (seed.square() * members.background).reshape(n_crops, -1).sum(1)
        if len(members.counts) == 0:
            seed_term = (background / n_pixels).mean()
            # Zero, but connected to the graph: every output keeps a gradient.
            zero = raw.sum() * 0.0
            return LossTerms(weights[2] * seed_term + zero, zero.detach(), zero.detach(), seed_term.detach())

        # Instances per crop; a term is the mean over the instances of a crop.
        share = 1.0 / torch.bincount(members.crop, minlength=n_crops).clamp(min=1).float()[members.crop]
        counts = members.counts.float()
        variance = torch.zeros_like(counts)
        sigma = []
        for axis in range(ndim):
            member_sigma = lines[ndim + axis].index_select(0, members.pixel)
            mean = torch.zeros_like(counts).index_add(0, members.instance, member_sigma) / counts
            deviation = (member_sigma - mean.detach().index_select(0, members.instance)).square()
            variance = variance.index_add(0, members.instance, deviation)
            sigma.append(mean)
        variance = variance / (counts * ndim)

        instance, member_phi = _instance_term(embedding, sigma, members, per_crop)
        foreground = (seed[members.pixel] - member_phi.detach()).square()
        per_pixel = n_pixels[members.crop].index_select(0, members.instance)
        seed_term = ((background / n_pixels).sum() + foreground_weight * (foreground / per_pixel).sum()) / n_crops
        instance_term = (instance * share).sum() / n_crops
        variance_term = (variance * share).sum() / n_crops
        total = weights[0] * instance_term + weights[1] * variance_term + weights[2] * seed_term
    return LossTerms(total, instance_term.detach(), variance_term.detach(), seed_term.detach())


def _loops_for(device: torch.device, wait: bool) -> Any:
    """The compiled loops, which read a CPU's own memory; None for any other device, and where they cannot be had."""
    if device.type != "cpu" or devices.queues_work(device):
        return None
    return LOOPS.wait() if wait else LOOPS.ready()


def _on_cpu(
    loops: Any,
    raw: Tensor,
    instances: Tensor,
    centers: Sequence[np.ndarray | Tensor],
    step: list[float],
    foreground_weight: float,
    weights: tuple[float, float, float],
    valid: Tensor | None,
) -> LossTerms | None:
    """The same by compiled loops; None for what they cannot do: no instance, wrong centres, planes of odd sizes."""
    n_crops, ndim = len(raw), len(step)
    seen = np.ones(n_crops * math.prod(raw.shape[2:]), bool) if valid is None else valid.numpy()
    given = [np.asarray(center, np.float64).reshape(-1, ndim) for center in centers]
    placed, counts = np.concatenate(given) * step, [len(one) for one in given]
    truth: Instances | None = None
    if instances.ndim == ndim + 2 and instances.numel() and len(seen) // n_crops % 8 == 0:
        planes = np.ascontiguousarray(instances.bool().numpy()).reshape(n_crops, instances.shape[1], -1)
        truth = loops.find_planes(planes, placed, counts, seen)
    elif instances.ndim == ndim + 1 and instances.numel() and instances.min() >= 0:
        labels = instances.numpy().reshape(n_crops, -1)
        if labels.max() >= LARGE_ID:
            values, dense = np.unique(labels, return_inverse=True)
            labels = dense.reshape(labels.shape) + int(values[0] > 0)
        truth = loops.find_instances(np.ascontiguousarray(labels, np.int32), placed, counts, seen)
    if truth is None or len(truth.crop) == 0:
        return None
    n_pixels = np.maximum(seen.reshape(n_crops, -1).sum(1), 1).astype(np.float64)
    factors = loops.Weights(*weights, foreground_weight)
    return LossTerms(*loops.LossOnCPU.apply(raw, truth, step, n_pixels, factors))


def _instance_term(
    embedding: list[Tensor], sigma: list[Tensor], members: Members, per_crop: int
) -> tuple[Tensor, Tensor]:
    """Lovasz hinge of each instance (k,), and phi at each member (m,)."""
    precision = [torch.exp((10.0 * s).clamp(-MAX_EXPONENT, MAX_EXPONENT)) for s in sigma]
    n_members = len(members.instance)
    with torch.no_grad():
        distance = scaled_distance(embedding, precision, members.center, members.instance, members.pixel)
        nearest = torch.full_like(precision[0], math.inf)
        nearest = nearest.scatter_reduce(0, members.instance, distance, "amin")
        # Pixels outside with a smaller error than every member have weight zero, so the search may stop there.
        reach = -torch.log((-torch.expm1(-nearest)).clamp(min=NEGLIGIBLE_PHI))
        other_instance, other_pixel = neighbours(embedding, precision, members, reach, per_crop)
        instance = torch.cat([members.instance, other_instance])
        pixel = torch.cat([members.pixel, other_pixel])
    phi = torch.exp(-scaled_distance(embedding, precision, members.center, instance, pixel))
    with torch.no_grad():
        errors = 2.0 * phi
        errors[:n_members] = 2.0 - errors[:n_members]
        is_member = torch.zeros(len(pixel), dtype=torch.bool, device=pixel.device)
        is_member[:n_members] = True
        slope = lovasz_weights(errors, is_member, instance, members.counts)
        # With the order fixed the hinge is linear in phi: members 2 - 2 phi, others 2 phi.
        constant = torch.zeros_like(reach).index_add(0, members.instance, 2.0 * slope[:n_members])
        slope[:n_members] *= -1.0
    loss = torch.zeros_like(reach).index_add(0, instance, 2.0 * slope * phi) + constant
    return loss, phi[:n_members]


def _grid(shape: Sequence[int], axis: int, step: float, n_crops: int, device: torch.device) -> Tensor:
    """Grid coordinate along one axis of every pixel of a batch, flat."""
    line = torch.arange(shape[axis], device=device, dtype=torch.float32) * step
    view = [1] * (len(shape) + 1)
    view[axis + 1] = shape[axis]
    return line.reshape(view).expand(n_crops, *shape).reshape(-1)
