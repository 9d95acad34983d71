"""How long a run still takes, in words, from its pace so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from embedseg_napari.core.wording import duration

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_SECONDS = 2.0
"""So long the pace is watched before anything is said of it, and shorter rests are not worth a word."""


class TimeLeft:
    """Counts from its making, or from :meth:`begin`.

    Parameters
    ----------
    clock : callable
        Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """The run begins now."""
        self._began = self._clock()

    def text(self, done: float) -> str:
        """What follows the progress of a run on its bar, such as ``"  ·  3 min left"``; empty where it is short.

        Parameters
        ----------
        done : float
            The part that is done, 0 to 1.
        """
        spent = self._clock() - self._began
        if not 0 < done < 1 or spent < LEAST_SECONDS:
            return ""
        left = spent * (1 - done) / done
        return f"  ·  {duration(left)} left" if left >= LEAST_SECONDS else ""
