"""Number of threads of a training on a CPU: as many as help, which are fewer while other programs are at work."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import torch

from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable

TRIAL_STEPS = 3
"""Steps that another number of threads is tried for, after one that is not counted."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds from one trial to the next: doubled after each that changed nothing."""
GAIN = 0.95
"""Another number of threads must bring steps below this part of their time."""
SLOWED_DOWN = 1.5
"""Steps that take this much longer than they used to call for a trial at once."""


class _Tuners:
    """The tuners at work in this process, and its own number of threads.

    A thread begins with the number that any other has set last, and has one of its own from then on. While a training
    tunes its number, what PyTorch tells in another thread may be a trial of that one.
    """

    def __init__(self) -> None:
        self.lock, self.n, self.own = threading.Lock(), 0, 0

    def join(self, is_on: bool) -> int:
        """Begin with the process's own number; returns it."""
        with self.lock:
            if self.n == 0:
                self.own = torch.get_num_threads()
            elif self.own != torch.get_num_threads():
                torch.set_num_threads(self.own)
            self.n += is_on and self.own > 1
            return self.own

    def leave(self) -> None:
        """Give this thread, and those that begin later, the process's own number back."""
        with self.lock:
            torch.set_num_threads(self.own)
            self.n -= 1


_TUNERS = _Tuners()


class ThreadTuner:
    """Changes PyTorch's number of threads between steps to the one that steps are quickest with.

    The threads of a step wait for each other several hundred times. Where another program, or the viewer's own drawing,
    takes one of the cores, all of them wait for the one without: two threads on two cores of which one is busy are
    more than twice as slow as a single one. Which number of threads is best can only be found out by trying.

    Parameters
    ----------
    is_on : bool
        False leaves the number alone: sums in float32 depend on it, and a training by epochs must be repeatable.
    is_busy : callable
        Whether this program itself keeps a core busy with something else for a while; that core is left to it.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        is_on: bool,
        is_busy: Callable[[], bool] = never,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = _TUNERS.join(is_on)
        self.is_on = is_on and self.most > 1
        self.is_busy, self.clock = is_busy, clock
        self.n = self.most
        self.recent: deque[float] = deque(maxlen=2 * TRIAL_STEPS - 1)
        self.usual = float("inf")
        self.trial: list[float] | None = None
        self.spares_core = False
        self.tries_fewer = True
        self.pause = FIRST_PAUSE
        self.next_trial = clock() + self.pause

    def before_step(self) -> None:
        """Leave a core to what else this program does."""
        if self.is_on and (self.is_busy() != self.spares_core):
            self.spares_core = not self.spares_core
            torch.set_num_threads(self.most - 1 if self.spares_core else self.n)

    def after_step(self, seconds: float) -> None:
        """Take note of a step's duration; begin or end a trial if it is time."""
        if not self.is_on or self.spares_core:
            return
        if self.trial is not None:
            self.trial.append(seconds)
            self._judge(self.trial[1:])
            return
        self.recent.append(seconds)
        if len(self.recent) < TRIAL_STEPS:
            return
        now = statistics.median(self.recent)
        self.usual = min(self.usual, now)
        if now > SLOWED_DOWN * self.usual:
            self.usual, self.pause = now, FIRST_PAUSE
            self._begin()
        elif self.clock() >= self.next_trial:
            self._begin()

    def _begin(self) -> None:
        self.tries_fewer = self.n == self.most or (self.n > 1 and not self.tries_fewer)
        self.trial = []
        torch.set_num_threads(max(self.n // 2, 1) if self.tries_fewer else min(2 * self.n, self.most))

    def _judge(self, times: list[float]) -> None:
        """End a trial when it is over, or when a single step has shown that it is no good."""
        now = statistics.median(self.recent)
        is_hopeless = bool(times) and min(times) > SLOWED_DOWN * now
        if len(times) < TRIAL_STEPS and not is_hopeless:
            return
        if not is_hopeless and statistics.median(times) < GAIN * now:
            self.n = torch.get_num_threads()
            self.recent.clear()
            self.recent.extend(times)
            self.usual, self.pause = statistics.median(times), FIRST_PAUSE
        else:
            self.pause = min(2 * self.pause, LONGEST_PAUSE)
            torch.set_num_threads(self.n)
        self.trial = None
        self.next_trial = self.clock() + self.pause

    def restore(self) -> None:
        """Give PyTorch the number of threads back that it had."""
        if self.is_on:
            self.is_on = False
            _TUNERS.leave()
