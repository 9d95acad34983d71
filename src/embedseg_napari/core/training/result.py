"""What a training leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.events import EpochFinished
    from embedseg_napari.core.model.model import Model


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The outcome of a training, finished or stopped."""

    model: Model
    """The best model by validation score. Without validation the last one, as where training was stopped and no score
    says that it had become worse."""
    history: tuple[EpochFinished, ...]
    """One row per epoch."""
    best_score: float | None
    """Validation score of `model`: mean AP over IoU 0.5 ... 0.9; None without validation, or where a stopped training
    has made steps since the last one.

    Where objects are held out instead of images: the fraction of them found, same mean; in the last validation, or
    with the thresholds of the model where it has others."""
    stopped: bool
    """Whether a stop was asked for before the end."""
    path: Path | None
    """Where the model was saved, if it was."""
    is_earlier: bool = False
    """Whether training ended before its time and `model` is not its last state, but the one that scored best."""

    def __repr__(self) -> str:
        score = "no score" if self.best_score is None else f"score {self.best_score:.3f}"
        end = ", stopped" if self.stopped else ""
        return f"TrainingResult({self.model!r}, {count(len(self.history), 'epoch')}, {score}{end})"
