"""The layout of the cell tracking challenge: a label image for each frame, and a table of tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.planes import parts_of, read_ids
from embedseg_napari.core.files.tiff import write_labels
from embedseg_napari.core.measure.sums import ids_of
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOST_TRACKS = 65_535
"""Its label images have 16 bits."""
TRACKS = "res_track.txt"


def write_ctc(
    folder: Path,
    labels: Any,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    mothers: Mapping[int, int] | None = None,
    *,
    first_frame: int = 0,
) -> None:
    """Write ``mask000.tif``, ``mask001.tif`` ... and ``res_track.txt``.

    An object of one number in frames that follow each other is a track; after a gap it begins another one, whose parent
    is the first, as the challenge wants it. Tracks keep the numbers of their objects, and those after a gap get numbers
    above; where 16 bits do not hold these, all are numbered from 1.

    Parameters
    ----------
    folder : Path
        Existing folder to fill.
    labels : array of int, shape ((T,) (Z,) Y, X)
        Ids, 0 is background; a single image is one frame.
    axes : str
        Their axes.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x).
    unit : str, optional
        Unit of the spacing.
    mothers : dict of int to int, optional
        Number of the mother of each object that came from a division.
    first_frame : int
        Number of the first frame in the time-lapse that the labels are a part of.

    Raises
    ------
    DataError
        If there are more tracks than its images can number.
    """
    places = list(parts_of(labels, axes, "T"))
    # Frame by frame, twice: numbers of tracks depend on all of them.
    present = [ids_of(read_ids(labels, axes, place)) for place in places]
    tracks: list[list[int]] = []
    """Begin, end and parent of each; a parent by its place in this list, from 1."""
    last: dict[int, int] = {}
    """Track that an object had in the frame in which it was seen last."""
    own: list[int] = [0]
    """Number of the object that each track, from 1, is the first of; 0 after a gap."""
    found: list[list[int]] = []
    """Place of the track of each object of each frame, from 1."""
    for t, ids in enumerate(present, first_frame):
        for number in ids.tolist():
            before = last.get(number)
            if before is not None and tracks[before][1] == t - 1:
                tracks[before][1] = t
                continue
            own.append(number if before is None else 0)
            if before is None:
                before = last.get((mothers or {}).get(number, 0))
            last[number] = len(tracks)
            tracks.append([t, t, 0 if before is None else before + 1])
        found.append([last[number] + 1 for number in ids.tolist()])
    if len(tracks) > MOST_TRACKS:
        raise DataError(
            f"The layout of the cell tracking challenge numbers {MOST_TRACKS:,} tracks at most, and these are "
            f"{count(len(tracks), 'track')}; link the objects of the frames first, or export a part."
        )
    numbers = _numbers(np.array(own, np.int64))
    space, digits = ordered(axes).replace("T", ""), max(3, len(str(first_frame + len(places) - 1)))
    for t, (place, ids, tracked) in enumerate(zip(places, present, found, strict=True), first_frame):
        frame = read_ids(labels, axes, place)
        renumbered = np.zeros(frame.shape, np.uint16)
        inside = frame > 0
        renumbered[inside] = numbers[tracked][np.searchsorted(ids, frame[inside].astype(np.int64))]
        write_labels(folder / f"mask{t:0{digits}}.tif", renumbered, space, spacing, unit)
    rows = sorted(
        (int(numbers[k]), first, end, int(numbers[parent])) for k, (first, end, parent) in enumerate(tracks, 1)
    )
    (folder / TRACKS).write_text("".join("{} {} {} {}\n".format(*row) for row in rows), encoding="ascii")


def _numbers(own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of tracks by their place from 1: those of their objects, the others above, or all from 1 if too large."""
    numbers = own.copy()
    others = np.flatnonzero(own[1:] == 0) + 1
    numbers[others] = own.max() + 1 + np.arange(len(others))
    return numbers if numbers.max() <= MOST_TRACKS else np.arange(len(own))
