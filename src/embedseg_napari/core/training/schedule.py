"""How far a training is, and the learning rate that belongs to it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedseg_napari.core.events import Message

if TYPE_CHECKING:
    from embedseg_napari.core.config import TrainingConfig


MOST_RESERVE = 0.5
"""Part of a time budget that is kept for the end at most: thresholds of a network that knows nothing are no use."""
MUCH_LATER = 5.0
"""Seconds that are worth a word."""


@dataclass(slots=True)
class Clock:
    """Wall-clock seconds of a training, those before a resume included.

    Parameters
    ----------
    started : float
        `time.monotonic` at the start of the program, so that reading data counts.
    before : float
        Seconds spent before a resume.
    """

    started: float = field(default_factory=time.monotonic)
    before: float = 0.0

    def seconds(self) -> float:
        """Seconds so far."""
        return self.before + time.monotonic() - self.started


@dataclass(slots=True)
class Schedule:
    """Fraction of the training done, by steps or by the clock, and the learning rate there."""

    config: TrainingConfig
    steps_per_epoch: int
    clock: Clock
    rate: float = 1.0
    """Part of the configured learning rate that is taken."""
    reserve: float = 2.0
    """Seconds of a time budget kept for the last validation, choices and saving, as far as they are at most half."""

    @property
    def limit(self) -> float:
        """Seconds that the training shall take; infinite where its epochs are counted."""
        return math.inf if self.config.minutes is None else 60 * self.config.minutes

    def progress(self, step: int) -> float:
        """Fraction of the training that is done after `step` steps, 0 to 1."""
        if self.config.epochs is not None:
            return min(step / (self.config.epochs * self.steps_per_epoch), 1.0)
        budget = self.limit - min(self.reserve, MOST_RESERVE * self.limit)
        return min(self.clock.seconds() / budget, 1.0)

    def warning(self, holds_out: bool) -> Message | None:
        """What to say of a time budget that the end of the training will exceed; None if it will not.

        Parameters
        ----------
        holds_out : bool
            Whether images, or objects of them, are held out.
        """
        over = self.reserve - MOST_RESERVE * self.limit
        if self.config.epochs is not None or over < MUCH_LATER:
            return None
        return Message(
            f"Segmenting images at the end takes long: the training will learn for half of its "
            f"{self.config.minutes:g} minutes and may end {over:.0f} seconds late. Give it more time"
            f"{', or hold out fewer images' if holds_out else ''}.",
            "warning",
        )

    def learning_rate(self, step: int, progress: float) -> float:
        """Learning rate of the next step, after `step` steps at the given progress.

        The polynomial is the paper's, (1 - epoch / epochs) ** 0.9, constant within an epoch; the cosine falls with
        every step; the constant stays once it has risen.
        """
        base = self.config.learning_rate * self.rate
        if self.config.schedule == "polynomial":
            if self.config.epochs is not None:
                progress = (step // self.steps_per_epoch) / self.config.epochs
            factor = float((1.0 - progress) ** 0.9)
        elif self.config.schedule == "constant":
            factor = 1.0
        else:
            factor = 0.5 * (1.0 + math.cos(math.pi * progress))
        if progress < self.config.warmup:
            # Never zero, so that a first step teaches something.
            factor *= (progress + 0.1 * self.config.warmup) / (1.1 * self.config.warmup)
        return base * factor
