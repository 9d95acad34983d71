"""Which object of a frame is which of the frames before: an assignment of least cost, frame by frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from embedseg_napari.core.tracking.drift import drift, overlapping
from embedseg_napari.core.tracking.objects import overlaps

if TYPE_CHECKING:
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
class _Seen:
    """Objects that may go on: of the frame before, and of earlier ones from which none went on since."""

    nodes: NDArray[np.int64]
    """Counted over all frames."""
    places: NDArray[np.float64]
    sizes: NDArray[np.float64]
    waited: NDArray[np.int64]
    """Frames in which each was not seen."""

    @property
    def radii(self) -> NDArray[np.float64]:
        """Of discs or balls of these sizes."""
        radii: NDArray[np.float64] = (
            np.sqrt(self.sizes / np.pi) if self.places.shape[1] == 2 else np.cbrt(self.sizes * 3 / (4 * np.pi))
        )
        return radii

    def of(self, rows: NDArray[Any]) -> _Seen:
        """Some of them."""
        return _Seen(self.nodes[rows], self.places[rows], self.sizes[rows], self.waited[rows])


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of earlier objects (rows) and those of a frame (columns), and what each costs."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    cost: NDArray[np.float64]

    def best(self, limit: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of least cost in all, each row and column in one at most; a row without a partner costs `limit`."""
        is_worth = self.cost < limit
        used, row = np.unique(self.row[is_worth], return_inverse=True)
        columns, column = np.unique(self.column[is_worth], return_inverse=True)
        n, m = len(used), len(columns)
        if not n:
            return used, columns
        # Each row has a column of its own that stands for no partner. A cost of 0 would be no entry.
        costs = np.concatenate([self.cost[is_worth], np.full(n, limit)]) + 1
        places = np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])
        first, second = min_weight_full_bipartite_matching(csr_array((costs, places), shape=(n, m + n)))
        is_pair = second < m
        return used[first[is_pair]], columns[second[is_pair]]


class Linker:
    """Takes frames one after another, and says of each object from which earlier one it comes.

    Parameters
    ----------
    step : ndarray of float, shape (ndim,)
        Size of a pixel along (z, y, x), in any unit.
    max_distance : float, optional
        How far an object moves from frame to frame at most, in that unit; by default three times its radius. Objects
        that overlap are always looked at.
    max_gap : int
        Frames in which an object may be missing.
    divisions : bool
        Whether objects divide.
    """

    def __init__(self, step: NDArray[np.float64], max_distance: float | None, max_gap: int, divisions: bool) -> None:
        self._step, self._volume = step, float(np.prod(step))
        self._max_distance, self._max_gap, self._divisions = max_distance, max_gap, divisions
        none = np.zeros(0, np.int64)
        self._before = _Seen(none, np.zeros((0, len(step))), np.zeros(0), none)
        self._frame: NDArray[Any] | None = None
        self._ids = none
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
        n = len(objects.ids)
        now = _Seen(
            self._n + np.arange(n),
            objects.centroids * self._step,
            (objects.sizes * self._volume).astype(np.float64),
            np.zeros(n, np.int64),
        )
        before, shared = self._before, (np.zeros(0, np.int64),) * 3
        if self._frame is not None:
            shift = drift(self._frame, labels)
            before = replace(before, places=before.places + shift * self._step)
            there, here = overlapping(shift)
            shared = overlaps(self._frame[there], labels[here], self._ids, objects.ids)
        row, column = self._candidates(before, now, *shared).best(LIMIT)
        parents = np.full(n, -1, np.int64)
        parents[column] = before.nodes[row]
        if self._divisions:
            # Only what was seen in the frame before divides.
            is_fresh = before.waited[row] == 0
            daughter, mother = self._daughters(before.of(row[is_fresh]), now.of(column[is_fresh]), now, parents)
            parents[daughter] = mother
        waiting = before.of(np.setdiff1d(np.flatnonzero(before.waited < self._max_gap), row))
        self._before = _Seen(
            np.concatenate([now.nodes, waiting.nodes]),
            np.concatenate([now.places, waiting.places]),
            np.concatenate([now.sizes, waiting.sizes]),
            np.concatenate([now.waited, waiting.waited + 1]),
        )
        self._frame, self._ids = labels, objects.ids
        self._n += n
        return parents

    def _candidates(
        self, before: _Seen, now: _Seen, row: NDArray[np.int64], column: NDArray[np.int64], shared: NDArray[np.int64]
    ) -> _Pairs:
        """What may become what, from the pixels that objects share; those of the frame before come first."""
        n = max(len(now.nodes), 1)
        lapping = row * n + column
        near, there = self._near(before, now)
        keys = np.unique(np.concatenate([near * n + there, lapping]))
        common = np.zeros(len(keys))
        common[np.searchsorted(keys, lapping)] = shared * self._volume
        row, column = np.divmod(keys, n)
        old, new = before.of(row), now.of(column)
        away = np.linalg.norm(old.places - new.places, axis=1) / np.maximum(old.radii, new.radii)
        apart = 1 - common / (old.sizes + new.sizes - common)
        grown = np.abs(np.log(new.sizes / old.sizes))
        return _Pairs(row, column, away + apart + SIZE * grown + WAITING * old.waited)

    def _near(self, before: _Seen, now: _Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs that are within reach; who was not seen for some frames may have gone further."""
        if not len(before.nodes) or not len(now.nodes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        reach = (REACH * before.radii if self._max_distance is None else self._max_distance) * (1 + before.waited / 2)
        found = KDTree(now.places).query_ball_point(before.places, reach, return_sorted=False)
        row = np.repeat(np.arange(len(found)), [len(one) for one in found])
        return row, np.fromiter(itertools.chain.from_iterable(found), np.int64, len(row))

    def _daughters(
        self, mothers: _Seen, known: _Seen, now: _Seen, parents: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Second daughters of objects whose first ones are known, among those that came from nowhere; and the mothers.

        Together the two are as large as the mother and lie where she lay, and they are of one size.
        """
        born = np.flatnonzero(parents < 0)
        mother, new = self._near(mothers, now.of(born))
        old, one, other = mothers.of(mother), known.of(mother), now.of(born[new])
        both = one.sizes + other.sizes
        middle = (one.sizes[:, None] * one.places + other.sizes[:, None] * other.places) / both[:, None]
        away = np.linalg.norm(middle - old.places, axis=1) / old.radii
        unlike = np.abs(np.log(both / old.sizes)) + np.abs(np.log(one.sizes / other.sizes))
        row, column = _Pairs(mother, new, away + unlike).best(DIVISION)
        return born[column], mothers.nodes[row]
