"""Objects as the network sees them, each by itself: where two cross, the pixels belong to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.clustering.proposals import Proposals
from embedseg_napari.core.clustering.task import ask, foreground_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.maps import EmbeddingMaps


@dataclass(frozen=True, slots=True)
class WholeObject:
    """One object with all its pixels, those under other objects too."""

    label: int
    """Its number in the labels."""
    box: tuple[slice, ...]
    """Where `mask` lies in the image, (z, y, x)."""
    mask: NDArray[np.bool_]
    """Its pixels within `box`, shape ((Z,) Y, X)."""


def whole_objects(
    labels: NDArray[np.int32],
    seeds: NDArray[np.int64],
    n_bright: int,
    maps: EmbeddingMaps,
    settings: PredictionConfig,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[WholeObject]:
    """The objects of a clustering in the order of their numbers, before a later one was written over them.

    An object that started brightly has all foreground pixels whose embedding lies inside the ellipse of its seed's
    margins, whoever has them in the labels; one that started faintly took only what was free, and so has its labels'
    pixels. Nothing is missing that it has in the labels, such as holes that were filled.

    Parameters
    ----------
    labels : ndarray of int32, shape ((Z,) Y, X)
        Objects 1..n that the maps were clustered into.
    seeds : ndarray of int64, shape (n,)
        Flat index of the pixel that each started from.
    n_bright : int
        How many of them started brightly; the first ones.
    maps : EmbeddingMaps
        The same maps.
    settings : PredictionConfig
        The same settings.
    should_stop : callable, optional
        Looked at before each object.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    from scipy.ndimage import find_objects

    foreground, at = foreground_of(maps, settings.foreground_threshold)
    rows_of = np.searchsorted(foreground, seeds.astype(foreground.dtype))
    proposals = Proposals(maps, foreground, at, settings.margin_scale)
    for index, own in enumerate(find_objects(labels, len(seeds))):
        ask(should_stop)
        box, pixels = own, [np.empty(0, np.int64)] * maps.ndim
        if index < n_bright:
            rows = proposals.of(int(rows_of[index]))
            # An object of the labels has at least one pixel in its ellipse, so these are never empty.
            assert rows is not None
            pixels = [axis[rows] for axis in proposals.at]
            box = tuple(
                slice(min(side.start, int(axis.min())), max(side.stop, int(axis.max()) + 1))
                for side, axis in zip(own, pixels, strict=True)
            )
        mask = labels[box] == index + 1
        mask[tuple(axis - side.start for axis, side in zip(pixels, box, strict=True))] = True
        yield WholeObject(index + 1, box, mask)
