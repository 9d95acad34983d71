"""What clustering starts from and ends with, whichever way it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.maps import ForegroundMaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.maps import EmbeddingMaps

SHARE, FAINT_SHARE = 0.5, 0.9
"""Of its pixels, more than this part must be unclustered in a proposal (the paper), and in one that starts faintly."""
FAINT_SIZE = 0.3
"""Objects that start faintly have this part of the median size of the others, unless the image's border cuts them:
below it there are mostly the remains between objects. On dsb2018, what is found so raises AP at IoU 0.5 by 0.02."""


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """Instances found in the maps of one image."""

    labels: NDArray[np.int32]
    """((Z,) Y, X) ids 1..n in order of acceptance, 0 is background."""
    centers: NDArray[np.float32]
    """(n, ndim) where each instance's seed points, in pixels (z, y, x)."""
    scores: NDArray[np.float32]
    """(n,) seediness of the seeds."""
    n_left_out: int = 0
    """Objects that the settings leave out although they were found: too large, or at the border."""
    seeds: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(n,) flat index of the pixel that each instance started from."""
    n_bright: int = 0
    """Instances that did not start faintly; the first ones."""


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """What both implementations start from."""

    maps: EmbeddingMaps | ForegroundMaps
    foreground: NDArray[Any]
    """(n,) flat indices of the foreground pixels in the image, in array order."""
    at: NDArray[Any]
    """(n,) where they are in the maps."""
    seeds: NDArray[np.uint32]
    """(m,) rows of `foreground`, in the order to try them."""
    faint: NDArray[np.uint32]
    """Those that are tried afterwards."""
    min_object_size: int
    margin_scale: float
    is_greedy: bool
    keeps_remains: bool = False
    """Whether objects that start faintly are kept whatever their size."""


def foreground_of(maps: EmbeddingMaps | ForegroundMaps, threshold: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Flat indices of the foreground pixels in the image, and where they are in the maps."""
    at: NDArray[Any] = np.flatnonzero(maps.seed_map.ravel() > np.float32(threshold))
    if maps.seed_map.size <= 1 << 32:
        # Half the memory.
        at = at.astype(np.uint32)
    return (maps.pixels[at] if isinstance(maps, ForegroundMaps) else at), at


def prepare(
    maps: EmbeddingMaps | ForegroundMaps, settings: PredictionConfig, *, keeps_remains: bool = False
) -> ClusterTask:
    """Foreground and seeds of an image."""
    is_greedy, seed_threshold = settings.seeds == "greedy", np.float32(settings.seed_threshold)
    seed_map = maps.seed_map.ravel().astype(np.float32, copy=False)
    foreground, at = foreground_of(maps, settings.foreground_threshold)
    if is_greedy:
        seediness = seed_map[at]
        # There are at most as many as pixels that 32 bits count.
        lowest = np.float32(settings.seed_threshold - settings.faint_seeds)
        rows: NDArray[Any] = np.flatnonzero(seediness >= lowest).astype(np.uint32)
        seediness = seediness[rows]
    else:
        peaks = _local_maxima(maps.seed_map)
        peaks = peaks[seed_map[peaks] > np.float32(settings.foreground_threshold)]
        rows = np.searchsorted(at, peaks).astype(np.uint32)
        seediness = seed_map[at[rows]]
    seeds = rows[_falling(seediness)]
    n_bright = int(np.count_nonzero(seediness >= seed_threshold)) if is_greedy else len(seeds)
    return ClusterTask(
        maps,
        foreground,
        at,
        seeds[:n_bright],
        seeds[n_bright:],
        settings.min_object_size,
        settings.margin_scale,
        is_greedy,
        keeps_remains,
    )


def _falling(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order by falling value; ties in array order."""
    # Value and place in one integer take one fast sort: the bits of floats of one sign sort like the floats. All in
    # place, for there may be as many values as pixels.
    keys = (values + np.float32(0)).view(np.int32).astype(np.int64)
    np.bitwise_xor(keys, 0x7FFFFFFF, out=keys, where=keys < 0)
    np.negative(keys, out=keys)
    keys <<= 32
    keys |= np.arange(len(keys), dtype=np.uint32)
    keys.sort()
    keys &= 0xFFFFFFFF
    return keys


def _local_maxima(seed_map: NDArray[np.float32]) -> NDArray[np.int64]:
    """Flat indices of the local maxima of the smoothed seed map, in array order."""
    from scipy.ndimage import gaussian_filter
    from skimage.feature import peak_local_max

    # A value that is no number would spread, and be the lowest of all.
    known = np.nan_to_num(seed_map.astype(np.float32, copy=False), nan=0.0)
    smooth = gaussian_filter(known, 1.0 if seed_map.ndim == 2 else (1.0, 2.0, 2.0))
    # The original program takes none of the outermost pixels; an axis of two or fewer has no others.
    peaks = peak_local_max(smooth, min_distance=1, exclude_border=tuple(int(n > 2) for n in smooth.shape))
    return np.sort(np.ravel_multi_index(tuple(peaks.T), seed_map.shape))


def drop_remains(labels: NDArray[np.int32], pixels: NDArray[Any], n_bright: int, shape: tuple[int, ...]) -> None:
    """Take the labels above `n_bright` from objects that are small for this image, unless its border cuts them."""
    sizes = np.bincount(labels, minlength=n_bright + 1)
    bright = sizes[1 : n_bright + 1]
    is_small = sizes < least_faint_size(float(np.median(bright[bright > 0])) if bright.any() else 0.0)
    is_small[: n_bright + 1] = False
    rows = np.flatnonzero(labels > n_bright)
    at, last = np.stack(np.unravel_index(pixels[rows], shape), 1), np.array(shape) - 1
    # An axis of one pixel has no border.
    is_border = ((at == 0) | (at == last)) & (last > 0)
    is_small[labels[rows[is_border.any(1)]]] = False
    labels[is_small[labels]] = 0


def least_faint_size(median: float) -> float:
    """Pixels that an object that starts faintly must have, by the median of the others' sizes."""
    return FAINT_SIZE * median


def ask(should_stop: Callable[[], bool] | None) -> None:
    """Raise `Stopped` where the user wants to stop."""
    if should_stop is not None and should_stop():
        raise Stopped("Clustering was stopped.")
