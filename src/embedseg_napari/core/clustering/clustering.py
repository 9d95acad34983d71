"""Greedy clustering of embeddings into instances (Neven et al. 2019; Lalit et al. 2021), exact and in linear time.

Two implementations give the same labels: a compiled one whose time grows with the foreground, and one in plain NumPy
that reads like the method. The second answers while the first is still being compiled on a fresh installation, and
where numba is missing.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from embedseg_napari.core.clustering import tidying
from embedseg_napari.core.clustering.compiled import cluster_compiled
from embedseg_napari.core.clustering.in_numpy import cluster_in_numpy
from embedseg_napari.core.clustering.task import ClusterResult, ask, prepare
from embedseg_napari.core.compiled.background_import import CompiledModule
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import EmbedSegWarning
from embedseg_napari.core.maps import EmbeddingMaps, missing_words
from embedseg_napari.core.scripts import warn
from embedseg_napari.core.settings import require_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.maps import ForegroundMaps


WORTHWHILE_PIXELS = 1 << 19
"""Images of fewer pixels are usually clustered in NumPy before the compiled loop is imported, which takes 0.6 s."""
KERNEL = CompiledModule("embedseg_napari.core.clustering.kernel", "clustering runs in NumPy, which is slower")
SeedKind = Literal["greedy", "local_maxima"]
MOST_PIXELS = 2**32
"""The compiled implementation counts pixels in 32 bits."""


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
    maps: EmbeddingMaps | ForegroundMaps,
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
    maps : EmbeddingMaps or ForegroundMaps
        Maps of one image; those of its foreground alone suffice for greedy seeds.
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
    return _tidied(claim(maps, settings, should_stop), settings, should_stop)


def claim(
    maps: EmbeddingMaps | ForegroundMaps,
    settings: PredictionConfig,
    should_stop: Callable[[], bool] | None = None,
    *,
    keeps_remains: bool = False,
) -> ClusterResult:
    """Collect instances as :func:`cluster_by` does, before holes are filled and objects left out.

    Parameters
    ----------
    maps, settings, should_stop
        As there.
    keeps_remains : bool
        Whether objects that start faintly are kept whatever their size, for what is usual is not known yet.
    """
    task = prepare(maps, settings, keeps_remains=keeps_remains)
    is_small_enough, result = math.prod(task.maps.shape) < MOST_PIXELS, None
    if not (is_small_enough and KERNEL.is_ready()):
        result = cluster_in_numpy(task, should_stop, _ready_in_time() if is_small_enough else None)
    if result is None:
        result = cluster_compiled(task, KERNEL.ready(), should_stop)
    return result


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
        tidying.fill_holes(found.labels, lambda: ask(should_stop))
    n = len(found.scores)
    is_kept = ~tidying.unwanted(found.labels, n, settings.max_object_size, settings.drop_border_objects)
    if is_kept.all():
        return found
    number = np.zeros(n + 1, np.int32)
    number[1:][is_kept] = np.arange(1, np.count_nonzero(is_kept) + 1)
    n_left_out = n - int(np.count_nonzero(is_kept))
    return ClusterResult(
        number[found.labels],
        found.centers[is_kept],
        found.scores[is_kept],
        n_left_out,
        found.seeds[is_kept],
        int(np.count_nonzero(is_kept[: found.n_bright])),
    )


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
