"""Which object of a frame is which of the frames before: an assignment of least cost, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from embedseg_napari.core.tracking.drift import drift, overlapping
from embedseg_napari.core.tracking.objects import overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.tracking.objects import FrameObjects

REACH = 3.0
"""How far an object is looked for in the next frame, in radii of the larger of the two."""
LIMIT = 4.0
"""Cost from which an object rather ends than becomes another: about its reach."""
SIZE = 0.5
"""What a change of size by a factor of e costs, by what a move of a radius costs."""
WAITING = 0.5
"""What each frame costs in which an object is not seen."""
DIVISION = 2.0
"""Cost up to which a new object and one that is there already are daughters of one mother."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Objects that may go on: of the frame before, and of earlier ones from which none went on since."""

    nodes: NDArray[np.int64]
    places: NDArray[np.float64]
    sizes: NDArray[np.float64]
    waited: NDArray[np.int64]
    """Frames in which each was not seen."""

    def of(self, rows: NDArray[Any]) -> _Known:
        return _Known(self.nodes[rows], self.places[rows], self.sizes[rows], self.waited[rows])


class Linker:
    """Takes frames one after another, and says of each object from which earlier one it comes.

    Parameters
    ----------
    step : ndarray of float, shape (ndim,)
        Size of a pixel along (z, y, x), in any unit.
    max_distance : float, optional
        How far an object moves from frame to frame at most, in that unit; by default three times its radius, and
        further where the two overlap.
    max_gap : int
        Frames in which an object may be missing.
    divisions : bool
        Whether objects divide.
    """

    def __init__(
        self, step: NDArray[np.float64], max_distance: float | None, max_gap: int, divisions: bool
    ) -> None:
        self._step, self._max_distance, self._max_gap, self._divisions = step, max_distance, max_gap, divisions
        ndim = len(step)
        self._known = _Known(np.zeros(0, np.int64), np.zeros((0, ndim)), np.zeros(0), np.zeros(0, np.int64))
        self._frame: NDArray[Any] | None = None
        self._ids = np.zeros(0, np.int64)
        self._n = 0

    def add(self, labels: NDArray[Any], objects: FrameObjects) -> NDArray[np.int64]:
        """Take the next frame.

        Parameters
        ----------
        labels : ndarray of int, shape ((Z,) Y, X)
            Its labels.
        objects : FrameObjects
            What is known of its objects.

        Returns
        -------
        ndarray of int, shape (n,)
            For each of its objects the earlier one that it comes from, counted over all frames; -1 for none.
        """
        known, n = self._known, len(objects.ids)
        if self._frame is not None:
            shift = drift(self._frame, labels)
            known = replace(known, places=known.places + shift * self._step)
        places, sizes = objects.centroids * self._step, objects.sizes * float(np.prod(self._step))
        shared = np.zeros((0, 3), np.int64)
        if self._frame is not None:
            there, here = overlapping(shift)
            shared = np.stack(overlaps(self._frame[there], labels[here], self._ids, objects.ids), axis=1)
        pairs = self._candidates(known, places, sizes, shared, objects.sizes)
        row, column = _assigned(*pairs, len(known.nodes), n)
        parents = np.full(n, -1, np.int64)
        parents[column] = known.nodes[row]
        if self._divisions:
            self._divide(parents, known, places, sizes, row, column, shared)
        ended = np.setdiff1d(np.flatnonzero(known.waited < self._max_gap), row)
        waiting = known.of(ended)
        self._known = _Known(
            np.concatenate([self._n + np.arange(n), waiting.nodes]),
            np.concatenate([places, waiting.places]),
            np.concatenate([sizes, waiting.sizes]),
            np.concatenate([np.zeros(n, np.int64), waiting.waited + 1]),
        )
        self._frame, self._ids = labels, objects.ids
        self._n += n
        return parents

    def _candidates(self, known, places, sizes, shared, pixels):
        """Pairs of what is known and what is there now, and what each costs."""
        n_known, n = len(known.nodes), len(places)
        if not n_known or not n:
            none = np.zeros(0, np.int64)
            return none, none, np.zeros(0)
        radius, now = _radius(known.sizes, len(self._step)), _radius(sizes, len(self._step))
        reach = REACH * (1 + known.waited / 2) * radius if self._max_distance is None else np.full(n_known, self._max_distance) * (1 + known.waited / 2)
        near = KDTree(places).query_ball_point(known.places, reach, return_sorted=False)
        row = np.repeat(np.arange(n_known), [len(one) for one in near])
        column = np.fromiter((j for one in near for j in one), np.int64, len(row))
        keys = np.unique(np.concatenate([row * n + column, shared[:, 0] * n + shared[:, 1]]))
        row, column = np.divmod(keys, n)
        common = np.zeros(len(keys))
        common[np.searchsorted(keys, shared[:, 0] * n + shared[:, 1])] = shared[:, 2]
        volume = float(np.prod(self._step))
        union = known.sizes[row] + sizes[column] - common * volume
        away = np.linalg.norm(known.places[row] - places[column], axis=1) / np.maximum(radius[row], now[column])
        grown = np.abs(np.log(sizes[column] / known.sizes[row]))
        cost = away + (1 - common * volume / union) + SIZE * grown + WAITING * known.waited[row]
        return row, column, cost

    def _divide(self, parents, known, places, sizes, row, column, shared) -> None:
        """Give what came from nowhere to an object of the frame before that already became another, as its second daughter."""
        born = np.flatnonzero(parents < 0)
        # Only what was seen in the frame before divides.
        is_fresh = known.waited[row] == 0
        row, column = row[is_fresh], column[is_fresh]
        if not len(born) or not len(row):
            return
        radius = _radius(known.sizes[row], len(self._step))
        reach = REACH * radius if self._max_distance is None else np.full(len(row), self._max_distance)
        near = KDTree(places[born]).query_ball_point(known.places[row], reach)
        mother = np.repeat(np.arange(len(row)), [len(one) for one in near])
        new = np.fromiter((j for one in near for j in one), np.int64, len(mother))
        if not len(mother):
            return
        i, k, j = row[mother], column[mother], born[new]
        both = sizes[k] + sizes[j]
        middle = (sizes[k, None] * places[k] + sizes[j, None] * places[j]) / both[:, None]
        away = np.linalg.norm(middle - known.places[i], axis=1) / radius[mother]
        cost = away + np.abs(np.log(both / known.sizes[i])) + np.abs(np.log(sizes[k] / sizes[j]))
        is_likely = cost < DIVISION
        a, b = _assigned(mother[is_likely], new[is_likely], cost[is_likely], len(row), len(born), DIVISION)
        parents[born[b]] = known.nodes[row[a]]


