"""How a command ends: with its status, and where it failed with one sentence instead of a traceback."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedseg_napari.cli.console import complain
from embedseg_napari.core.errors import AssumptionWarning, EmbedSegError, Stopped
from embedseg_napari.core.runs import EndNow, is_main_process, speaks_for_its_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
"""Ctrl-C; what clusters send before they end a job; a terminal or a connection that closes, on Windows the last."""
ONE_WISH = 1.0
"""Seconds in which several signals mean one thing: wrappers pass on what the terminal has sent to all."""


class Interrupted(EndNow):
    """A signal asked the program to end at once."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """Exit status by the shell's convention."""
        return 128 + self.number


class StopRequest:
    """Becomes true at the first signal; a second one, unless it comes with the first, ends the program at once.

    Use it as ``should_stop`` of a run, inside ``with request.listening(sentence):``.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.when = 0.0
        self.is_saving = False

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.number is not None

    @property
    def status(self) -> int:
        """Exit status after a stop."""
        return 128 + (self.number or 0)

    def work_is_done(self) -> None:
        """Only take note of signals from now on: what is left to do takes a moment, and is what all was for."""
        self.is_saving = True

    @contextmanager
    def listening(self, sentence: str) -> Iterator[None]:
        """Take signals as requests to stop in order, answering the first with a sentence."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.number is not None:
                if not self.is_saving and time.monotonic() - self.when > ONE_WISH:
                    raise Interrupted(number)
                return
            self.number, self.when = number, time.monotonic()
            # Not by way of sys.stderr: the signal may have come while something was being written to it. A terminal
            # that is gone hears nothing.
            with contextlib.suppress(OSError):
                if sentence:
                    os.write(2, f"\n{sentence}\n".encode())

        with _handling(handle):
            try:
                yield
            except Stopped as stopped:
                # Nothing was begun that there would be more to say of.
                if self.number is None:
                    raise
                complain(f"Stopped: {stopped}")
                raise SystemExit(self.status) from None


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    # Python takes signal handlers in the main thread only; elsewhere the caller stays in charge of its signals.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # What runs under nohup outlasts its terminal.
    wanted = [number for number in SIGNALS if number == signal.SIGINT or before[number] is not signal.SIG_IGN]
    for number in wanted:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in wanted:
            signal.signal(number, before[number] or signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def debugging() -> bool:
    """Whether tracebacks and the warnings of libraries shall be shown."""
    return os.environ.get("EMBEDSEG_DEBUG", "") not in ("", "0")


@contextmanager
def end_with_a_sentence() -> Iterator[None]:
    """Turn whatever goes wrong inside into a sentence on standard error and an exit status.

    Raises
    ------
    SystemExit
        With status 1 after an error, 128 + the signal's number after an interruption.
    """
    with warnings.catch_warnings(), _handling(_interrupt):
        if not debugging():
            # What libraries warn of is for programmers; what users must know comes as messages of this program.
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", AssumptionWarning)
            warnings.showwarning = _show_warning
            logging.getLogger("tifffile").setLevel(logging.CRITICAL)
            if not is_main_process():
                # The first of the processes that share a training says it for all.
                warnings.simplefilter("ignore")
                logging.disable(logging.WARNING)
        try:
            yield
        except Interrupted as interruption:
            complain("Interrupted; no half-written file was left.")
            raise SystemExit(interruption.status) from None
        except Exception as error:  # noqa: BLE001 (the last resort before a traceback)
            # What goes wrong before the processes of a training have met goes wrong in all of them.
            if speaks_for_its_machine() or debugging():
                complain(sentence(error))
            elif _has_met_others():
                complain(f"Process {os.environ.get('RANK')}: {sentence(error)}")
            raise SystemExit(1) from None


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    complain(f"Warning: {message}")


def sentence(error: Exception) -> str:
    """One sentence for an error, and its notes; with EMBEDSEG_DEBUG its traceback before it."""
    # Notes hold commands, whose spaces count.
    words = " ".join([" ".join(_words(error).split()), *getattr(error, "__notes__", ())])
    return ("".join(traceback.format_exception(error)) if debugging() else "") + words


def _words(error: Exception) -> str:
    if isinstance(error, Stopped):
        return f"Stopped: {error}"
    if isinstance(error, EmbedSegError):
        return f"Error: {error}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        todo = "; raise the limit (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
        return f"Error: {where}{error.strerror or error}{todo}."
    if _is_out_of_memory(error):
        return "Error: Not enough memory; close other programs, use smaller images, or a larger machine."
    return (
        f"Error: Unexpected {type(error).__name__}: {error}. This is a fault of the program; "
        "please report it with what EMBEDSEG_DEBUG=1 shows."
    )


def _has_met_others() -> bool:
    """Whether this process trains together with others by now."""
    if "torch.distributed" not in sys.modules:
        return False
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from embedseg_napari.core.device import is_out_of_memory

    return is_out_of_memory(error)
