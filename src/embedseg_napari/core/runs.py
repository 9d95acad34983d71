"""Draining the generators that runs are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Event = TypeVar("Event")
Result = TypeVar("Result")


def never() -> bool:
    """Never stop: the default of every run."""
    return False


def unheard(event: object) -> None:
    """Take an event of a run that is part of another one, which has told its user already."""


def is_main_process() -> bool:
    """Whether this process speaks and saves for a distributed training; torchrun numbers them in RANK."""
    return os.environ.get("RANK", "0") == "0"


def n_processes() -> int:
    """Processes that run this program together, as torchrun or Slurm tell each of them."""
    told = os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or "1"
    return int(told) if told.isdecimal() else 1


def drain(run: Generator[Event, None, Result], on_event: Callable[[Event], None] | None = None) -> Result:
    """Run a generator to its end and return its value.

    Parameters
    ----------
    run : generator
        Such as ``Predictor(...).run(image)``.
    on_event : callable, optional
        Called with every event.
    """
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            result: Result = end.value
            return result
        if on_event is not None:
            on_event(event)
