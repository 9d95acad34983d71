"""Greedy clustering of embeddings into instances (Neven et al. 2019; Lalit et al. 2021), exact and in linear time.

Two implementations give the same labels: a compiled one whose time grows with the foreground, and one in plain NumPy
that reads like the method. The second answers while the first is still being compiled on a fresh installation, and
where numba is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedseg_napari.core.compiled.background_import import CompiledModule
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import EmbedSegWarning, Stopped
from embedseg_napari.core.inference import tidying
from embedseg_napari.core.maps import EmbeddingMaps, missing_words
from embedseg_napari.core.scripts import warn
from embedseg_napari.core.settings import require_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


WORTHWHILE_PIXELS = 1 << 19
"""Images of fewer pixels are usually clustered in NumPy before the compiled loop is imported, which takes 0.6 s."""
KERNEL = CompiledModule("embedseg_napari.core.inference.clustering_kernel", "clustering runs in NumPy, which is slower")
SeedKind = Literal["greedy", "local_maxima"]
CHUNK_WORK = 50_000_000
"""Pixels looked at between two questions whether to stop: about a tenth of a second."""
MOST_PIXELS = 2**32
"""The compiled implementation counts pixels in 32 bits."""
SHARE, FAINT_SHARE = 0.5, 0.9
"""Of its pixels, more than this part must be unclustered in a proposal (the paper), and in one that starts faintly."""
FAINT_SIZE = 0.3
"""Objects that start faintly have this part of the median size of the others, unless the image's border cuts them:
below it there are mostly the remains between objects. On dsb2018, what is found so raises AP at IoU 0.5 by 0.02."""
LEAST_MARGIN = 1e-12
"""Pixels; smaller margins are taken for this, so that one over them is finite."""


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


@dataclass(frozen=True, slots=True)
class _Task:
    """What both implementations start from."""

    maps: EmbeddingMaps
    foreground: NDArray[np.int64]
    """(n,) flat indices of the foreground pixels, in array order."""
    seeds: NDArray[np.uint32]
    """(m,) rows of `foreground`, in the order to try them."""
    faint: NDArray[np.uint32]
    """Those that are tried afterwards."""
    min_object_size: int
    is_greedy: bool


def cluster(
    maps: EmbeddingMaps,
    seed_threshold: float = 0.9,
    foreground_threshold: float = 0.5,
    min_object_size: int = 0,
    seeds: SeedKind = "greedy",
    *,
    faint_seeds: float = 0.0,
    margin_scale: float = 1.0,
    max_object_size: int = 0,
    drop_border_objects: bool = False,
    fill_holes: bool = False,
) -> NDArray[np.int32]:
    """Return the label image of the maps; defaults are the paper's.

    What :meth:`Model.predict` makes of these maps comes with its settings: ``cluster(maps, **settings.clustering)``.

    Parameters
    ----------
    maps : EmbeddingMaps
        Maps of one image.
    seed_threshold : float
        Lowest seediness of a seed, included. Greedy seeds only.
    foreground_threshold : float
        Pixels with a seediness above this are foreground.
    min_object_size : int
        Objects need more pixels than this.
    seeds : {"greedy", "local_maxima"}
        Any unclustered pixel, or the local maxima of the smoothed seed map.
    faint_seeds : float
        How far below `seed_threshold` greedy seeds may start objects in the end, in foreground that no object owns:
        nine tenths of the proposal must be free, and its size be like that of other objects. 0: nowhere.
    margin_scale : float
        Factor of the margins.
    max_object_size : int
        Objects of more pixels are dropped; 0 sets no limit.
    drop_border_objects : bool
        Whether objects that touch the border of the image are dropped.
    fill_holes : bool
        Whether background that an object encloses becomes part of it.

    Raises
    ------
    SettingsError
        If a value is out of range, or these are no maps.
    """
    require_kind(maps, EmbeddingMaps, "cluster takes EmbeddingMaps, as Model.embed returns them")
    values = {
        "seed_threshold": seed_threshold,
        "foreground_threshold": foreground_threshold,
        "min_object_size": min_object_size,
        "seeds": seeds,
        "faint_seeds": faint_seeds,
        "margin_scale": margin_scale,
        "max_object_size": max_object_size,
        "drop_border_objects": drop_border_objects,
        "fill_holes": fill_holes,
    }
    settings = PredictionConfig.parse(values)
    if told := missing_words(maps.count_missing()):
        warn(told, EmbedSegWarning)
    return cluster_by(maps, settings).labels


def cluster_by(
    maps: EmbeddingMaps,
    settings: PredictionConfig = PredictionConfig(),  # noqa: B008 (immutable)
    should_stop: Callable[[], bool] | None = None,
) -> ClusterResult:
    """Collect instances from offsets, margins and seed map.

    Seeds are tried by falling seediness. A seed proposes all foreground pixels whose embedding lies inside the ellipse
    of its margins around its own embedding; the proposal is accepted if it has more than `min_object_size` pixels and
    more than half of them were unclustered (the seed itself no longer counts as such). Where the settings ask for it,
    holes are filled, and objects that are too large or at the border left out; the others are numbered anew.

    Parameters
    ----------
    maps : EmbeddingMaps
        Maps of one image.
    settings : PredictionConfig
        Thresholds and what else :func:`cluster` takes; the settings of the network are not looked at.
    should_stop : callable, optional
        Looked at several times a second.

    Returns
    -------
    ClusterResult
        An instance wholly overwritten by later ones is dropped.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    task = _prepare(with_margins(maps, settings.margin_scale), settings)
    is_small_enough, result = task.maps.seed_map.size < MOST_PIXELS, None
    if not (is_small_enough and KERNEL.is_ready()):
        result = _cluster_plainly(task, should_stop, _ready_in_time() if is_small_enough else None)
    if result is None:
        result = _cluster_compiled(task, KERNEL.ready(), should_stop)
    return _tidied(result, settings, should_stop)


