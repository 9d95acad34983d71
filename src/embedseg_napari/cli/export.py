"""``embedseg export`` and ``embedseg import``: objects to Fiji, QuPath and others, and back."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated

import typer

from embedseg_napari.cli.console import say, tell_messages
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


def export_labels(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Label image, or planes of one object each.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="imagej|geojson|mesh|coco|ctc|ome-zarr|ome-tiff",
            help="Zip of ROIs for ImageJ and Fiji (.zip); GeoJSON with measurements for QuPath (.geojson); surfaces in "
            "3D (.ply, .stl, or a folder of one .ply for each object); COCO run lengths (.json); layout of the cell "
            "tracking challenge (a folder); OME-Zarr (.ome.zarr); OME-TIFF (.ome.tif).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE_OR_DIR", help="Where it is written.")],
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="IMAGE", help="Image whose brightness is measured, too, for GeoJSON."),
    ] = None,
    axes: LabelAxes = None,
    spacing: Spacing = None,
    planes: Annotated[
        bool,
        typer.Option(
            "--planes",
            help="LABELS is a stack of planes with one object each, which may share pixels; known of files that "
            "predict --planes wrote.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    no_progress: NoProgress = False,
) -> None:
    """Write objects for other programs; outlines give the label image back pixel for pixel."""
    letters, pixel_size = parse_axes(axes), parse_spacing(spacing)
    require_writable(output.parent, "--output")
    from embedseg_napari.jobs.exchange import ExportJob, export_file

    job = ExportJob(labels, format, output, image, letters, pixel_size, overwrite, planes)
    request, progress = StopRequest(), PartProgress(not no_progress)
    with request.listening("Stopping; press Ctrl-C again to end at once."), progress.showing():
        n = drain(export_file(job, request), progress)
    say(f"{count(n, 'object')} exported to {output}")


def import_labels(
    annotations: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATIONS",
            help="ROIs of ImageJ or Fiji (.zip, .roi), GeoJSON of QuPath (.geojson, .json), or COCO (.json).",
        ),
    ],
    like: Annotated[Path, typer.Option("--like", metavar="IMAGE", help="The image that was annotated.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="LABELS.tif", help="The label image.")],
    axes: Annotated[
        str | None,
        typer.Option("--axes", metavar="AXES", help="Axes of the image, such as YX, ZYX or TCYX."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing label image.")] = False,
) -> None:
    """Make a label image of annotations, to train on or to correct.

    A pixel belongs to an object where its centre lies inside the outline, as in ImageJ and QuPath.
    """
    letters = parse_axes(axes)
    require_writable(output.parent, "--output")
    from embedseg_napari.jobs.exchange import ImportJob, import_file

    job = ImportJob(annotations, like, output, letters, overwrite)
    request = StopRequest()
    with request.listening("Stopping; press Ctrl-C again to end at once."):
        n = drain(import_file(job, request), tell_messages)
    say(f"{count(n, 'object')} imported; labels are in {output}")
