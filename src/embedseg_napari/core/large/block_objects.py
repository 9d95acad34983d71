"""The objects of one block: found in its window, told by where they start, and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.clustering import tidying
from embedseg_napari.core.clustering.clustering import claim
from embedseg_napari.core.clustering.task import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.clustering.task import ClusterResult
    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.large.grid import Block, BlockGrid
    from embedseg_napari.core.maps import EmbeddingMaps

MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and without a pattern in its bits: sums of its multiples tell sets of pixels apart."""


def row_type(ndim: int) -> np.dtype[np.void]:
    """What is kept of an object; places are pixels (z, y, x) of the whole image."""
    return np.dtype(
        [
            ("id", np.uint64),  # index of the seed's pixel in the whole image, plus 1
            ("is_own", bool),  # whether it started in the core of the block that tells of it
            ("is_faint", bool),  # it started below the seed threshold
            ("is_at_border", bool),  # of the image
            ("is_in_core", bool),  # it has pixels in the core of that block
            ("is_cut", bool),  # it reaches the end of the window, and so perhaps further
            ("score", np.float32),
            ("size", np.int64),
            ("n_claimed", np.int64),  # its size before holes were filled
            ("center", np.float64, (ndim,)),
            ("centroid", np.float64, (ndim,)),
            ("first", np.int64, (ndim,)),
            ("last", np.int64, (ndim,)),
            ("n_cores", np.int16),  # cores in which it has pixels
            ("pixels", np.uint64),  # a number that stands for its set of pixels, where it has some in several cores
        ]
    )


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What one block found.

    Parameters
    ----------
    labels : ndarray of uint32, shape of the core
        0, or 1 + row of the object.
    rows : ndarray of `row_type`
        Objects that have a pixel in the core, or started there, in the order in which they were accepted.
    is_background : bool
        Whether the network was not run, for there is nothing to be seen.
    """

    labels: NDArray[np.uint32]
    rows: NDArray[Any]
    is_background: bool = False


def empty_result(block: Block) -> BlockResult:
    """Of a block of nothing but background."""
    shape = block.core.shape
    return BlockResult(np.zeros(shape, np.uint32), np.zeros(0, row_type(len(shape))), is_background=True)


def collect_objects(
    maps: EmbeddingMaps,
    grid: BlockGrid,
    block: Block,
    settings: PredictionConfig,
    should_stop: Callable[[], bool] | None = None,
) -> BlockResult:
    """Collect the objects of a window as the whole image would yield them.

    What needs the whole image is left to the end: objects that start faintly are kept whatever their size, and so are
    those that are too large or at the image's border.

    Parameters
    ----------
    maps : EmbeddingMaps
        Of the window.
    grid, block
        Where that is.
    settings : PredictionConfig
        As the whole image would be clustered with.
    should_stop : callable, optional
        Looked at several times a second.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    maps = replace(maps, offsets=_as_in_whole_image(maps.offsets, block.window.start))
    found = claim(maps, settings, should_stop, keeps_remains=True)
    n_claimed = np.bincount(found.labels.ravel(), minlength=len(found.scores) + 1)[1:]
    if settings.fill_holes and len(found.scores):
        tidying.fill_holes(found.labels, lambda: ask(should_stop))
    ids = grid.ids(block, found.seeds)
    is_own = grid.owners(ids) == block.number
    core = found.labels[block.core.within(block.window)]
    seen = np.unique(core)
    is_in_core = np.zeros(len(ids), bool)
    is_in_core[seen[seen > 0] - 1] = True
    is_wanted = is_own | is_in_core
    number = np.zeros(len(ids) + 1, np.uint32)
    number[1:][is_wanted] = np.arange(1, np.count_nonzero(is_wanted) + 1)
    rows = _measure(found, number[found.labels], np.flatnonzero(is_wanted), grid, block)
    for name, values in (("id", ids), ("is_own", is_own), ("is_in_core", is_in_core), ("n_claimed", n_claimed)):
        rows[name] = values[is_wanted]
    return BlockResult(number[core], rows)


def _as_in_whole_image(offsets: NDArray[np.float32], start: tuple[int, ...]) -> NDArray[np.float32]:
    """Offsets as rounded as embeddings are that are counted from the image's first pixel.

    Those are float32, coarser the farther from 0 they lie. Both sides of a seam, and the whole image, then decide alike
    for pixels at the very margin of an ellipse.
    """
    out = np.empty_like(offsets)
    for axis, (a, n) in enumerate(zip(start, offsets.shape[1:], strict=True)):
        at = np.arange(a, a + n, dtype=np.float64).reshape([-1 if b == axis else 1 for b in range(len(start))])
        # Band by band along the first axis: float64 copies of a whole window are large.
        for row in range(offsets.shape[1]):
            place = at[row] if axis == 0 else at[0]
            out[axis, row] = (place + offsets[axis, row]).astype(np.float32) - place
    return out


def _measure(
    found: ClusterResult, labels: NDArray[np.uint32], which: NDArray[np.int64], grid: BlockGrid, block: Block
) -> NDArray[Any]:
    """Rows of the objects 1..n of a window; `which` are their places in `found`."""
    n, window = len(which), block.window
    ndim = len(window.shape)
    rows = np.zeros(n, row_type(ndim))
    rows["is_faint"] = which >= found.n_bright
    rows["score"] = found.scores[which]
    rows["center"] = found.centers[which].astype(np.float64) + window.start
    at = np.flatnonzero(labels)
    label = labels.ravel()[at].astype(np.int64) - 1
    places = np.unravel_index(at, window.shape)
    rows["size"] = size = np.bincount(label, minlength=n)
    cores = np.zeros(len(at), np.int64)
    index = np.zeros(len(at), np.uint64)
    is_outside = np.zeros(len(at), bool)
    for axis, place in enumerate(places):
        low, high, side = window.start[axis], window.stop[axis], grid.shape[axis]
        total = np.bincount(label, place, n)
        rows["centroid"][:, axis] = total / np.maximum(size, 1) + low
        first, last = np.full(n, high), np.full(n, -1)
        whole = place + low
        np.minimum.at(first, label, whole)
        np.maximum.at(last, label, whole)
        rows["first"][:, axis], rows["last"][:, axis] = first, last
        if side > 1:
            rows["is_at_border"] |= (first == 0) | (last == side - 1)
        rows["is_cut"] |= ((first == low) & (low > 0)) | ((last == high - 1) & (high < side))
        cores = cores * grid.counts[axis] + whole // grid.size[axis]
        index = index * np.uint64(side) + whole.astype(np.uint64)
        is_outside |= (whole < block.core.start[axis]) | (whole >= block.core.stop[axis])
    crosses = np.zeros(n, bool)
    crosses[label[is_outside]] = True
    # Only those need to be told apart that several blocks see.
    shared = crosses[label]
    pairs = np.unique(label[shared] * math.prod(grid.counts) + cores[shared])
    rows["n_cores"] = np.where(crosses, np.bincount(pairs // math.prod(grid.counts), minlength=n), 1)
    mixed = index[shared] * MIX
    total = np.zeros(n, np.uint64)
    np.add.at(total, label[shared], mixed ^ (mixed >> np.uint64(29)))
    rows["pixels"] = total
    return rows
