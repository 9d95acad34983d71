"""The command line: ``embedseg`` and its commands.

``train``, ``predict``, ``evaluate``, ``measure``, ``export``, ``import``, ``track``,
``tune``, ``calibrate``, ``info``, ``models`` and ``demo``.

Nothing heavy is imported here or in the modules of the commands: NumPy, PyTorch and scikit-image wait until a command
has checked its arguments.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from embedseg_napari.cli.calibrate import calibrate
from embedseg_napari.cli.console import complain
from embedseg_napari.cli.demo import demo
from embedseg_napari.cli.evaluate import evaluate
from embedseg_napari.cli.export import export_labels, import_labels
from embedseg_napari.cli.failures import end_with_a_sentence
from embedseg_napari.cli.info import info
from embedseg_napari.cli.measure import measure
from embedseg_napari.cli.models import app as models
from embedseg_napari.cli.predict import predict
from embedseg_napari.cli.streams import steady_output
from embedseg_napari.cli.track import track
from embedseg_napari.cli.train import train
from embedseg_napari.cli.tune import tune

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="embedseg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Boxes would break an error's sentence over several lines, also in a log.
    rich_markup_mode=None,
)
app.command(short_help="Train a model on annotated images.")(train)
app.command(short_help="Segment images, one label image each.")(predict)
app.command(short_help="Score label images against the truth.")(evaluate)
app.command(short_help="Measure the objects of label images.")(measure)
app.command(short_help="Link the objects of a time-lapse.")(track)
app.command("export", short_help="Write objects for Fiji, QuPath and others.")(export_labels)
app.command("import", short_help="Make labels of annotations from Fiji, QuPath and others.")(import_labels)
app.command(short_help="Find the thresholds that suit annotated images.")(tune)
app.command(short_help="Make a model ready for 8-bit integers.")(calibrate)
app.command(short_help="Describe a model, an image, labels or an OME-Zarr.")(info)
app.add_typer(models, name="models", short_help="List, rename, describe, delete, import and export models.")
app.command(short_help="Go the whole way on generated images.")(demo)


def _version(wanted: bool) -> None:
    if wanted:
        import embedseg_napari

        typer.echo(f"embedseg-napari {embedseg_napari.__version__}")
        raise typer.Exit()


@app.callback()
def embedseg(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find cells and nuclei in images and volumes: train a network on a few annotated images, segment the rest.

    Set EMBEDSEG_DEBUG=1 to see the whole traceback of an error.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; those of the process by default.

    Raises
    ------
    SystemExit
        Always: 0 if all that was asked for was done, 1 for bad input or a failure, 2 for a wrong call,
        128 + the signal's number (130 for Ctrl-C) after a stop.
    """
    # A time budget counts from the start of the process, which so far did little but read Python and this package.
    started = time.monotonic() - (time.process_time() if arguments is None else 0.0)
    with steady_output() as (out, _), end_with_a_sentence():
        try:
            app(args=None if arguments is None else list(arguments), prog_name="embedseg", obj=started)
        finally:
            out.flush()
            if out.lost is not None:
                complain(f"Warning: lines of the output are lost ({out.lost.strerror or out.lost}).")
    raise SystemExit(0)
