"""The loss of `spatial_embedding` on a CPU: compiled loops that give value and gradient at once."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from embedseg_napari.core.losses import kernel
from embedseg_napari.core.losses.limits import CELLS_PER_REACH, MAX_CELLS, MAX_EXPONENT, NEGLIGIBLE_PHI

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor


GROUP, ROOM = 4096, 1 << 16
"""Members of the instances that are worked on together, and pairs there is room for to begin with."""


class Instances(NamedTuple):
    """The instances of a batch, numbered through, without those of which no pixel counts."""

    first: NDArray[np.int64]
    """(k + 1,) where the members of each begin in `pixel`."""
    pixel: NDArray[np.int32]
    """(m,) flat index of each member into the batch's pixels."""
    crop: NDArray[np.int32]
    """(k,) crop of each instance."""
    center: NDArray[np.float64]
    """(ndim, k) centres in grid units."""
    background: NDArray[np.bool_]
    """(pixels,) pixels of no instance that count."""
    valid: NDArray[np.bool_]
    """(pixels,) pixels that count."""


class _Part(NamedTuple):
    """Crops that one thread works on, and their instances."""

    first_crop: int
    end_crop: int
    lowest: int
    highest: int


class _Room:
    """Memory for the pairs that are worked on together."""

    def __init__(self, n: int) -> None:
        self.phi, self.error = np.empty((2, n), np.float32)
        self.slots, self.code, self.order = np.empty((3, n), np.int32)
        self.half_sorted = np.empty(n, np.uint64)


class Weights(NamedTuple):
    """Of the terms of the loss."""

    instance: float
    variance: float
    seed: float
    foreground: float
    """Within the seed term."""


def find_instances(
    labels: NDArray[np.int32], centers: NDArray[np.float64], counts: Sequence[int], valid: NDArray[np.bool_]
) -> Instances | None:
    """Collect the pixels of every instance of label images.

    Parameters
    ----------
    labels : ndarray, shape (B, pixels of a crop)
        0 is background; ids are small.
    centers : ndarray, shape (n, ndim)
        Of all crops one after the other, in grid units, in ascending id.
    counts : sequence of int
        Centres of each crop.
    valid : ndarray, shape (B * pixels of a crop,)
        Pixels that count.

    Returns
    -------
    Instances or None
        None if the crops do not hold as many instances as there are centres.
    """
    n_crops, per_crop = labels.shape
    n_ids = int(labels.max(initial=0)) + 1
    flat, seen = labels.reshape(-1), valid.view(np.uint8)
    sizes = np.empty((2, n_crops * n_ids), np.int64)
    background = np.empty(flat.shape, np.uint8)
    kernel.count(flat, seen, per_crop, n_ids, sizes, background)
    return _instances_of(
        sizes, n_ids, counts, centers, background, valid,
        lambda index, place, pixel: kernel.gather(flat, seen, per_crop, n_ids, index, place, pixel),
    )  # fmt: skip


def find_planes(
    planes: NDArray[np.bool_], centers: NDArray[np.float64], counts: Sequence[int], valid: NDArray[np.bool_]
) -> Instances | None:
    """The same for planes of one object each, shape (B, K, pixels of a crop: a multiple of 8)."""
    n_crops, n_planes, per_crop = planes.shape
    flat, seen = planes.reshape(-1).view(np.uint8), valid.view(np.uint8)
    words = flat.view(np.uint64)
    sizes = np.empty((2, n_crops * n_planes), np.int64)
    background = np.empty(n_crops * per_crop, np.uint8)
    kernel.count_planes(words, flat, seen, per_crop, n_planes, sizes, background)
    return _instances_of(
        sizes, n_planes, counts, centers, background, valid,
        lambda index, place, pixel: kernel.gather_planes(words, flat, seen, per_crop, n_planes, index, place, pixel),
    )  # fmt: skip


