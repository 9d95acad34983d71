"""Pixels whose embeddings lie near the centre of an instance that they do not belong to, found in a grid of cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from embedseg_napari.core.losses.limits import CELLS_PER_REACH, MAX_CELLS
from embedseg_napari.core.losses.lovasz import argsort

if TYPE_CHECKING:
    from torch import Tensor

    from embedseg_napari.core.losses.members import Members


def scaled_distance(
    embedding: list[Tensor], precision: list[Tensor], center: list[Tensor], instance: Tensor, pixel: Tensor
) -> Tensor:
    """Squared distance of embeddings to centres in units of the bandwidth: phi = exp(-distance)."""
    total = None
    for e, p, c in zip(embedding, precision, center, strict=True):
        # index_select is several times faster than indexing here, and its backward needs no sort.
        difference = e.index_select(0, pixel) - c.index_select(0, instance)
        part = difference.square() * p.index_select(0, instance)
        total = part if total is None else total + part
    assert total is not None
    return total


def neighbours(
    embedding: list[Tensor], precision: list[Tensor], members: Members, reach: Tensor, per_crop: int
) -> tuple[Tensor, Tensor]:
    """All (instance, pixel) pairs of pixels outside an instance with a scaled squared distance below its reach.

    The embeddings are sorted into a grid of cells; the cells along the last axis that an instance can reach are
    neighbours in that order, so an instance asks for a few runs of pixels.
    """
    axes = range(len(embedding))
    n_crops = len(embedding[0]) // per_crop
    half = [torch.sqrt(reach / p) for p in precision]
    lows = [torch.maximum((members.center[a] - half[a]).amin(), embedding[a].amin()) for a in axes]
    highs = [torch.minimum((members.center[a] + half[a]).amax(), embedding[a].amax()) for a in axes]
    # Read together: a GPU is waited for once.
    low, high, middle = torch.stack([*lows, *highs, *(h.median() for h in half)]).reshape(3, -1).tolist()
    cell = [max(side, 1e-12) / CELLS_PER_REACH for side in middle]
    if not all(math.isfinite(value) for value in (*low, *high, *cell)):
        # Some output is no number: so will be the loss, and whoever asked for it must see that.
        nothing = members.instance[:0]
        return nothing, nothing
    cells = _cell_counts(low, high, cell)
    while n_crops * math.prod(cells) > MAX_CELLS:
        cell = [2 * side for side in cell]
        cells = _cell_counts(low, high, cell)
    per_crop_cells = math.prod(cells)

    inside = torch.ones_like(embedding[0], dtype=torch.bool) if members.valid is None else members.valid
    key = torch.arange(n_crops, device=reach.device).repeat_interleave(per_crop) * per_crop_cells
    for a in axes:
        place = torch.floor((embedding[a] - low[a]) * (1.0 / cell[a]))
        fits = (place >= 0) & (place < cells[a])
        inside = inside & fits
        # Places far outside are dropped below; the bound keeps them from overflowing on the way.
        key = key + place.clamp(-1, cells[a]).long() * math.prod(cells[a + 1 :])
    pixel = torch.nonzero(inside).reshape(-1)
    key = key.index_select(0, pixel)
    pixel = pixel.index_select(0, argsort(key))
    start_of = torch.zeros(n_crops * per_crop_cells + 1, dtype=torch.long, device=reach.device)
    start_of[1:] = torch.cumsum(torch.bincount(key, minlength=n_crops * per_crop_cells), 0)

    first = [
        torch.floor((members.center[a] - half[a] - low[a]) * (1.0 / cell[a])).clamp(0, cells[a]).long() for a in axes
    ]
    last = [
        torch.floor((members.center[a] + half[a] - low[a]) * (1.0 / cell[a])).clamp(-1, cells[a] - 1).long()
        for a in axes
    ]
    span = [(last[a] - first[a] + 1).clamp(min=0) for a in axes]
    n_runs = torch.where(span[-1] > 0, 1, 0)
    for a in axes[:-1]:
        n_runs = n_runs * span[a]
    instance, rest = _repeat(n_runs)
    row = members.crop[instance] * per_crop_cells
    for a in reversed(axes[:-1]):
        width = span[a][instance]
        row = row + (first[a][instance] + rest % width) * math.prod(cells[a + 1 :])
        rest = torch.div(rest, width, rounding_mode="floor")
    begin = start_of[row + first[-1][instance]]
    counts = start_of[row + last[-1][instance] + 1] - begin
    instance = torch.repeat_interleave(instance, counts)
    shift = begin - (torch.cumsum(counts, 0) - counts)
    pixel = pixel.index_select(
        0, torch.arange(len(instance), device=reach.device) + torch.repeat_interleave(shift, counts)
    )

    near = scaled_distance(embedding, precision, members.center, instance, pixel) < reach.index_select(0, instance)
    kept = torch.nonzero(near & ~members.contains(instance, pixel)).reshape(-1)
    return instance.index_select(0, kept), pixel.index_select(0, kept)


def _cell_counts(low: list[float], high: list[float], cell: list[float]) -> list[int]:
    # The bound keeps a far outlier from overflowing; the caller makes the cells larger until they are few enough.
    return [1 + int(min(max(h - w, 0.0) / c, MAX_CELLS)) for w, h, c in zip(low, high, cell, strict=True)]


def _repeat(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 0, 3): the owners (0, 0, 2, 2, 2) and the places within each (0, 1, 0, 1, 2)."""
    owner = torch.repeat_interleave(counts)
    first = torch.cumsum(counts, 0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - first[owner]
