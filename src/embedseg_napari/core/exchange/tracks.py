"""Tracks as a folder for other programs: labels with the tracks' numbers, who comes from whom, and a table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.exchange.ctc import MOST_TRACKS, write_ctc
from embedseg_napari.core.exchange.folders import write_folder
from embedseg_napari.core.exchange.geff import write_geff
from embedseg_napari.core.exchange.ome_zarr import write_ome_zarr
from embedseg_napari.core.measure.table_files import write_table
from embedseg_napari.core.runs import never, unheard
from embedseg_napari.core.tracking.tracks import TrackedLabels
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embedseg_napari.core.tracking.tracks import Tracks

FORMATS = ("ctc", "geff")
TABLE = "tracks.csv"
CORRECTIONS = "corrections.json"
LABELS = "labels.ome.zarr"
GRAPH = "tracks.geff"


def require_track_format(format: str) -> None:
    """Refuse a format that is unknown.

    Raises
    ------
    DataError
        Naming what can be chosen.
    """
    if format not in FORMATS:
        raise DataError(f"There is no format {format!r} for tracks; choose {' or '.join(FORMATS)}.")


def require_new(folder: Path) -> None:
    """Refuse a folder that exists.

    Raises
    ------
    AlreadyExists
        Naming it.
    """
    if os.path.lexists(folder):
        raise AlreadyExists(f"{folder}: exists already; tracks are written to a new folder, choose another one.")


def write_tracks(
    tracks: Tracks,
    labels: Any,
    folder: str | Path,
    format: str = "ctc",
    *,
    start: Mapping[str, int] | None = None,
    should_stop: Callable[[], bool] = never,
) -> None:
    """Write tracks to a new folder, which gets its name when it is complete.

    ``"ctc"`` is the layout of the cell tracking challenge (``mask000.tif`` ..., ``res_track.txt``; its tracks have no
    gaps, so that a track with one is several there), ``"geff"`` a graph (``tracks.geff``) with its labels
    (``labels.ome.zarr``). Both have a table of all objects, ``tracks.csv``, with the same numbers of tracks, and what
    was corrected by hand, ``corrections.json``.

    Parameters
    ----------
    tracks : Tracks
        From :func:`track`.
    labels : array of int
        The labels that were linked; they are read frame by frame.
    folder : path
        Where it is written; it must not exist.
    format : {"ctc", "geff"}
        Which programs are to read it.
    start : dict of str to int, optional
        First frame and pixel of the labels in the time-lapse that they are a part of, by the letters of its axes: table
        and layout of the challenge count from there. A graph lies on the labels beside it.
    should_stop : callable, optional
        Asked before each frame; nothing is left of what was written then.

    Raises
    ------
    DataError
        If the folder exists or cannot be written, the labels are others, or the format is unknown or cannot number so
        many tracks.
    Stopped
        If `should_stop` returned True.
    """
    folder = Path(folder)
    require_track_format(format)
    require_new(folder)
    if tuple(labels.shape) != tracks.shape:
        raise DataError(
            f"The labels have the shape {shape_words(labels.shape)}, but {shape_words(tracks.shape)} were linked; give "
            "those that were linked."
        )
    if format == "ctc":
        # Here, so that its table, too, has the numbers that are in its label images.
        tracks = tracks.without_gaps(MOST_TRACKS)
    tracked = TrackedLabels(labels, tracks, should_stop)

    def fill(draft: Path) -> None:
        if format == "ctc":
            mothers = {number: parents[0] for number, parents in tracks.graph().items()}
            first = (start or {}).get("T", 0)
            write_ctc(draft, tracked, tracks.axes, tracks.spacing, tracks.unit, mothers, first_frame=first)
        else:
            write_ome_zarr(draft / LABELS, tracked, tracks.axes, tracks.spacing, tracks.unit)
            write_geff(draft / GRAPH, tracks, f"../{LABELS}")
        tracked.require_all()
        write_table(draft / TABLE, tracks.table(start))
        if tracks.corrections:
            text = json.dumps({"corrections": tracks.corrections}, indent=1)
            (draft / CORRECTIONS).write_text(text + "\n", encoding="utf-8")

    write_folder(folder, fill, "", unheard, overwrite=False)
