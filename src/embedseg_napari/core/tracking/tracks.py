"""Tracks: which objects of a time-lapse are the same, and which come from a division."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

CHANGED = "The labels changed since they were linked; link them again."
NONE = -1
"""Parent of an object that comes from nowhere."""


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One track: an object from its beginning, or from a division, to its end or the next division."""

    id: int
    first: int
    """Frame in which it begins, from 0."""
    last: int
    """Frame in which it ends, among the track."""
    parent: int
    """Track that divided into it; 0 for none."""


@dataclass(frozen=True)
class Tracks:
    """Objects of all frames, rows in the order of frames and then of numbers, and how they are linked."""

    axes: str
    """Of the labels, T among them."""
    shape: tuple[int, ...]
    """Of the labels."""
    frame: NDArray[np.int64]
    """(n,) from 0."""
    label: NDArray[np.int64]
    """(n,) number of the object in the labels that were linked."""
    centroid: NDArray[np.float64]
    """(n, ndim) mean of the pixels' places (z, y, x), in pixels."""
    size: NDArray[np.int64]
    """(n,) pixels."""
    brightness: NDArray[np.float64]
    """(n, channels) mean of the image; no columns without one."""
    parents: NDArray[np.int64]
    """(n,) row of the object that each comes from, in an earlier frame; -1 for none. Two rows with one parent are
    daughters."""
    track: NDArray[np.int64]
    """(n,) number of the track, from 1."""
    spacing: tuple[float, ...] | None = None
    """Size of a pixel (z, y, x)."""
    unit: str | None = None
    corrections: tuple[dict[str, Any], ...] = field(default=())
    """What was changed by hand, in the order in which it was done."""

    def __len__(self) -> int:
        """Number of objects in all frames."""
        return len(self.frame)

    @property
    def n_frames(self) -> int:
        """Frames of the time-lapse, empty ones among them."""
        return self.shape[self.axes.index("T")]

    def rows(self) -> list[TrackRow]:
        """The tracks in ascending number."""
        ids, first_row, inverse = np.unique(self.track, return_index=True, return_inverse=True)
        last = np.zeros(len(ids), np.int64)
        np.maximum.at(last, inverse, self.frame)
        before = self.parents[first_row]
        parent = np.where(before >= 0, self.track[before], 0)
        columns = (ids, self.frame[first_row], last, parent)
        return [TrackRow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def graph(self) -> dict[int, list[int]]:
        """The mother of each track that came from a division, as a Tracks layer of napari takes it."""
        return {row.id: [row.parent] for row in self.rows() if row.parent}

    def without_gaps(self, most: int) -> Tracks:
        """The same with another track after each gap, a child of the one before it; the others keep their numbers.

        Parameters
        ----------
        most : int
            Largest number that can be kept; where one is larger, tracks are numbered from 1.
        """
        track = numbered(self.parents, self.track, self.frame)
        if track.max(initial=0) > most:
            track = np.unique(track, return_inverse=True)[1] + 1
        return replace(self, track=track)

    def divisions(self) -> int:
        """Number of objects with two daughters."""
        return int((children_of(self.parents) > 1).sum())

    def loose_ends(self) -> NDArray[np.int64]:
        """Rows of objects that come from nowhere after the first frame, or become nothing before the last one.

        They enter or leave the image, or a link is missing.
        """
        begins = (self.parents < 0) & (self.frame > 0)
        ends = (children_of(self.parents) == 0) & (self.frame < self.n_frames - 1)
        return np.flatnonzero(begins | ends)

    def row_of(self, frame: int, label: int) -> int | None:
        """The row of an object by its number in the labels that were linked."""
        return self._found(self.label, frame, label)

    def row_in_track(self, frame: int, track: int) -> int | None:
        """The row of the object of a track in a frame."""
        return self._found(self.track, frame, track)

    def _found(self, column: NDArray[np.int64], frame: int, value: int) -> int | None:
        first, end = np.searchsorted(self.frame, [frame, frame + 1])
        found = np.flatnonzero(column[first:end] == value)
        return int(first + found[0]) if len(found) else None

    def relabel(self, labels: NDArray[Any], frame: int) -> NDArray[np.int32]:
        """Give the objects of a frame the numbers of their tracks.

        Parameters
        ----------
        labels : ndarray of int, shape ((Z,) Y, X)
            The frame as it was linked.
        frame : int
            Which one it is.

        Raises
        ------
        DataError
            If it holds other objects by now.
        """
        rows, inside = self.rows_at(labels, frame)
        first, end = np.searchsorted(self.frame, [frame, frame + 1])
        if not np.bincount(rows - first, minlength=end - first).all():
            raise DataError(CHANGED)
        return self.numbers_at(rows, inside)

    def rows_at(self, labels: NDArray[Any], frame: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The row of the object at each pixel of a frame, or of a part of it, and which pixels are of objects.

        Raises
        ------
        DataError
            If it holds other objects by now.
        """
        first, end = np.searchsorted(self.frame, [frame, frame + 1])
        inside = labels > 0
        known, ids = self.label[first:end], labels[inside].astype(np.int64, copy=False)
        rows = np.searchsorted(known, ids)
        if len(ids) and (not len(known) or rows.max() == len(known) or (known[rows] != ids).any()):
            raise DataError(CHANGED)
        return first + rows, inside

    def numbers_at(self, rows: NDArray[np.int64], inside: NDArray[np.bool_]) -> NDArray[np.int32]:
        """The numbers of the tracks at the pixels that :meth:`rows_at` tells."""
        numbers = np.zeros(inside.shape, np.int32)
        numbers[inside] = self.track[rows]
        return numbers

    def table(self, start: Mapping[str, int] | None = None) -> dict[str, NDArray[Any]]:
        """One row for each object: frame, numbers, mother, place, size and brightness.

        Parameters
        ----------
        start : dict of str to int, optional
            First frame and pixel of the labels in the time-lapse that they are a part of, by the letters of its axes.
        """
        first = {} if start is None else start
        mothers = {row.id: row.parent for row in self.rows()}
        letters = [letter.lower() for letter in "ZYX" if letter in self.axes]
        parent = np.array([mothers[number] for number in self.track.tolist()], np.int64)
        columns: dict[str, NDArray[Any]] = {
            "frame": self.frame + first.get("T", 0),
            "label": self.label,
            "track": self.track,
            "parent": parent,
        }
        for k, letter in enumerate(letters):
            columns[f"centroid_{letter}_px"] = self.centroid[:, k] + first.get(letter.upper(), 0)
        columns |= {"num_pixels": self.size}
        return columns | {f"intensity_mean_{k}": one for k, one in enumerate(self.brightness.T)}


class TrackedLabels:
    """The labels of a time-lapse with the numbers of the tracks, made frame by frame when they are asked for.

    Parameters
    ----------
    labels : array of int
        What was linked: anything that can be sliced; axes as those of `tracks`.
    tracks : Tracks
        How.
    should_stop : callable, optional
        Asked before each frame.
    """

    def __init__(self, labels: Any, tracks: Tracks, should_stop: Callable[[], bool] = never) -> None:
        self._labels, self.tracks, self._should_stop = labels, tracks, should_stop
        self._is_seen = np.zeros(len(tracks), bool)
        self.shape, self.ndim, self.dtype = tracks.shape, len(tracks.shape), np.dtype(np.int32)

    def __getitem__(self, key: Any) -> NDArray[np.int32]:
        """Read a part.

        Raises
        ------
        DataError
            If the labels hold other objects by now.
        Stopped
            If `should_stop` returned True.
        """
        asked = key if isinstance(key, tuple) else (key,)
        if ... in asked:
            at = asked.index(...)
            asked = (*asked[:at], *(slice(None),) * (self.ndim - len(asked) + 1), *asked[at + 1 :])
        asked = (*asked, *(slice(None),) * (self.ndim - len(asked)))
        at = self.tracks.axes.index("T")
        if not isinstance(asked[at], slice):
            if self._should_stop():
                raise Stopped("Saving the tracks was stopped.")
            rows, inside = self.tracks.rows_at(np.asarray(self._labels[asked]), int(asked[at]))
            self._is_seen[rows] = True
            return self.tracks.numbers_at(rows, inside)
        frames = range(*asked[at].indices(self.shape[at]))
        # Where an axis before T is one index, T moves forward.
        to = at - sum(not isinstance(one, slice) for one in asked[:at])
        return np.stack([self[(*asked[:at], t, *asked[at + 1 :])] for t in frames], axis=to)

    def require_all(self) -> None:
        """Refuse labels in which an object was not met, once all parts of them were read.

        Raises
        ------
        DataError
            If they changed since they were linked.
        """
        if not self._is_seen.all():
            raise DataError(CHANGED)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it in memory."""
        return self[...].astype(self.dtype if dtype is None else dtype, copy=False)


def children_of(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of objects that come from each."""
    return np.bincount(parents[parents >= 0], minlength=len(parents))


def numbered(
    parents: NDArray[np.int64], before: NDArray[np.int64] | None = None, frame: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Number tracks in the order in which they begin.

    Parameters
    ----------
    parents : ndarray of int, shape (n,)
        As in `Tracks`.
    before : ndarray of int, optional
        Numbers that tracks had: each keeps that of its first object, unless another one that begins earlier has it.
    frame : ndarray of int, optional
        As in `Tracks`: a track then ends where it has a gap, and another one begins.
    """
    begins = (parents < 0) | (children_of(parents)[parents] > 1)
    if frame is not None:
        begins |= frame - frame[parents] > 1
    first = np.where(begins, np.arange(len(parents)), parents)
    # From each object to the one before it, then to that four frames before, and so on: few rounds for long tracks.
    while not np.array_equal(first[first], first):
        first = first[first]
    starts, inverse = np.unique(first, return_inverse=True)
    if before is None:
        numbers = np.arange(1, len(starts) + 1)
    else:
        wanted = before[starts]
        _, kept = np.unique(wanted, return_index=True)
        numbers = np.zeros(len(starts), np.int64)
        numbers[kept] = wanted[kept]
        free = np.flatnonzero(numbers == 0)
        numbers[free] = int(before.max(initial=0)) + 1 + np.arange(len(free))
    return numbers[inverse]


def without_flicker(
    parents: NDArray[np.int64], frame: NDArray[np.int64], sizes: NDArray[np.int64], n_frames: int, least: int
) -> NDArray[np.int64]:
    """Take back divisions one daughter of which is gone within some frames: an object that was split by mistake.

    Parameters
    ----------
    parents, frame, sizes : ndarray of int, shape (n,)
        As in `Tracks`.
    n_frames : int
        Of the time-lapse; what goes on to the last one is not gone.
    least : int
        Frames that a daughter is seen at least.
    """
    parents = parents.copy()
    children: dict[int, list[int]] = {}
    for row, parent in enumerate(parents.tolist()):
        if parent >= 0:
            children.setdefault(parent, []).append(row)

    def length(row: int) -> int:
        """Objects from one to the end of its track or its division; enough of them if they reach the last frame."""
        n = 1
        while n < least and len(children.get(row, ())) == 1:
            row, n = children[row][0], n + 1
        is_kept = len(children.get(row, ())) > 1 or frame[row] == n_frames - 1
        return least if is_kept else n

    # From the end: a division that is taken back may make the track before it a long one.
    for mother in sorted((one for one, found in children.items() if len(found) > 1), reverse=True):
        short = [row for row in children[mother] if length(row) < least]
        if not short:
            continue
        gone = min(short, key=lambda row: (length(row), sizes[row]))
        parents[gone] = NONE
        children[mother].remove(gone)
    return parents
