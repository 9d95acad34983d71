"""Greedy clustering of embeddings into instances (Neven et al. 2019; Lalit et al. 2021), exact and in linear time.

Two implementations give the same labels: a compiled one whose time grows with the foreground, and one in plain NumPy
that reads like the method. The second answers while the first is still being compiled on a fresh installation, and
where numba is missing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedseg_napari.core.errors import Stopped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.maps import EmbeddingMaps

logger = logging.getLogger(__name__)

SeedKind = Literal["greedy", "local_maxima"]
CHUNK_WORK = 30_000_000
"""Pixels looked at between two questions whether to stop: some tenths of a second."""


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """Instances found in the maps of one image."""

    labels: NDArray[np.int32]
    """((Z,) Y, X) ids 1..n in order of acceptance, 0 is background."""
    centers: NDArray[np.float32]
    """(n, ndim) where each instance's seed points, in pixels (z, y, x)."""
    scores: NDArray[np.float32]
    """(n,) seediness of the seeds."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Foreground pixels, in array order, and the seeds to try among them."""

    points: NDArray[np.float32]
    """(n, 3) embeddings in pixels (z, y, x), z = 0 in 2D."""
    seeds: NDArray[np.int64]
    """(m,) rows of `points`, in the order to try them."""
    inverse_margins: NDArray[np.float64]
    """(m, 3) one over the margins at the seeds."""
    min_object_size: int
    is_greedy: bool


def cluster(
    maps: EmbeddingMaps,
    seed_threshold: float = 0.9,
    foreground_threshold: float = 0.5,
    min_object_size: int = 0,
    seeds: SeedKind = "greedy",
) -> NDArray[np.int32]:
    """Return the label image of the maps; see :func:`cluster_full`."""
    return cluster_full(maps, seed_threshold, foreground_threshold, min_object_size, seeds).labels