def _instances_of(
    sizes: NDArray[np.int64],
    per_crop: int,
    counts: Sequence[int],
    centers: NDArray[np.float64],
    background: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    gather: Callable[[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]], None],
) -> Instances | None:
    """Instances of which `sizes` tells all and valid pixels, `per_crop` possible ones in each crop."""
    present = np.flatnonzero(sizes[0])
    if not np.array_equal(np.bincount(present // per_crop, minlength=len(counts)), counts):
        return None
    is_kept = sizes[1, present] > 0
    kept = present[is_kept]
    # Those without a valid pixel are never asked for their place.
    index = np.zeros(sizes.shape[1], np.int32)
    index[kept] = np.arange(len(kept))
    first = np.concatenate([[0], np.cumsum(sizes[1, kept])])
    pixel = np.empty(first[-1], np.int32)
    gather(index, first[:-1].copy(), pixel)
    center = np.ascontiguousarray(centers[is_kept].T)
    return Instances(first, pixel, (kept // per_crop).astype(np.int32), center, background.view(np.bool_), valid)


class LossOnCPU(torch.autograd.Function):
    """Total, instance, variance and seed term; only the total has a gradient, and only with respect to `raw`."""

    @staticmethod
    def forward(
        ctx: Any, raw: Tensor, instances: Instances, step: Sequence[float], n_pixels: NDArray[np.float64],
        weights: Weights,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Compute the terms and, with them, the gradient.

        Parameters
        ----------
        ctx
            Keeps the gradient.
        raw : Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X)
            Network output before activation.
        instances : Instances
            The truth; at least one instance.
        step : sequence of float
            Grid units per pixel and axis (z, y, x).
        n_pixels : ndarray, shape (B,)
            Pixels of each crop that count.
        weights : Weights
            Of the terms.
        """
        n_crops, n_channels, *shape = raw.shape
        ndim = len(shape)
        # One contiguous line of pixels for each channel.
        lines = torch.empty((n_channels, n_crops, *shape)).copy_(raw.detach().movedim(1, 0)).reshape(n_channels, -1)
        lines[-1].sigmoid_()
        places = lines[:ndim].tanh_().clone().reshape(ndim, n_crops, *shape)
        for axis in range(ndim):
            line = torch.arange(shape[axis], dtype=torch.float32) * step[axis]
            places[axis] += line.reshape(-1, *[1] * (ndim - 1 - axis))
        embedding = places.reshape(ndim, -1).numpy()
        gradient = np.zeros(tuple(lines.shape), np.float32)
        if not all(math.isfinite(value) for value in torch.aminmax(lines)):
            # Some output is no number: so is the loss, and whoever asked for it must see that.
            ctx.gradient = torch.zeros_like(raw)
            return (torch.full((), math.nan),) * 4
        hinge, variance, seed_error, background_error = _instances(
            embedding, lines.numpy(), instances, n_pixels, weights, gradient
        )
        share = _shares(instances.crop, n_crops)
        n = np.diff(instances.first)
        instance_term = float((hinge * share).sum())
        variance_term = float((variance / (n * ndim) * share).sum())
        foreground = float((seed_error / n_pixels[instances.crop]).sum())
        seed_term = (float((background_error / n_pixels).sum()) + weights.foreground * foreground) / n_crops

        to = torch.from_numpy(gradient)
        ctx.gradient = to.reshape(n_channels, n_crops, *shape).movedim(0, 1).to(raw.dtype)
        total = weights.instance * instance_term + weights.variance * variance_term + weights.seed * seed_term
        terms = tuple(torch.tensor(value) for value in (total, instance_term, variance_term, seed_term))
        ctx.mark_non_differentiable(*terms[1:])
        return terms  # type: ignore[return-value]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradient that is there already."""
        return to_total * ctx.gradient, None, None, None, None


def _shares(crop: NDArray[np.int32], n_crops: int) -> NDArray[np.float64]:
    """Part of each instance in the mean over the instances of a crop, and over the crops."""
    shares: NDArray[np.float64] = 1.0 / (np.bincount(crop, minlength=n_crops)[crop] * n_crops)
    return shares


def _instances(
    embedding: NDArray[np.float32],
    lines: NDArray[np.float32],
    instances: Instances,
    n_pixels: NDArray[np.float64],
    weights: Weights,
    gradient: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Hinge, squared deviations and seed errors of each instance, seed errors of each crop's background; the gradient.

    `lines` holds offsets, bandwidths and seediness after their activation; `gradient`, zeros at the start, receives
    that with respect to what the network said.
    """
    ndim, n = embedding.shape
    offset, sigma, seed = lines[:ndim], lines[ndim : 2 * ndim], lines[-1]
    k, n_crops = len(instances.crop), len(n_pixels)
    background_error = np.empty(n_crops)
    first, pixel, center = instances.first, instances.pixel, instances.center
    mean, precision = np.empty((2, ndim, k))
    variance, reach, hinge, seed_error = np.empty((4, k))
    share = _shares(instances.crop, n_crops)
    seed_weight = weights.seed / (n_pixels[instances.crop] * n_crops)
    per_crop = n // n_crops
    # Instances of different crops share no pixel.
    n_parts = min(torch.get_num_threads(), n_crops)
    crops = np.arange(n_parts + 1) * n_crops // n_parts
    ends = np.searchsorted(instances.crop, crops)
    parts = [_Part(*map(int, part)) for part in zip(crops, crops[1:], ends, ends[1:], strict=False)]

    def measure(part: _Part) -> None:
        kernel.measure(
            part.lowest, part.highest, embedding, sigma, first, pixel, center, NEGLIGIBLE_PHI, MAX_EXPONENT,
            mean, precision, variance, reach,
        )  # fmt: skip

    def differentiate(part: _Part) -> None:
        lowest, highest, begin = part.lowest, part.highest, part.first_crop * per_crop
        n_part = (part.end_crop - part.first_crop) * per_crop
        start = np.empty((part.end_crop - part.first_crop) * int(cells.prod()) + 3, np.int64)
        cell_of, pixel_of, slot_of = np.empty((3, n_part), np.int32)
        placed = np.empty((ndim, n_part), np.float32)
        kernel.place(
            begin, embedding, instances.valid.view(np.uint8), per_crop, low, cell, cells,
            start, cell_of, pixel_of, slot_of, placed,
        )  # fmt: skip
        pixel_of = pixel_of[: start[-1]]
        is_member, to_placed = np.zeros(n_part, np.uint8), np.zeros(placed.shape, np.float32)
        room = _Room(ROOM)
        # A few instances at a time, whose pairs the processor has at hand from one step to the next.
        ends = np.searchsorted(first, np.arange(first[lowest], first[highest], GROUP)).tolist()
        for here, there in itertools.pairwise(sorted({lowest, *ends, highest})):
            pair_first = np.empty(there - here + 1, np.int64)
            while needed := kernel.collect(
                here, there, begin, part.first_crop, placed, slot_of, first, pixel, instances.crop, center, precision,
                reach, low, cell, cells, start, is_member, pair_first, room.slots, room.phi,
            ):  # fmt: skip
                room = _Room(2 * needed)
            # NumPy's exponential is vectorised, numba's is not.
            np.exp(room.phi[: pair_first[-1]], out=room.phi[: pair_first[-1]])
            kernel.rank(here, there, first, pair_first, room.phi, room.error, room.code, room.half_sorted, room.order)
            kernel.backward(
                here, there, placed, sigma, seed, first, pixel, center, mean,
                precision, pair_first, room.slots, room.phi, room.error, room.order, share, seed_weight,
                weights.instance, weights.variance, weights.foreground, MAX_EXPONENT,
                to_placed, gradient[ndim : 2 * ndim], gradient[-1], hinge, seed_error,
            )  # fmt: skip
        kernel.finish(
            begin, begin + n_part, pixel_of, to_placed, offset, seed, instances.background.view(np.uint8),
            weights.seed / (n_pixels * n_crops), per_crop, gradient, background_error,
        )  # fmt: skip

    if n_parts == 1:
        measure(parts[0])
        low, cell, cells = _cells(embedding, center, precision, reach, n_crops)
        differentiate(parts[0])
    else:
        with ThreadPoolExecutor(n_parts) as pool:
            list(pool.map(measure, parts))
            low, cell, cells = _cells(embedding, center, precision, reach, n_crops)
            list(pool.map(differentiate, parts))
    return hinge, variance, seed_error, background_error


def _cells(
    embedding: NDArray[np.float32],
    center: NDArray[np.float64],
    precision: NDArray[np.float64],
    reach: NDArray[np.float64],
    n_crops: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Lowest corner, size and numbers of the cells that hold what instances can reach, per axis."""
    half = np.sqrt(reach / precision)
    low = np.maximum((center - half).min(1), embedding.min(1))
    high = np.minimum((center + half).max(1), embedding.max(1))
    cell = np.maximum(np.median(half, axis=1), 1e-12) / CELLS_PER_REACH
    while True:
        # The bound keeps a far outlier from overflowing; cells are made larger until they are few enough.
        cells = 1 + np.minimum(np.maximum(high - low, 0.0) / cell, MAX_CELLS).astype(np.int64)
        if n_crops * math.prod(cells.tolist()) <= MAX_CELLS:
            return low, cell, cells
        cell = cell * 2