def _ready_in_time() -> Callable[[], bool]:
    """Tells whether the compiled loop can be used by now; one that is missed for long begins to be imported."""
    last = time.monotonic()

    def ask() -> bool:
        nonlocal last
        now = time.monotonic()
        KERNEL.do_without(now - last)
        last = now
        return KERNEL.is_ready()

    return ask


def _tidied(found: ClusterResult, settings: PredictionConfig, should_stop: Callable[[], bool] | None) -> ClusterResult:
    """What the settings leave of a result, numbered 1..n in the same order."""
    if settings.fill_holes and len(found.scores):
        tidying.fill_holes(found.labels, lambda: _ask(should_stop))
    n = len(found.scores)
    is_kept = ~tidying.unwanted(found.labels, n, settings.max_object_size, settings.drop_border_objects)
    if is_kept.all():
        return found
    number = np.zeros(n + 1, np.int32)
    number[1:][is_kept] = np.arange(1, np.count_nonzero(is_kept) + 1)
    n_left_out = n - int(np.count_nonzero(is_kept))
    return ClusterResult(number[found.labels], found.centers[is_kept], found.scores[is_kept], n_left_out)


def with_margins(maps: EmbeddingMaps, scale: float) -> EmbeddingMaps:
    """The maps with margins so many times as wide."""
    return maps if scale == 1 else replace(maps, margins=maps.margins * np.float32(scale))


def _prepare(maps: EmbeddingMaps, settings: PredictionConfig) -> _Task:
    is_greedy, seed_threshold = settings.seeds == "greedy", np.float32(settings.seed_threshold)
    foreground_threshold = np.float32(settings.foreground_threshold)
    seed_map = maps.seed_map.ravel().astype(np.float32, copy=False)
    foreground = np.flatnonzero(seed_map > foreground_threshold)
    if is_greedy:
        seediness = seed_map[foreground]
        # There are at most as many as pixels that 32 bits count.
        lowest = np.float32(settings.seed_threshold - settings.faint_seeds)
        rows: NDArray[Any] = np.flatnonzero(seediness >= lowest).astype(np.uint32)
        seediness = seediness[rows]
    else:
        peaks = _local_maxima(maps.seed_map)
        rows = np.searchsorted(foreground, peaks[seed_map[peaks] > foreground_threshold]).astype(np.uint32)
        seediness = seed_map[foreground[rows]]
    seeds = rows[_falling(seediness)]
    n_bright = int(np.count_nonzero(seediness >= seed_threshold)) if is_greedy else len(seeds)
    return _Task(maps, foreground, seeds[:n_bright], seeds[n_bright:], settings.min_object_size, is_greedy)


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

    smooth = gaussian_filter(seed_map, 1.0 if seed_map.ndim == 2 else (1.0, 2.0, 2.0))
    peaks = peak_local_max(smooth, min_distance=1)
    return np.sort(np.ravel_multi_index(tuple(peaks.T), seed_map.shape))


