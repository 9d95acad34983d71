"""Cutting large images into overlapping tiles, and putting the network's outputs back together without seams.

Raw outputs are blended, before activation and before clustering: there offsets are nearly linear in pixels, bandwidths
are logarithms of margins and seediness is a log-odds, so that a weighted mean is meaningful for each. Test-time
augmentation averages the same numbers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.networks.network import STRIDE
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import Architecture

DEFAULT_TILE = {2: (2304, 2304), 3: (96, 320, 320)}
"""Pixels per axis (z, y, x) that a tile holds at most, in whatever shape suits an image, where neither the user nor the
model says; about 1 GB in 2D and 2 GB in 3D. In 2D a whole image of the usual cameras."""
HUGE, HUGE_TILE = 1 << 25, 0.6
"""Pixels of a 2D image from which on its tiles hold at most this part of the default tile; in volumes, whose tiles
share more, smaller ones would be a fifth more work."""
DEFAULT_OVERLAP: dict[Architecture, dict[int, tuple[int, ...]]] = {
    "unet": {2: (128, 128), 3: (32, 64, 64)},
    "branched-erfnet": {2: (256, 256), 3: (32, 64, 64)},
}
"""As benchmarks/tiling.py measured it; docs/performance.md holds the figures. The paper's network looks further; in
volumes its outputs depend on where a tile ends however much tiles overlap, and the least work is the best choice."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of an image; it may reach up to 7 pixels beyond the image's far ends."""

    start: tuple[int, ...]
    """First pixel per axis, a multiple of 8."""
    shape: tuple[int, ...]
    """Multiples of 8, the same for all tiles of an image."""
    weights: tuple[NDArray[np.float32], ...]
    """Weight along each axis; over all tiles the products of the weights add up to 1 at every pixel."""

    def within(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """The part of an image of this shape that the tile covers."""
        return tuple(slice(a, min(a + n, end)) for a, n, end in zip(self.start, self.shape, shape, strict=True))


def round_up(length: int) -> int:
    """Return the next multiple of 8."""
    return -(-length // STRIDE) * STRIDE


def resolve_tile(
    ndim: int,
    tile: int | Sequence[int] | None,
    overlap: int | Sequence[int] | None,
    architecture: Architecture = "unet",
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check tile and overlap, and fill in the defaults.

    Parameters
    ----------
    ndim : {2, 3}
        Spatial axes.
    tile, overlap : int or sequence of int, optional
        Pixels per axis (z, y, x); one number stands for all axes. The overlap is rounded up to a multiple of 8 and cut
        to half the tile.
    architecture : {"unet", "branched-erfnet"}
        The network, on which the default overlap depends.

    Returns
    -------
    tile, overlap : tuple of int
        Multiples of 8.

    Raises
    ------
    SettingsError
        If the number of values is wrong, a side of a tile is no positive multiple of 8, or an overlap is negative.
    """
    sizes = DEFAULT_TILE[ndim] if tile is None else _per_axis(ndim, tile, "tile")
    overlaps = DEFAULT_OVERLAP[architecture][ndim] if overlap is None else _per_axis(ndim, overlap, "tile_overlap")
    if any(size < STRIDE or size % STRIDE for size in sizes):
        raise SettingsError(f"tile {sizes}: every side must be a multiple of {STRIDE}, and at least {STRIDE}.")
    if any(o < 0 for o in overlaps):
        raise SettingsError(f"tile_overlap {overlaps}: must not be negative.")
    return sizes, tuple(min(round_up(o), size // 2 // STRIDE * STRIDE) for o, size in zip(overlaps, sizes, strict=True))


def _per_axis(ndim: int, value: int | Sequence[int], name: str) -> tuple[int, ...]:
    values = (int(value),) * ndim if isinstance(value, int | np.integer) else tuple(int(v) for v in value)
    if len(values) != ndim:
        raise SettingsError(f"{name} {values} has {count(len(values), 'value')}; the model works in {ndim}D.")
    return values


def best_tile(shape: Sequence[int], overlap: Sequence[int]) -> tuple[int, ...]:
    """Sides of the tiles that cover an image with the fewest pixels in all, none with more than a default tile.

    Parameters
    ----------
    shape : sequence of int
        The image's spatial shape.
    overlap : sequence of int
        Least overlap of neighbours, as `resolve_tile` returns it for the default tile.

    Returns
    -------
    tuple of int
        Multiples of 8, as `plan_tiles` takes them.
    """
    largest = DEFAULT_TILE[len(shape)]
    lengths = [round_up(n) for n in shape]
    # A tile that is long along one axis is short along another, which takes more of them there than the default.
    most = [2 * _fewest(*one) for one in zip(lengths, largest, overlap, strict=True)]
    sides = [
        np.array([_side(length, n, o) for n in range(1, last + 1)], np.float64)
        for length, last, o in zip(lengths, most, overlap, strict=True)
    ]
    pixels = reduce(np.multiply.outer, sides)
    work = pixels * reduce(np.multiply.outer, [np.arange(1.0, last + 1) for last in most])
    # Of a huge image, maps and labels take most of the memory: smaller tiles leave room, for 3 % more pixels in all.
    is_huge = len(shape) == 2 and math.prod(shape) >= HUGE
    work[pixels > math.prod(largest) * (HUGE_TILE if is_huge else 1)] = np.inf
    best = np.unravel_index(int(work.argmin()), work.shape)
    return tuple(int(along[i]) for along, i in zip(sides, best, strict=True))


def plan_tiles(shape: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> list[Tile]:
    """Cover an image with tiles of one shape, spread evenly, in array order.

    Parameters
    ----------
    shape : sequence of int
        The image's spatial shape.
    tile, overlap : sequence of int
        Largest tile, and least overlap of neighbours, as `resolve_tile` returns them.
    """
    lines = [_line(round_up(n), largest, o) for n, largest, o in zip(shape, tile, overlap, strict=True)]
    return [
        Tile(tuple(start for start, _ in parts), tuple(len(w) for _, w in parts), tuple(w for _, w in parts))
        for parts in itertools.product(*lines)
    ]


def _fewest(length: int, largest: int, overlap: int) -> int:
    """Tiles of a largest side that cover a length."""
    return max(1, -(-(length - overlap) // (largest - overlap)))


def _side(length: int, n: int, overlap: int) -> int:
    """The least side with which so many tiles cover a length."""
    return round_up(-(-(length + (n - 1) * overlap) // n))


def _line(length: int, largest: int, overlap: int) -> list[tuple[int, NDArray[np.float32]]]:
    """Starts of the tiles along one axis, and their weights; all lengths are multiples of 8."""
    if length <= largest:
        return [(0, np.ones(length, np.float32))]
    # As few tiles as possible, and these as small as the overlap allows.
    n = _fewest(length, largest, overlap)
    size = _side(length, n, overlap)
    # Multiples of 8, so that a tile's features lie on the same grid as those of the whole image.
    starts = [(length - size) // STRIDE * i // (n - 1) * STRIDE for i in range(n)]
    windows = [np.ones(size, np.float32) for _ in starts]
    total = np.zeros(length, np.float32)
    for i, (start, window) in enumerate(zip(starts, windows, strict=True)):
        if i > 0:
            window[:overlap] *= _ramp(overlap)
        if i < n - 1:
            window[size - overlap :] *= _ramp(overlap)[::-1]
        total[start : start + size] += window
    return [(start, window / total[start : start + size]) for start, window in zip(starts, windows, strict=True)]


def _ramp(length: int) -> NDArray[np.float32]:
    """Rise smoothly from 0 to 1 in the middle half; the outer quarter, where a tile lacks context most, stays 0."""
    position = (np.arange(length) + 0.5) / max(length, 1)
    t = np.clip(2 * position - 0.5, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


class Blender:
    """Adds up weighted outputs of tiles, in array order, and hands out each part once no later tile reaches it.

    So only what tiles share is kept, not the output of the whole image.

    Parameters
    ----------
    tiles : sequence of Tile
        All tiles of the image.
    shape : sequence of int
        Its spatial shape.
    """

    def __init__(self, tiles: Sequence[Tile], shape: Sequence[int]) -> None:
        self._shape = tuple(shape)
        self._starts = [sorted({tile.start[axis] for tile in tiles}) for axis in range(len(self._shape))]
        self._shared: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}

    def add(self, raw: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
        """Add a tile's raw output, and return what is complete: a part that begins where the tile does.

        Parameters
        ----------
        raw : ndarray, shape (channels, *tile.shape)
            Output for the tile; serves as working memory.
        tile : Tile
            Where it belongs.
        """
        inside = tile.within(self._shape)
        raw = raw[(slice(None), *(slice(0, part.stop - part.start) for part in inside))]
        for axis, weights in enumerate(tile.weights):
            if (weights != 1).any():
                raw *= weights[: raw.shape[axis + 1]].reshape(-1, *[1] * (len(tile.weights) - axis - 1))
        for shared in self._shared.pop(tile.start, ()):
            raw[(slice(None), *map(slice, shared.shape[1:]))] += shared
        for axis in reversed(range(len(tile.start))):
            starts = self._starts[axis]
            index = starts.index(tile.start[axis]) + 1
            if index < len(starts):
                # The next tile along this axis holds all of it, and hands on what the one after it needs.
                raw, shared = np.split(raw, [starts[index] - tile.start[axis]], axis + 1)
                following = (*tile.start[:axis], starts[index], *tile.start[axis + 1 :])
                self._shared.setdefault(following, []).append(shared.copy())
        return raw


def pad(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Fill (C, (Z,) Y, X) up to a tile's shape at the far ends by reflection (by repetition along an axis of 1)."""
    missing = [(0, 0), *((0, n - have) for n, have in zip(shape, values.shape[1:], strict=True))]
    return np.pad(values, missing, mode="reflect") if any(n for _, n in missing) else values
