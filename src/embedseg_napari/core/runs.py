"""Draining the generators that runs are."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType

logger = logging.getLogger(__name__)
Event = TypeVar("Event")
Result = TypeVar("Result")


class EndNow(BaseException):
    """A signal asked for the end at once, which a training answers with the model so far.

    Not a KeyboardInterrupt, which the command-line library would turn into exit status 1.
    """


INTERRUPTIONS = (KeyboardInterrupt, EndNow)
"""What a person stops a run with that is not asked between its steps."""


def never() -> bool:
    """Never stop: the default of every run."""
    return False


def soon_after(should_stop: Callable[[], bool], seconds: float = 1.0) -> Callable[[], bool]:
    """A stop that leaves what is quickly done the time for it.

    Parameters
    ----------
    should_stop : callable
        Whether a stop was asked for.
    seconds : float
        From the moment that this is noticed until it holds.
    """
    asked = math.inf

    def is_over() -> bool:
        nonlocal asked
        if asked == math.inf and should_stop():
            asked = time.monotonic()
        return time.monotonic() >= asked + seconds

    return is_over


def unheard(event: object) -> None:
    """Take an event of a run that is part of another one, which has told its user already."""


def is_main_process() -> bool:
    """Whether this process speaks and saves for a distributed training; torchrun numbers them in RANK."""
    return os.environ.get("RANK", "0") == "0"


def speaks_for_its_machine() -> bool:
    """Whether this process is the first on its machine of those that train together; LOCAL_RANK numbers them there."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def n_processes() -> int:
    """Processes that run this program together, as torchrun or Slurm tell each of them."""
    return _told("WORLD_SIZE") or _told("SLURM_NTASKS") or 1


def n_machines() -> int:
    """Machines that these processes run on."""
    if here := _told("LOCAL_WORLD_SIZE"):
        return max(1, n_processes() // here)
    return (_told("SLURM_NNODES") or 1) if _told("SLURM_NTASKS") else 1


def join_slurm(devices: int) -> None:
    """Take the numbers that srun gives to tasks as those of a training that they share, as torchrun gives its own.

    Tasks whose trainings are to have one device each have nothing to do with each other.
    """
    names = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_NTASKS"}
    if devices > 1 and "RANK" not in os.environ and all(name in os.environ for name in names.values()):
        os.environ |= {ours: os.environ[theirs] for ours, theirs in names.items()}


def _told(name: str) -> int:
    """A number in the environment; 0 where there is none."""
    told = os.environ.get(name, "")
    return int(told) if told.isdecimal() else 0


def drain(run: Generator[Event, None, Result], on_event: Callable[[Event], None] | None = None) -> Result:
    """Run a generator to its end and return its value.

    An interruption while an event is shown reaches the run as one in its own work does: a training then still hands
    over its model.

    Parameters
    ----------
    run : generator
        Such as ``Predictor(...).run(image)``.
    on_event : callable, optional
        Called with every event.
    """
    advance: Callable[[], Event] = partial(next, run)
    while True:
        try:
            event = advance()
        except StopIteration as end:
            result: Result = end.value
            return result
        advance = partial(next, run)
        if on_event is not None:
            try:
                on_event(event)
            except INTERRUPTIONS as interruption:
                advance = partial(run.throw, interruption)


@contextmanager
def stopped_by_interrupt() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C, or a notebook's stop button, as a request to stop in order; the second one interrupts.

    Yields
    ------
    callable
        Whether a stop was asked for. It never is in other threads than the main one, where Python gets no signals, and
        where the program has a way of its own to take them.
    """
    is_asked = threading.Event()
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )

    def ask(number: int, frame: FrameType | None) -> None:
        if is_asked.is_set():
            raise KeyboardInterrupt
        is_asked.set()
        if not is_main_process():
            return
        logger.warning("Stopping after this step; interrupt again to end at once.")

    if is_ours:
        signal.signal(signal.SIGINT, ask)
    try:
        yield is_asked.is_set
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