def _cluster_plainly(
    task: _Task, should_stop: Callable[[], bool] | None, is_faster_ready: Callable[[], bool] | None = None
) -> ClusterResult | None:
    """The method in NumPy; None if a faster one became ready on the way."""
    maps, foreground = task.maps, task.foreground
    n, ndim = len(foreground), maps.ndim
    at = np.unravel_index(foreground, maps.seed_map.shape)
    points = np.stack([(at[a] + maps.offsets[a].ravel()[foreground]).astype(np.float32) for a in range(ndim)])
    # Only pixels that point to about the seed's height need to be looked at.
    by_height = np.argsort(points[-2], kind="stable")
    heights = points[-2, by_height].astype(np.float64)
    labels = np.zeros(n, np.int32)
    is_unclustered = np.ones(n, bool)
    accepted: list[int] = []
    n_bright = 0
    for position, seed in enumerate(np.concatenate([task.seeds, task.faint])):
        is_faint = position >= len(task.seeds)
        if position == len(task.seeds):
            n_bright, is_unclustered = len(accepted), labels == 0
        if task.is_greedy and not is_unclustered[seed]:
            continue
        if is_faster_ready is not None and is_faster_ready():
            return None
        _ask(should_stop)
        is_unclustered[seed] = False
        center = points[:, seed].astype(np.float64)
        margins = np.maximum(maps.margins.reshape(ndim, -1)[:, foreground[seed]].astype(np.float64), LEAST_MARGIN)
        if not np.isfinite(center).all() or np.isnan(margins).any():
            continue
        reach = margins[-2] * (1 + 1e-9) + 1e-9
        near = by_height[slice(*np.searchsorted(heights, (center[-2] - reach, center[-2] + reach)))]
        scaled = (points[:, near] - center[:, None]) * (1.0 / margins)[:, None]
        proposal = near[(scaled**2).sum(0) < 1.0]
        n_fresh = int(np.count_nonzero(is_unclustered[proposal]))
        too_many = np.ceil(n_fresh / (FAINT_SHARE if is_faint else SHARE))
        n_own = n_fresh if is_faint else len(proposal)
        is_accepted = n_own > task.min_object_size and len(proposal) < too_many
        if is_accepted:
            accepted.append(int(seed))
            labels[proposal[labels[proposal] == 0] if is_faint else proposal] = len(accepted)
        if is_accepted or task.is_greedy:
            is_unclustered[proposal] = False
    if len(task.faint):
        _drop_remains(labels, foreground, n_bright, maps.seed_map.shape)
    is_kept = np.bincount(labels, minlength=len(accepted) + 1) > 0
    is_kept[0] = False
    number = (np.cumsum(is_kept) * is_kept).astype(np.int32)
    image = np.zeros(maps.seed_map.size, np.int32)
    image[foreground] = number[labels]
    kept = np.array(accepted, np.int64)[is_kept[1:]]
    return ClusterResult(
        image.reshape(maps.seed_map.shape),
        np.ascontiguousarray(points[:, kept].T),
        maps.seed_map.ravel()[foreground[kept]],
    )


