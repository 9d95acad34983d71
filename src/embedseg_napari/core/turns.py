"""How soon a thread that runs Python makes room for another that waits."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 0.0002
"""Python's default is 25 times longer, and a viewer that draws waits that long at each of its hundreds of calls."""


class _ShortTurns:
    """Counts who wants short turns; the last one gives back what was there before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n, self.before = 0, 0.0

    def begin(self) -> None:
        with self.lock:
            if not self.n:
                self.before = sys.getswitchinterval()
                sys.setswitchinterval(SECONDS)
            self.n += 1

    def end(self) -> None:
        with self.lock:
            self.n -= 1
            if not self.n:
                sys.setswitchinterval(self.before)


_turns = _ShortTurns()


@contextmanager
def short_turns() -> Iterator[None]:
    """Let no thread keep another one waiting for long, as long as this goes on in any thread."""
    _turns.begin()
    try:
        yield
    finally:
        _turns.end()
