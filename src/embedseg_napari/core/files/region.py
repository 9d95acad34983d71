"""A region of an image that is read in parts, frame by frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from embedseg_napari.core.axes import mean_of_channels, read_part, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import is_opaque
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    import numpy as np

    from embedseg_napari.core.axes import Channel

LOOK = 64
"""Pixels along each axis of the parts that are looked at before anything is measured."""
PLACES = 4
"""Such parts along each axis of a plane, of which the middle plane is taken."""


class Ends(Protocol):
    """A part of an image: first pixel, and one past the last, per axis (z, y, x)."""

    @property
    def start(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def stop(self) -> tuple[int, ...]: ...  # noqa: D102


class Part(NamedTuple):
    """The same, and nothing else."""

    start: tuple[int, ...]
    stop: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A region of an image that is read in parts.

    Parameters
    ----------
    array : array
        Anything with a shape and a type that can be sliced.
    axes : str
        One letter per axis.
    channel : int, "mean" or "all"
        What of its channels is seen.
    start, stop : tuple of int
        First pixel, and one past the last, per spatial axis (z, y, x).
    first : int, optional
        How many of its channels there are to see, from the first; all of them without it.
    """

    array: Any
    axes: str
    channel: Channel
    start: tuple[int, ...]
    stop: tuple[int, ...]
    first: int | None = None

    @property
    def n_frames(self) -> int:
        """Time points."""
        return int(self.array.shape[self.axes.index("T")]) if "T" in self.axes else 1

    @property
    def n_channels(self) -> int:
        """Channels that are seen."""
        if "C" not in self.axes or self.channel != "all":
            return 1
        return self.first or int(self.array.shape[self.axes.index("C")])

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def read(self, frame: int, box: Ends) -> np.ndarray:
        """A part of a frame, shape (C, (Z,) Y, X); the box counts from the region's first pixel."""
        key: dict[str, int | slice] = {"T": frame}
        for letter, low, high, first in zip(spatial_axes(self.axes), box.start, box.stop, self.start, strict=True):
            key[letter] = slice(low + first, high + first)
        if "C" in self.axes:
            key["C"] = self.channel if isinstance(self.channel, int) else slice(self.first)
        part = read_part(self.array, self.axes, key)
        if "C" not in self.axes or isinstance(self.channel, int):
            return part[None]
        return mean_of_channels(part, keepdims=True) if self.channel == "mean" else part


def choose_region(array: Any, axes: str, channel: Channel, region: tuple[tuple[int, int], ...] | None = None) -> Region:
    """A region of an image, by pairs of first pixel and one past the last; all of it without them.

    Of red, green, blue and an alpha channel through which nothing is seen there are three channels, as where an image
    is read whole; alpha is looked at in some places.

    Raises
    ------
    DataError
        If the image has no such region or channel.
    """
    sides = [int(array.shape[axes.index(letter)]) for letter in spatial_axes(axes)]
    first = 3 if _has_opaque_alpha(Region(array, axes, "all", (0,) * len(sides), tuple(sides))) else None
    if isinstance(channel, int) and "C" not in axes and channel == 0:
        channel = "all"
    if isinstance(channel, int):
        n = (first or int(array.shape[axes.index("C")])) if "C" in axes else 1
        if "C" not in axes or channel >= n:
            raise DataError(f"The image has {count(n, 'channel')}, counted from 0; there is no channel {channel}.")
    if region is None:
        return Region(array, axes, channel, (0,) * len(sides), tuple(sides), first)
    # In a volume a region of a plane goes through all planes.
    pairs = [(0, side) for side in sides[: len(sides) - len(region)]] + list(region)
    for letter, (low, high), side in zip(spatial_axes(axes), pairs, sides, strict=False):
        if not 0 <= low < high <= side:
            raise DataError(f"Region {low}:{high} along {letter} is not within the image, which has {side} pixels.")
    if len(pairs) != len(sides):
        raise DataError(f"A region of this image has a range for each of the axes {spatial_axes(axes)}.")
    return Region(array, axes, channel, tuple(low for low, _ in pairs), tuple(high for _, high in pairs), first)


def _has_opaque_alpha(image: Region) -> bool:
    """Whether an image has a fourth value behind its colours that hides nothing."""
    if not image.axes.endswith("C") or image.n_channels != 4:
        return False
    return all(is_opaque(image.read(0, part)[3]) for part in places_in(image.shape))


def places_in(shape: tuple[int, ...], n_places: int = PLACES) -> list[Part]:
    """Small parts spread over an image, so many along Y and X."""
    numbers = [1] * (len(shape) - 2) + [n_places, n_places]
    starts = [
        [max(0, round((i + 0.5) * n / number) - LOOK // 2) for i in range(number)]
        for n, number in zip(shape, numbers, strict=True)
    ]
    return [
        Part(start, tuple(min(n, a + LOOK) for a, n in zip(start, shape, strict=True)))
        for start in itertools.product(*starts)
    ]