def _cluster_compiled(task: _Task, kernel: Any, should_stop: Callable[[], bool] | None) -> ClusterResult:
    maps, ndim = task.maps, task.maps.ndim
    shape = maps.seed_map.shape
    foreground = task.foreground.astype(np.uint32)
    n = len(foreground)
    points, limits = np.empty((ndim, n), np.float32), np.empty((2, ndim))
    n_finite = kernel.embed(foreground, _flat(maps.offsets), shape[-2], shape[-1], points, limits)
    _ask(should_stop)

    # Sort the pixels along a curve through their embeddings, and build the tree over them.
    shift = max(1, (n - 1).bit_length())
    low, scale, tables = _curve(limits, shape, 63 - shift)
    keys = np.empty(n, np.uint64)
    kernel.encode(points, low, scale, *tables, shift, keys)
    kernel.sort(keys, np.empty(n, np.uint64), shift)
    _ask(should_stop)
    placed = np.empty((-(-n // kernel.LEAF), ndim, kernel.LEAF), np.float32)
    pixel_of, slot_of = np.empty(n, np.uint32), np.empty(n, np.uint32)
    kernel.place(keys, shift, points, foreground, placed, pixel_of, slot_of)
    del keys, points, foreground
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
            n_bright = n_accepted
            kernel.release(labels, n_finite, sizes, alive, is_unclustered)
        position = 0
        while position < len(seeds):
            _ask(should_stop)
            position, n_accepted = kernel.claim(
                seeds, position, slot_of, pixel_of, placed, n_finite, margins, boxes, sizes,
                alive, is_unclustered, labels, accepted, n_accepted, task.min_object_size, task.is_greedy,
                FAINT_SHARE if is_faint else SHARE, not is_faint, CHUNK_WORK,
            )  # fmt: skip
    if len(task.faint):
        _drop_remains(labels, pixel_of, n_bright, shape)
    number, image = np.zeros(n_accepted + 1, np.int32), np.zeros(maps.seed_map.size, np.int32)
    kernel.paint(labels, pixel_of, number, image)
    slots = slot_of[accepted[:n_accepted][number[1:] > 0]]
    centers = placed[slots // kernel.LEAF, :, slots % kernel.LEAF]
    return ClusterResult(image.reshape(shape), centers, maps.seed_map.ravel()[pixel_of[slots]])


def _drop_remains(labels: NDArray[np.int32], pixels: NDArray[Any], n_bright: int, shape: tuple[int, ...]) -> None:
    """Take the labels above `n_bright` from objects that are small for this image, unless its border cuts them."""
    sizes = np.bincount(labels, minlength=n_bright + 1)
    bright = sizes[1 : n_bright + 1]
    least = FAINT_SIZE * float(np.median(bright[bright > 0])) if bright.any() else 0.0
    is_small = sizes < least
    is_small[: n_bright + 1] = False
    rows = np.flatnonzero(labels > n_bright)
    at = np.stack(np.unravel_index(pixels[rows], shape), 1)
    is_border = ((at == 0) | (at == np.array(shape) - 1)).any(1)
    is_small[labels[rows[is_border]]] = False
    labels[is_small[labels]] = 0


def _ask(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Stopped("Clustering was stopped.")


def _flat(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map (axes, *spatial) as (axes, pixels) without a copy where that is possible."""
    return np.ascontiguousarray(maps.reshape(len(maps), -1), dtype=np.float32)


def _curve(
    limits: NDArray[np.float64], shape: tuple[int, ...], most_bits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.uint64]]]:
    """Steps per axis (z, y, x) and the bits that each step contributes to the place along the curve.

    Steps are an eighth of a pixel where the number of bits allows it. The few pixels that point far outside the image
    share its border, so that they do not make the steps coarse for all others.
    """
    sides = np.array(shape, float)
    low = np.clip(limits[0], -sides, 2 * sides)
    extent = np.maximum(np.clip(limits[1], -sides, 2 * sides) - low, 0.0)
    bits = np.ceil(np.log2(extent * 8 + 1)).astype(np.int64)
    while bits.sum() > most_bits:
        bits[np.argmax(bits)] -= 1
    scale = (2.0**bits - 1) / np.maximum(extent, 1e-6)
    tables = [np.zeros(1 << int(b), np.uint64) for b in bits]
    bit_of_place = 0
    for bit in range(int(bits.max())):
        for axis in reversed(range(len(shape))):
            if bit < bits[axis]:
                step = np.arange(len(tables[axis]), dtype=np.uint64)
                tables[axis] |= ((step >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit_of_place)
                bit_of_place += 1
    if len(shape) == 2:
        tables.insert(0, np.zeros(1, np.uint64))
    return low, scale, tables


def warm_up(wait: bool = False, n_pixels: int = WORTHWHILE_PIXELS) -> None:
    """Start compiling the inner loop in the background, so that it is ready when the network has done its part.

    Parameters
    ----------
    wait : bool
        Return only when it is ready.
    n_pixels : int
        What is going to be clustered; for little it is not worth while.
    """
    if wait:
        KERNEL.wait()
    elif n_pixels >= WORTHWHILE_PIXELS:
        KERNEL.warm_up()