def _radius(sizes: NDArray[Any], ndim: int) -> NDArray[np.float64]:
    """Of a disc or ball of the same size."""
    radius: NDArray[np.float64] = np.sqrt(sizes / np.pi) if ndim == 2 else np.cbrt(sizes * 3 / (4 * np.pi))
    return radius


def _assigned(row, column, cost, n_rows: int, n_columns: int, limit: float = LIMIT):
    """Pairs of least cost in all, each row and column in one at most; a row without a partner costs `limit`."""
    is_worth = cost < limit
    row, column, cost = row[is_worth], column[is_worth], cost[is_worth]
    if not len(row):
        none = np.zeros(0, np.int64)
        return none, none
    used, row = np.unique(row, return_inverse=True)
    n = len(used)
    # Each row has a column of its own that stands for no partner. A cost of 0 would be no entry.
    graph = csr_array(
        coo_array(
            (
                np.concatenate([cost, np.full(n, limit)]) + 1,
                (np.concatenate([row, np.arange(n)]), np.concatenate([column, n_columns + np.arange(n)])),
            ),
            shape=(n, n_columns + n),
        )
    )
    first, second = min_weight_full_bipartite_matching(graph)
    is_pair = second < n_columns
    return used[first[is_pair]], second[is_pair].astype(np.int64)
