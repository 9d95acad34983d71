"""``embedseg measure``: a table of the objects of label images."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated, Any

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


def measure(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Label image, or a folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="TABLE", help="Table: .csv or .parquet.")],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Image of the labels, whose brightness is measured in each channel; or a folder of images of the same "
            "names.",
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            metavar="solidity,surface",
            help="Further columns, which take minutes for many objects: solidity (pixels by those of the convex hull), "
            "surface (perimeter in 2D, area of the surface in 3D).",
        ),
    ] = "",
    axes: LabelAxes = None,
    spacing: Spacing = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing table.")] = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure objects: size, place, shape, neighbours and brightness, in micrometres where the pixel size is known."""
    letters, pixel_size = parse_axes(axes), parse_spacing(spacing)
    require_writable(output.parent, "--output")
    from embedseg_napari.jobs.measure import LabelsMeasured, MeasureJob, measure_files

    wanted = tuple(word.strip() for word in columns.split(",") if word.strip())
    job = MeasureJob(labels, output, image, letters, pixel_size, wanted, overwrite)
    request, progress = StopRequest(), PartProgress(not no_progress)

    def tell(event: Any) -> None:
        progress(event)
        if isinstance(event, LabelsMeasured):
            say(f"{event.name}: {count(event.n_objects, 'object')}")

    with request.listening("Stopping; press Ctrl-C again to end at once."), progress.showing():
        n = drain(measure_files(job, request), tell)
    say(f"{count(n, 'object')} measured; the table is {output}")
