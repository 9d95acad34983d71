"""``embedseg calibrate``: a model made ready for 8-bit integers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated

import typer

from embedseg_napari.cli.console import say
from embedseg_napari.cli.options import (
    Axes,
    Channel,
    HeldOut,
    ModelSource,
    NoProgress,
    Spacing,
    parse_axes,
    parse_spacing,
    require_writable,
)
from embedseg_napari.cli.progress import PredictionProgress
from embedseg_napari.core.errors import AlreadyExists
from embedseg_napari.core.runs import drain, never


def calibrate(
    model: ModelSource,
    dataset: HeldOut,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Model file to write; default: MODEL itself is changed."),
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    spacing: Spacing = None,
    no_progress: NoProgress = False,
) -> None:
    """Make a model ready for 8-bit integers, in which OpenVINO computes it faster.

    The ranges of its layers are measured on every other image, and AP, averaged over IoU 0.5 to 0.9, is compared on the
    rest; where it falls by more than 0.01, nothing is stored. Take images that the model was not trained on.
    """
    letters, pixel_size = parse_axes(axes), parse_spacing(spacing)
    from embedseg_napari.core.model.keep import model_path
    from embedseg_napari.core.model.known_models import find_model_file
    from embedseg_napari.jobs.calibrate import calibrate_file, held_out
    from embedseg_napari.jobs.tune import require_changeable

    path = find_model_file(model)
    target = path if output is None else model_path(output)
    if target != path and target.exists():
        raise AlreadyExists(f"{target}: exists already; move it away, or choose another --output.")
    require_changeable(target)
    require_writable(target.parent, "model")
    progress = PredictionProgress(shown=not no_progress)
    with progress.showing():
        found = drain(
            calibrate_file(path, target, lambda: held_out(dataset, letters, channel, pixel_size), never), progress
        )
    say(str(found))
    say(f"Stored in {found.path}")
