"""``embedseg track``: the objects of a time-lapse linked into tracks."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated

import typer

from embedseg_napari.cli.console import say
from embedseg_napari.cli.failures import StopRequest
from embedseg_napari.cli.options import (
    LabelAxes,
    NoProgress,
    Spacing,
    parse_axes,
    parse_spacing,
    require_writable,
)
from embedseg_napari.cli.progress import PartProgress
from embedseg_napari.core.runs import drain
from embedseg_napari.core.wording import count


def track(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Label image with a time axis, or a folder of its frames.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="New folder for the tracks.")],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image", metavar="IMAGE", help="Image of the labels, whose brightness is listed; or a folder of frames."
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="ctc|geff",
            help="Layout of the cell tracking challenge (mask000.tif ..., res_track.txt), or a graph with its labels "
            "(tracks.geff, labels.ome.zarr); a table of all objects, tracks.csv, is in both.",
        ),
    ] = "ctc",
    max_distance: Annotated[
        float | None,
        typer.Option(
            "--max-distance",
            metavar="X",
            help="How far an object moves from frame to frame at most, in micrometres where the pixel size is known, "
            "else in pixels. [default: three times its radius]",
            show_default=False,
        ),
    ] = None,
    max_gap: Annotated[
        int, typer.Option("--max-gap", metavar="N", help="Frames in which an object may be missing.")
    ] = 2,
    divisions: Annotated[bool, typer.Option("--divisions/--no-divisions", help="Whether objects divide.")] = True,
    trackastra: Annotated[
        str | None,
        typer.Option(
            "--trackastra",
            metavar="MODEL",
            help="Link by the program trackastra, where it is installed, with this model: the name of one that it has "
            "downloaded, such as general_2d, or a folder; needs --image.",
        ),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="FILE",
            help="Links corrected by hand before, of the same labels: the corrections.json of an export.",
        ),
    ] = None,
    axes: LabelAxes = None,
    spacing: Spacing = None,
    no_progress: NoProgress = False,
) -> None:
    """Link the objects of a time-lapse into tracks with divisions, so that each keeps its number."""
    letters, pixel_size = parse_axes(axes), parse_spacing(spacing)
    require_writable(output.parent, "--output")
    from embedseg_napari.jobs.track import TrackJob, track_files

    job = TrackJob(
        labels, output, image, format, letters, pixel_size, max_distance, max_gap, divisions, trackastra, corrections
    )
    request, progress = StopRequest(), PartProgress(not no_progress, "linking", "linked")
    with request.listening("Stopping; press Ctrl-C again to end at once."), progress.showing():
        tracks = drain(track_files(job, request), progress)
    n_tracks, n_divisions = len(tracks.rows()), tracks.divisions()
    say(f"{count(n_tracks, 'track')} with {count(n_divisions, 'division')} in {tracks.n_frames} frames: {output}")
