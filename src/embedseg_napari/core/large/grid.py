"""An image cut into blocks, each with what is seen around it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.inference.tiling import round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A part of an image: first pixel and one past the last, per axis (z, y, x)."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels per axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """To cut it out of the image."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def within(self, other: Box) -> tuple[slice, ...]:
        """To cut it out of another part that holds it."""
        return tuple(slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, other.start, strict=True))

    def grown(self, by: Sequence[int], shape: Sequence[int]) -> Box:
        """The same with more around it, as far as the image goes."""
        return Box(
            tuple(max(0, a - n) for a, n in zip(self.start, by, strict=True)),
            tuple(min(end, b + n) for b, n, end in zip(self.stop, by, shape, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """One task: what it owns and what it looks at."""

    number: int
    frame: int
    core: Box
    """Objects that start here are its own; no other block writes here."""
    window: Box
    """The core and the halo around it, where objects are looked for."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """How an image is cut.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image, ((z,) y, x).
    size : tuple of int
        Pixels of a core per axis, multiples of 8.
    halo : tuple of int
        Pixels around a core per axis, multiples of 8.
    n_frames : int
        Time points, each cut in the same way.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    halo: tuple[int, ...]
    n_frames: int = 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.size, strict=True))

    @property
    def n_per_frame(self) -> int:
        """Blocks of one time point."""
        return math.prod(self.counts)

    def __len__(self) -> int:
        return self.n_frames * self.n_per_frame

    def block(self, number: int) -> Block:
        """A block by its number, in array order."""
        frame, at = divmod(number, self.n_per_frame)
        place = np.unravel_index(at, self.counts)
        start = tuple(int(i) * size for i, size in zip(place, self.size, strict=True))
        stop = tuple(min(a + size, n) for a, size, n in zip(start, self.size, self.shape, strict=True))
        core = Box(start, stop)
        return Block(number, frame, core, core.grown(self.halo, self.shape))

    def neighbours(self, number: int) -> list[int]:
        """Blocks whose cores the window of a block reaches into, without itself."""
        frame, at = divmod(number, self.n_per_frame)
        window, place = self.block(number).window, np.unravel_index(at, self.counts)
        ranges = [
            range(a // size, (b - 1) // size + 1)
            for a, b, size in zip(window.start, window.stop, self.size, strict=True)
        ]
        near = (np.ravel_multi_index(other, self.counts) for other in itertools.product(*ranges) if other != place)
        return [frame * self.n_per_frame + int(other) for other in near]

    def owners(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Number of the block in whose core each object started, by its provisional id."""
        seeds = ids.astype(np.int64) - 1
        frames, at = np.divmod(seeds, math.prod(self.shape))
        places = [i // size for i, size in zip(np.unravel_index(at, self.shape), self.size, strict=True)]
        return frames * self.n_per_frame + np.ravel_multi_index(places, self.counts)

    def ids(self, block: Block, seeds: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Provisional ids of objects: index of the seed's pixel in the whole image, plus 1.

        Parameters
        ----------
        block : Block
            In whose window they were found.
        seeds : ndarray of int, shape (n,)
            Flat indices of their seeds' pixels in the window.
        """
        at = np.unravel_index(seeds, block.window.shape)
        whole = [i + a for i, a in zip(at, block.window.start, strict=True)]
        index = np.ravel_multi_index(whole, self.shape) + block.frame * math.prod(self.shape)
        return (index + 1).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class CutTile:
    """What the network sees at once, and the part of it whose outputs are as if it had seen the whole image."""

    seen: Box
    """It may reach up to 7 pixels beyond the image's far ends; all numbers are multiples of 8."""
    used: Box


def cut_tiles(window: Box, shape: Sequence[int], tile: Sequence[int], margin: Sequence[int]) -> list[CutTile]:
    """Cover a window with tiles that overlap by the margin on each side, but not beyond the image.

    Parameters
    ----------
    window : Box
        Starts at multiples of 8, and ends at such or with the image.
    shape : sequence of int
        Of the image.
    tile : sequence of int
        Largest tile; one that leaves nothing between its margins is taken as 8 pixels larger than they.
    margin : sequence of int
        Multiples of 8.
    """
    lines = []
    for begin, end, n, largest, m in zip(window.start, window.stop, shape, tile, margin, strict=True):
        whole = round_up(n)
        low, high = max(0, begin - m), min(whole, round_up(end) + m)
        # A window that is seen at once needs no cuts; otherwise steps are as large as the tile allows.
        n_tiles = 1 if high - low <= largest else -(-(end - begin) // max(8, largest - 2 * m))
        step = round_up(-(-(end - begin) // n_tiles))
        uses = [(at, min(at + step, end)) for at in range(begin, end, step)]
        lines.append([(max(0, a - m), min(whole, round_up(b) + m), a, b) for a, b in uses])
    return [
        CutTile(
            Box(tuple(p[0] for p in parts), tuple(p[1] for p in parts)),
            Box(tuple(p[2] for p in parts), tuple(p[3] for p in parts)),
        )
        for parts in itertools.product(*lines)
    ]
