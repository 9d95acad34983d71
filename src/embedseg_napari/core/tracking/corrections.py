"""Links corrected by hand: two objects are linked, a link is cut, a division is set; each step can be undone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import AnnotationError
from embedseg_napari.core.tracking.tracks import NONE, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from embedseg_napari.core.tracking.tracks import Tracks


@dataclass(frozen=True, slots=True)
class _Step:
    """What one correction changed."""

    rows: NDArray[np.int64]
    parents: NDArray[np.int64]
    """Before."""
    track: NDArray[np.int64]
    """Numbers of all objects, before."""


class CorrectedTracks:
    """Tracks that are being corrected.

    A track whose beginning stays keeps its number, so that colours stay, too.

    Parameters
    ----------
    tracks : Tracks
        As they were linked.
    """

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        """As they are now."""
        self._steps: list[_Step] = []

    @property
    def n_steps(self) -> int:
        """Corrections that can be undone."""
        return len(self._steps)

    def link(self, one: int, other: int) -> None:
        """Let an object become another, and nothing else; the earlier one of the two rows becomes the later one.

        Raises
        ------
        AnnotationError
            If they are of one frame, or linked already.
        """
        early, late = self._in_order(one, other)
        others = np.flatnonzero(self.tracks.parents == early)
        if others.tolist() == [late]:
            raise AnnotationError("These two objects are linked already.")
        rows = np.union1d(others, [late])
        self._change("link", rows, np.where(rows == late, early, NONE), early, late)

    def divide(self, one: int, other: int) -> None:
        """Let the later one of two objects be a daughter of the earlier one, beside what this one becomes already.

        Raises
        ------
        AnnotationError
            If they are of one frame, or the mother has two daughters.
        """
        early, late = self._in_order(one, other)
        others = np.flatnonzero(self.tracks.parents == early)
        if late in others:
            raise AnnotationError(
                "The later object comes from the earlier one already; choose the mother and her other daughter."
            )
        if len(others) > 1:
            raise AnnotationError("The earlier object has two daughters already; cut one of them off first.")
        self._change("divide", np.array([late]), np.array([early]), early, late)

    def cut(self, row: int) -> None:
        """Let a track begin with an object.

        Raises
        ------
        AnnotationError
            If it comes from nowhere already.
        """
        before = int(self.tracks.parents[row])
        if before < 0:
            raise AnnotationError("This object is the first of its track; choose one that comes from another.")
        self._change("cut", np.array([row]), np.array([NONE]), before, row)

    def undo(self) -> None:
        """Take back the last correction.

        Raises
        ------
        AnnotationError
            If there is none.
        """
        if not self._steps:
            raise AnnotationError("There is no correction to undo.")
        step = self._steps.pop()
        parents = self.tracks.parents.copy()
        parents[step.rows] = step.parents
        self.tracks = replace(self.tracks, parents=parents, track=step.track, corrections=self.tracks.corrections[:-1])

    def replay(self, corrections: Iterable[Mapping[str, Any]]) -> None:
        """Do what was done before, as `Tracks.corrections` and ``corrections.json`` tell it.

        What is so already, as other settings linked it, changes nothing, and stays among the corrections.

        Raises
        ------
        AnnotationError
            If they are of other labels, cannot be read, or cannot be done any longer; it says which one.
        """
        for number, one in enumerate(corrections, 1):
            do, early, late = self._read(one, number)
            before = int(self.tracks.parents[late])
            is_only = np.count_nonzero(self.tracks.parents == early) == 1
            is_so = {"link": before == early and is_only, "divide": before == early, "cut": before < 0}[do]
            none = np.zeros(0, np.int64)
            try:
                if is_so:
                    self._change(do, none, none, early, late)
                elif do == "cut":
                    # Whatever it comes from by now.
                    self._change(do, np.array([late]), np.array([NONE]), early, late)
                else:
                    getattr(self, do)(early, late)
            except AnnotationError as error:
                raise AnnotationError(f"Correction {number} ({do}): {error}") from error

    def _read(self, one: Any, number: int) -> tuple[str, int, int]:
        """What is to be done, and the rows of its two objects."""
        try:
            do, pairs = one["do"], [one[key] for key in ("from", "to")]
            is_whole = all(type(value) is int for pair in pairs for value in pair)
        except (KeyError, TypeError) as error:
            raise AnnotationError(f"Correction {number} cannot be read; take the file as it was written.") from error
        if do not in ("link", "divide", "cut") or not is_whole or [len(pair) for pair in pairs] != [2, 2]:
            raise AnnotationError(f"Correction {number} cannot be read; take the file as it was written.")
        early, late = (self.tracks.row_of(*pair) for pair in pairs)
        if early is None or late is None:
            raise AnnotationError(f"Correction {number} is of objects that these labels do not have.")
        return do, early, late

    def _in_order(self, one: int, other: int) -> tuple[int, int]:
        frames = self.tracks.frame[[one, other]]
        if frames[0] == frames[1]:
            raise AnnotationError("Both objects are of one frame; choose one of an earlier and one of a later frame.")
        return (one, other) if frames[0] < frames[1] else (other, one)

    def _change(self, do: str, rows: NDArray[np.int64], to: NDArray[np.int64], early: int, late: int) -> None:
        now = self.tracks
        self._steps.append(_Step(rows, now.parents[rows], now.track))
        parents = now.parents.copy()
        parents[rows] = to
        said = {"do": do} | {
            key: [int(now.frame[row]), int(now.label[row])] for key, row in (("from", early), ("to", late))
        }
        self.tracks = replace(
            now, parents=parents, track=numbered(parents, now.track), corrections=(*now.corrections, said)
        )
