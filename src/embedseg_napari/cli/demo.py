"""``embedseg demo``: the whole way, on images made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedseg_napari.cli.console import complain, say
from embedseg_napari.cli.failures import StopRequest
from embedseg_napari.cli.options import require_writable


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder for the images, the model, the labels and a picture.")
    ] = Path("embedseg-demo"),
    minutes: Annotated[float, typer.Option("--minutes", min=0.05, help="How long to train.")] = 2.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of the same names, such as those of an earlier demo.")
    ] = False,
) -> None:
    """Make sample images, train on some, segment the others, score them and draw a picture."""
    require_writable(folder, "folder")
    from embedseg_napari import demo as sample

    request = StopRequest()
    with request.listening("Stopping; press Ctrl-C again to end at once."):
        scores = sample.run(folder, minutes=minutes, report=say, overwrite=overwrite, should_stop=request)
    if not scores:
        complain("Stopped before the end; nothing was scored.")
        raise typer.Exit(request.status)
