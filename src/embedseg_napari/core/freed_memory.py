"""Memory that a network frees and asks for again with its next layer, kept in the process for so long."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

Given = ParamSpec("Given")
Event = TypeVar("Event")
Result = TypeVar("Result")

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Names in malloc.h of the settings of glibc's allocator."""
WHILE_KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
AFTERWARDS = {MMAP_MAX: 65536, TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20}
"""Where glibc's own thresholds end up in a process that has freed large arrays."""
LINGER = 1.0
"""Seconds after which nobody is likely to go on with the next image."""


class Holder(Protocol):
    """What keeps memory of its own between two images."""

    def free_memory(self) -> None:
        """Give it back; what comes next takes it anew."""


class _Users:
    """How many computations keep memory at present."""

    def __init__(self) -> None:
        # Collecting garbage while it is held may end a generator that was given up, which wants it, too.
        self.lock, self.n = threading.RLock(), 0
        self.at_end: threading.Timer | None = None
        self.holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            # A child that is forked while another thread holds the lock would wait for it without end.
            os.register_at_fork(
                before=self.lock.acquire, after_in_parent=self.lock.release, after_in_child=self._start_anew
            )

    def _start_anew(self) -> None:
        """In a forked child, which has no thread that counts down."""
        self.at_end = None
        self.lock.release()

    def change(self, by: int) -> None:
        """Tell the allocator when the first begins, and a while after the last has ended."""
        with self.lock:
            self.n += by
            self._linger()
            if self.n and (glibc := _glibc()) is not None:
                _set(glibc, WHILE_KEPT)

    def add(self, holder: Holder) -> None:
        """Remember what is to give back its memory as well."""
        with self.lock:
            self.holders.add(holder)
            self._linger()

    def _linger(self) -> None:
        """Count down anew; not while a computation goes on."""
        if self.at_end is not None:
            self.at_end.cancel()
            self.at_end = None
        # A process that is ending starts no thread, and in Python 3.11 and before waits for it without end.
        if not self.n and not sys.is_finalizing() and (self.holders or _glibc() is not None):
            self.at_end = threading.Timer(LINGER, self._give_back)
            self.at_end.daemon = True
            try:
                self.at_end.start()
            except RuntimeError:
                self._give_back()

    def _give_back(self) -> None:
        with self.lock:
            # Another may have begun while this waited for the lock.
            if self.n:
                return
            for holder in list(self.holders):
                holder.free_memory()
            self.holders.clear()
            if (glibc := _glibc()) is not None:
                _set(glibc, AFTERWARDS)
                glibc.malloc_trim(0)


def _set(glibc: Any, values: dict[int, int]) -> None:
    for name, value in values.items():
        glibc.mallopt(name, value)


_USERS = _Users()


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep what is freed inside for what is asked for next; a second after the end all of it goes back to the system.

    By itself glibc gives large arrays back at once and asks for new ones, which the system fills with zeros page by
    page: a tenth of a prediction's time and more (benchmarks/freed_memory.py). Allocators of other systems stay as they
    are, and so does glibc's where environment variables set it.
    """
    _USERS.change(1)
    try:
        yield
    finally:
        _USERS.change(-1)


def free_afterwards(holder: Holder) -> None:
    """Have it give back its memory a second after the last computation has ended, as all that is freed does."""
    _USERS.add(holder)


def give_back_freed_memory(*, also_kept: bool = False) -> None:
    """Give what is freed back to the system now, where glibc would keep it in pieces that suit nothing large.

    Parameters
    ----------
    also_kept : bool
        Whether what computations keep goes back, too: between the steps of a large image, which need other pieces.
    """
    with _USERS.lock:
        if (also_kept or not _USERS.n) and (glibc := _glibc()) is not None:
            glibc.malloc_trim(0)


def keeps_freed_memory(
    generate: Callable[Given, Generator[Event, None, Result]],
) -> Callable[Given, Generator[Event, None, Result]]:
    """The same generator function, which keeps freed memory until it ends."""

    @functools.wraps(generate)
    def keeping(*args: Given.args, **options: Given.kwargs) -> Generator[Event, None, Result]:
        with freed_memory_kept():
            return (yield from generate(*args, **options))

    return keeping


@functools.cache
def _glibc() -> Any:
    """The C library, if it is glibc and nobody has set its allocator."""
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