def cluster_full(
    maps: EmbeddingMaps,
    seed_threshold: float = 0.9,
    foreground_threshold: float = 0.5,
    min_object_size: int = 0,
    seeds: SeedKind = "greedy",
    should_stop: Callable[[], bool] | None = None,
) -> ClusterResult:
    """Collect instances from offsets, margins and seed map.

    Seeds are tried by falling seediness. A seed proposes all foreground pixels whose embedding lies inside the ellipse
    of its margins around its own embedding; the proposal is accepted if it has more than `min_object_size` pixels and
    more than half of them were unclustered (the seed itself no longer counts as such).

    Parameters
    ----------
    maps : EmbeddingMaps
        Maps of one image.
    seed_threshold : float
        Lowest seediness of a seed, included. Greedy seeds only.
    foreground_threshold : float
        Pixels with a seediness above this are foreground.
    min_object_size : int
        Instances need more pixels than this.
    seeds : {"greedy", "local_maxima"}
        Any unclustered pixel, or the local maxima of the smoothed seed map.
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
    foreground = np.flatnonzero(maps.seed_map.ravel() > foreground_threshold)
    task = _prepare(maps, foreground, seed_threshold, foreground_threshold, min_object_size, seeds)
    kernel = _Kernel.ready()
    if kernel is not None:
        labels, accepted = _cluster_compiled(task, kernel, should_stop)
    else:
        outcome = _cluster_plainly(task, should_stop, _Kernel.is_ready)
        if outcome is None:
            compiled = _Kernel.ready()
            assert compiled is not None
            outcome = _cluster_compiled(task, compiled, should_stop)
        labels, accepted = outcome
    return _collect(maps, foreground, task, labels, accepted)


def _prepare(
    maps: EmbeddingMaps,
    foreground: NDArray[np.int64],
    seed_threshold: float,
    foreground_threshold: float,
    min_object_size: int,
    kind: SeedKind,
) -> _Task:
    shape, ndim = maps.seed_map.shape, maps.ndim
    points = np.zeros((len(foreground), 3), np.float32)
    for axis, at in enumerate(np.unravel_index(foreground, shape)):
        points[:, 3 - ndim + axis] = at + maps.offsets[axis].ravel()[foreground]
    np.nan_to_num(points, copy=False, nan=-1e6, posinf=1e6, neginf=-1e6)
    seediness = maps.seed_map.ravel()[foreground]
    if kind == "local_maxima":
        rows = _local_maxima(maps.seed_map, foreground, foreground_threshold)
    else:
        rows = np.flatnonzero(seediness >= np.float32(seed_threshold))
    order = rows[_falling(seediness[rows])]
    inverse = np.zeros((len(order), 3))
    for axis in range(ndim):
        margins = maps.margins[axis].ravel()[foreground[order]].astype(np.float64)
        inverse[:, 3 - ndim + axis] = 1.0 / np.maximum(margins, 1e-12)
    # An axis that 2D images lack has no bandwidth to speak of; any finite one serves, all differences being 0.
    inverse[:, : 3 - ndim] = 1.0
    return _Task(points, order, inverse, min_object_size, kind == "greedy")


def _falling(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order by falling value; ties in array order."""
    # The bits of non-negative floats sort like the floats; value and place in one integer take one fast sort.
    bits = values.view(np.uint32).astype(np.uint64)
    keys = ((np.uint64(0xFFFFFFFF) - bits) << np.uint64(32)) | np.arange(len(values), dtype=np.uint64)
    return (np.sort(keys) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _local_maxima(
    seed_map: NDArray[np.float32], foreground: NDArray[np.int64], foreground_threshold: float
) -> NDArray[np.int64]:
    """Rows of `foreground` at local maxima of the smoothed seed map."""
    from scipy.ndimage import gaussian_filter
    from skimage.feature import peak_local_max

    smooth = gaussian_filter(seed_map, 1.0 if seed_map.ndim == 2 else (1.0, 2.0, 2.0))
    peaks = peak_local_max(smooth, min_distance=1)
    flat = np.sort(np.ravel_multi_index(tuple(peaks.T), seed_map.shape)) if len(peaks) else np.zeros(0, np.int64)
    flat = flat[seed_map.ravel()[flat] > foreground_threshold]
    return np.searchsorted(foreground, flat)


def _cluster_plainly(
    task: _Task, should_stop: Callable[[], bool] | None, give_up: Callable[[], bool]
) -> tuple[NDArray[np.int32], NDArray[np.int64]] | None:
    """The method in NumPy; None if `give_up` said on the way that there is a faster one."""
    n = len(task.points)
    labels = np.zeros(n, np.int32)
    unclustered = np.ones(n, bool)
    points = task.points.astype(np.float64)
    accepted: list[int] = []
    for position, seed in enumerate(task.seeds):
        if task.is_greedy and not unclustered[seed]:
            continue
        if give_up():
            return None
        if should_stop is not None and should_stop():
            raise Stopped("Clustering was stopped.")
        unclustered[seed] = False
        inside = np.zeros(n)
        for axis in range(3):
            inside += ((points[:, axis] - points[seed, axis]) * task.inverse_margins[position, axis]) ** 2
        proposal = np.flatnonzero(inside < 1.0)
        fresh = int(np.count_nonzero(unclustered[proposal]))
        is_accepted = len(proposal) > task.min_object_size and 2 * fresh > len(proposal)
        if is_accepted:
            accepted.append(int(seed))
            labels[proposal] = len(accepted)
        if is_accepted or task.is_greedy:
            unclustered[proposal] = False
    return labels, np.array(accepted, np.int64)


def _cluster_compiled(
    task: _Task, kernel: Any, should_stop: Callable[[], bool] | None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    n = len(task.points)
    labels = np.zeros(n, np.int32)
    accepted = np.zeros(len(task.seeds), np.int64)
    if n == 0 or len(task.seeds) == 0:
        return labels, accepted[:0]
    low, inverse_cell, counts = _cells(task)
    cell_of = np.empty(n, np.int32)
    start = np.zeros(int(counts.prod()) + 1, np.int64)
    slot_of, at_slot = np.empty(n, np.int32), np.empty(n, np.int32)
    kernel.build_cells(task.points, low, inverse_cell, counts, cell_of, start, slot_of, at_slot)
    alive = np.diff(start)
    at_point = task.points[at_slot]
    position = n_accepted = 0
    while position < len(task.seeds):
        if should_stop is not None and should_stop():
            raise Stopped("Clustering was stopped.")
        position, n_accepted = kernel.claim_seeds(
            task.seeds, position, task.inverse_margins, task.points, low, inverse_cell, counts, cell_of, start, alive,
            slot_of, at_slot, at_point, labels, accepted, n_accepted, task.min_object_size, task.is_greedy, CHUNK_WORK,
        )  # fmt: skip
    return labels, accepted[:n_accepted]


def _cells(task: _Task) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Lower corner, one over the cell size, and number of cells per axis.

    Cells are about as large as the smaller margins, so that an ellipse covers few of them and little beside itself,
    but not so many that most are empty.
    """
    low = task.points.min(0).astype(np.float64)
    extent = np.maximum(task.points.max(0) - low, 0.0)
    size = np.empty(3)
    for axis in range(3):
        sample = task.inverse_margins[:: max(1, len(task.seeds) // 10_000), axis]
        size[axis] = 0.8 / np.quantile(sample, 0.9)
    most = max(4096, len(task.points) // 2)
    size = np.maximum(size, np.maximum(extent, 1e-9) / most)
    counts = np.floor(extent / size) + 1
    while counts.prod() > most:
        size[counts > 1] *= 1.25
        counts = np.floor(extent / size) + 1
    return low, 1.0 / size, counts.astype(np.int64)


def _collect(
    maps: EmbeddingMaps,
    foreground: NDArray[np.int64],
    task: _Task,
    labels: NDArray[np.int32],
    accepted: NDArray[np.int64],
) -> ClusterResult:
    """Number the instances that still own a pixel 1..n, and put them on the image."""
    kept = np.bincount(labels, minlength=len(accepted) + 1)[1:] > 0
    number = np.zeros(len(accepted) + 1, np.int32)
    number[1:][kept] = np.arange(1, int(kept.sum()) + 1)
    image = np.zeros(maps.seed_map.size, np.int32)
    image[foreground] = number[labels]
    rows = accepted[kept]
    centers = task.points[rows][:, 3 - maps.ndim :]
    return ClusterResult(image.reshape(maps.seed_map.shape), centers, maps.seed_map.ravel()[foreground[rows]])


class _Kernel:
    """The compiled module, loaded and compiled once, in the background."""

    _lock = threading.Lock()
    _thread: threading.Thread | None = None
    _module: Any = None

    @classmethod
    def warm_up(cls) -> None:
        with cls._lock:
            if cls._thread is None and cls._module is None:
                cls._thread = threading.Thread(target=cls._load, name="compile-clustering", daemon=True)
                cls._thread.start()

    @classmethod
    def is_ready(cls) -> bool:
        return cls._module is not None

    @classmethod
    def ready(cls) -> Any:
        """The module, or None if it is still being compiled or cannot be had."""
        cls.warm_up()
        return cls._module

    @classmethod
    def wait(cls) -> None:
        cls.warm_up()
        if cls._thread is not None:
            cls._thread.join()

    @classmethod
    def _load(cls) -> None:
        try:
            from embedseg_napari.core.inference import clustering_kernel as kernel

            # A real call on a few pixels compiles for the types that images will come with, or reads the cache.
            points = np.zeros((3, 3), np.float32)
            task = _Task(points, np.arange(3), np.ones((3, 3)), 0, True)
            _cluster_compiled(task, kernel, None)
        except ImportError as error:
            logger.info("numba cannot be used (%s); clustering runs in NumPy, which is slower.", error)
        else:
            cls._module = kernel


def warm_up(wait: bool = False) -> None:
    """Start compiling the inner loop in the background, so that it is ready when the network has done its part.

    Parameters
    ----------
    wait : bool
        Return only when it is ready.
    """
    if wait:
        _Kernel.wait()
    else:
        _Kernel.warm_up()
