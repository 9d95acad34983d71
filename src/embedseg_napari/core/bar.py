"""A bar that shows how far a run is, on a terminal or in a notebook."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from embedseg_napari.core.events import (
    ClusteringStarted,
    EpochFinished,
    PredictionStarted,
    StepFinished,
    TileFinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress

WIDTH = 79
"""Columns of a bar in a notebook, which says nothing of its own."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that can redraw a line."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") != "dumb"


def is_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, whose output redraws lines as terminals do."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


@contextmanager
def bars(console: Console | None = None) -> Iterator[Progress]:
    """Show bars inside, with the time gone and left; they vanish at the end."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    # What goes to a file or to the next program is not drawn above the bars.
    redirect = is_terminal(sys.stdout)
    with Progress(*columns, console=console, refresh_per_second=4, transient=True, redirect_stdout=redirect) as shown:
        yield shown


@contextmanager
def with_bar(wanted: bool, listener: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Show on standard error how far a run is, and pass its events on.

    Parameters
    ----------
    wanted : bool
        False shows nothing; nor is anything shown where standard error is neither a terminal nor a notebook.
    listener : callable
        Receives every event.

    Yields
    ------
    callable
        Takes the events of the run.
    """
    in_notebook = is_notebook()
    if not (wanted and (in_notebook or is_terminal(sys.stderr))):
        yield listener
        return
    from rich.console import Console

    # What rich has of its own for notebooks needs another package.
    console = Console(stderr=True, force_jupyter=False, force_terminal=True, width=WIDTH if in_notebook else None)
    with bars(console) as progress:
        task = progress.add_task("starting", total=None)

        def show(event: Any) -> None:
            match event:
                case PredictionStarted():
                    total = max(event.n_frames * event.n_tiles, 1)
                    progress.update(task, total=total, description="segmenting")
                case TileFinished():
                    done = event.frame * event.n_tiles + event.tile
                    progress.update(task, completed=done, description="segmenting")
                case ClusteringStarted():
                    progress.update(task, description="collecting objects")
                case StepFinished():
                    progress.update(task, total=1.0, completed=event.progress, description=step_words(event))
                case EpochFinished(ap_50=float(score)):
                    progress.update(task, description=f"epoch {event.epoch + 1}  AP@0.5 {score:.3f}")
            listener(event)

        yield show


def step_words(event: StepFinished) -> str:
    """Where a training is, in a few words."""
    return f"epoch {event.epoch + 1}  loss {event.loss:.3f}" if event.progress < 1 else "last validation"
