"""Movies with known lineages, spoiled as segmentations are, and their true links."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from embedseg_napari.core.data.dividing_cells import unlinked


def spoil(labels: np.ndarray, share: float = 0.05, seed: int = 0) -> np.ndarray:
    """Let some objects be missing, merged with the next one, or split, a third each; numbers are by chance."""
    rng = np.random.default_rng(seed)
    spoiled = labels.copy()
    for frame in spoiled:
        ids = np.unique(frame[frame > 0])
        middles = np.array([np.argwhere(frame == number).mean(0) for number in ids])
        for row in np.flatnonzero(rng.random(len(ids)) < share):
            is_own = frame == ids[row]
            kind = rng.integers(3)
            if kind == 0:
                frame[is_own] = 0
            elif kind == 1:
                frame[is_own] = ids[KDTree(middles).query(middles[row], 2)[1][1]]
            elif is_own.any():
                points = np.argwhere(is_own)
                side = (points - points.mean(0)) @ rng.normal(size=frame.ndim) > 0
                frame[tuple(points[side].T)] = frame.max() + labels.max() + 1
    return unlinked(spoiled, seed)


def true_links(labels: np.ndarray, parents: dict[int, int]) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    """Links between objects, each given by frame and number; a number stays, a daughter has another one."""
    links = set()
    last: dict[int, tuple[int, int]] = {}
    for t, frame in enumerate(labels):
        ids = np.unique(frame[frame > 0]).tolist()
        for number in ids:
            before = last.get(number, last.get(parents.get(number, 0)))
            if before is not None:
                links.add((before, (t, number)))
        last |= {number: (t, number) for number in ids}
    return links
