"""Whether a model finds annotated objects better or worse than the one its training started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["worse", "better", "alike", "unknown"]
ENOUGH_OBJECTS = 10
"""Of fewer, whether more or less of them were found is mostly chance."""
FOUND = 0.5
"""Least IoU of an object that is found."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """Of the same objects, the largest IoU with a prediction before a training and after it."""

    before: NDArray[np.float64]
    """(n,) by the model that training started from."""
    now: NDArray[np.float64]
    """(n,) by the new model."""

    @property
    def gains(self) -> NDArray[np.float64]:
        """(n,) 1 for an object that is only found now, -1 for one that no longer is, 0 for the others."""
        return (self.now >= FOUND).astype(float) - (self.before >= FOUND)


def judge(held_out: BeforeAfter, learned: BeforeAfter) -> Verdict:
    """Say whether a training has made a model better, as far as so few objects can tell.

    Objects that were held out may speak for the new model and against it. Those that it has learned from favour it, so
    that they only count where it finds fewer of them than the model before.

    Parameters
    ----------
    held_out : BeforeAfter
        Objects that were not trained on.
    learned : BeforeAfter
        Objects that were.

    Returns
    -------
    {"worse", "better", "alike", "unknown"}
        ``"worse"`` or ``"better"`` where the mean change exceeds its standard error, ``"unknown"`` where fewer than
        ten objects could show one.
    """
    if _change(np.concatenate([held_out.gains, learned.gains])) < 0 or _change(held_out.gains) < 0:
        return "worse"
    if len(held_out.gains) < ENOUGH_OBJECTS:
        return "unknown"
    return "better" if _change(held_out.gains) > 0 else "alike"


def _change(gains: NDArray[np.float64]) -> int:
    """-1, 0 or 1: the sign of the mean gain where it exceeds its standard error."""
    if len(gains) < ENOUGH_OBJECTS:
        return 0
    mean, error = gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))
    return int(np.sign(mean)) if abs(mean) > error + 1e-9 else 0
