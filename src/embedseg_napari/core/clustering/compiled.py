"""Clustering by the compiled loops of `kernel`: a tree over the embeddings, in the order of a curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.clustering.task import FAINT_SHARE, SHARE, ClusterResult, ask, drop_remains
from embedseg_napari.core.freed_memory import give_back_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.clustering.task import ClusterTask

CHUNK_WORK = 50_000_000
"""Pixels looked at between two questions whether to stop: about a tenth of a second."""

LARGE = 1 << 25
"""Pixels of an image from which on what is freed goes back to the system at once."""


def cluster_compiled(task: ClusterTask, kernel: Any, should_stop: Callable[[], bool] | None) -> ClusterResult:
    """The method with a kernel, as `CompiledModule` gives it."""
    maps, ndim = task.maps, task.maps.ndim
    shape = maps.shape
    foreground, rows = (values.astype(np.uint32, copy=False) for values in (task.foreground, task.at))
    n = len(foreground)
    points, limits = np.empty((ndim, n), np.float32), np.empty((2, ndim))
    n_finite = kernel.embed(foreground, rows, _flat(maps.offsets), shape[-2], shape[-1], points, limits)
    ask(should_stop)

    # Sort the pixels along a curve through their embeddings, and build the tree over them.
    shift = max(1, (n - 1).bit_length())
    low, scale, bits = _grid(limits, shape, 63 - shift)
    keys, step = np.empty(n, np.uint64), kernel.STEP_BITS[ndim]
    kernel.encode(points, low, scale, -(-bits // step), kernel.hilbert(ndim), step, shift, keys)
    kernel.sort(keys, np.empty(n, np.uint64), shift)
    ask(should_stop)
    placed = np.empty((-(-n // kernel.LEAF), ndim, kernel.LEAF), np.float32)
    pixel_of, slot_of = np.empty(n, np.uint32), np.empty(n, np.uint32)
    kernel.place(keys, shift, points, foreground, placed, pixel_of, slot_of)
    del keys, points
    n_leaves = 1
    while n_leaves * kernel.LEAF < n_finite:
        n_leaves *= 2
    boxes = np.empty((2 * n_leaves, 2, ndim), np.float32)
    sizes, alive = np.zeros(2 * n_leaves, np.int32), np.zeros(2 * n_leaves, np.int32)
    kernel.build(placed, n_finite, boxes, sizes, alive)

    labels, is_unclustered = np.zeros(n, np.int32), np.ones(n, np.uint8)
    margins = _flat(maps.margins)
    accepted = np.empty(len(task.seeds) + len(task.faint), np.uint32)
    n_accepted = n_bright = 0
    for seeds, is_faint in ((task.seeds, False), (task.faint, True)):
        if is_faint and len(seeds):
            kernel.release(labels, n_finite, sizes, alive, is_unclustered)
        n_bright, position = n_accepted if is_faint else 0, 0
        while position < len(seeds):
            ask(should_stop)
            position, n_accepted = kernel.claim(
                seeds, position, slot_of, rows, placed, n_finite, margins, np.float32(task.margin_scale), boxes,
                sizes, alive, is_unclustered, labels, accepted, n_accepted, task.min_object_size, task.is_greedy,
                FAINT_SHARE if is_faint else SHARE, not is_faint, CHUNK_WORK,
            )  # fmt: skip
    if len(task.faint) and not task.keeps_remains:
        drop_remains(labels, pixel_of, n_bright, shape)
    accepted = accepted[:n_accepted]
    slots = slot_of[accepted]
    centers = placed[slots // kernel.LEAF, :, slots % kernel.LEAF]
    # The label image takes as much as they do.
    del placed, slot_of, boxes, sizes, alive, is_unclustered
    if math.prod(shape) >= LARGE:
        give_back_freed_memory(also_kept=True)
    number, image = np.zeros(n_accepted + 1, np.int32), np.zeros(math.prod(shape), np.int32)
    kernel.paint(labels, pixel_of, number, image)
    is_kept = number[1:] > 0
    accepted = accepted[is_kept]
    return ClusterResult(
        image.reshape(shape),
        centers[is_kept],
        maps.seed_map.ravel()[rows[accepted]],
        seeds=foreground[accepted].astype(np.int64),
        n_bright=int(np.count_nonzero(is_kept[:n_bright])),
    )


def _flat(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map (axes, *spatial) as (axes, pixels) without a copy where that is possible."""
    return np.ascontiguousarray(maps.reshape(len(maps), -1), dtype=np.float32)


def _grid(
    limits: NDArray[np.float64], shape: tuple[int, ...], most_bits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Where the curve's grid begins and its steps per pixel, (z, y, x) with zeros for no z, and its bits per axis.

    Steps are an eighth of a pixel where the number of bits allows it. The few pixels that point far outside the image
    share its border, so that they do not make the steps coarse for all others.
    """
    sides = np.array(shape, float)
    low = np.clip(limits[0], -sides, 2 * sides)
    extent = max(float((np.clip(limits[1], -sides, 2 * sides) - low).max()), 0.0)
    bits = max(1, min(math.ceil(math.log2(extent * 8 + 1)), most_bits // len(shape)))
    place, scale = np.zeros(3), np.zeros(3)
    place[-len(shape) :], scale[-len(shape) :] = low, (2.0**bits - 1) / max(extent, 1e-6)
    return place, scale, bits
