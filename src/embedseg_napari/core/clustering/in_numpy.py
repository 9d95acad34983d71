"""Clustering in NumPy, which reads like the method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.clustering.proposals import Proposals
from embedseg_napari.core.clustering.task import FAINT_SHARE, SHARE, ClusterResult, ask, drop_remains

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.clustering.task import ClusterTask


def cluster_in_numpy(
    task: ClusterTask, should_stop: Callable[[], bool] | None, is_faster_ready: Callable[[], bool] | None = None
) -> ClusterResult | None:
    """The method in NumPy; None if a faster one became ready on the way."""
    maps, foreground = task.maps, task.foreground
    n, proposals = len(foreground), Proposals(maps, foreground, task.at, task.margin_scale)
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
        ask(should_stop)
        is_unclustered[seed] = False
        proposal = proposals.of(seed)
        if proposal is None:
            continue
        n_fresh = int(np.count_nonzero(is_unclustered[proposal]))
        too_many = np.ceil(n_fresh / (FAINT_SHARE if is_faint else SHARE))
        n_own = n_fresh if is_faint else len(proposal)
        is_accepted = n_own > task.min_object_size and len(proposal) < too_many
        if is_accepted:
            accepted.append(int(seed))
            labels[proposal[labels[proposal] == 0] if is_faint else proposal] = len(accepted)
        if is_accepted or task.is_greedy:
            is_unclustered[proposal] = False
    if not len(task.faint):
        n_bright = len(accepted)
    elif not task.keeps_remains:
        drop_remains(labels, foreground, n_bright, maps.shape)
    is_kept = np.bincount(labels, minlength=len(accepted) + 1) > 0
    is_kept[0] = False
    number = (np.cumsum(is_kept) * is_kept).astype(np.int32)
    image = np.zeros(math.prod(maps.shape), np.int32)
    image[foreground] = number[labels]
    kept = np.array(accepted, np.int64)[is_kept[1:]]
    return ClusterResult(
        image.reshape(maps.shape),
        np.ascontiguousarray(proposals.points[:, kept].T),
        maps.seed_map.ravel()[task.at[kept]],
        seeds=foreground[kept].astype(np.int64),
        n_bright=int(np.count_nonzero(is_kept[1 : n_bright + 1])),
    )
