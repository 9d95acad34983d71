"""The model that a training in a worker thread leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.model.keep import keep_model
from embedseg_napari.core.session.state import FoundObjects

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.training.result import TrainingResult


@dataclass(frozen=True, slots=True)
class SavedTraining:
    """What a training left behind."""

    path: Path | None
    """The model; None if training was stopped before its first step."""
    best_score: float | None
    stopped: bool
    steps: int
    warning: str = ""
    """What the user must know about where the model is."""
    held_out: FoundObjects = field(default_factory=FoundObjects)
    """What the model of a round finds of the objects that were held out."""


def prepare_output(output: Path) -> None:
    """Make the folder of the model to be.

    Raises
    ------
    SettingsError
        If there is such a model already, or the folder cannot be made.
    """
    if output.exists():
        raise SettingsError(f"{output} exists already; choose another name for the model.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{output.parent}: cannot be made ({error.strerror or error}); choose another folder for the model."
        ) from error


def save_result(result: TrainingResult, output: Path, name: str) -> SavedTraining:
    """Save the model of a training; there is none where it was stopped before its first step.

    Where another model took the name meanwhile, or the place cannot be written, it goes elsewhere, and a warning says
    where.
    """
    steps = int(str(result.model.config.training.get("steps", 0)))
    path, warning = keep_model(result.model, output, None, name) if steps else (None, "")
    return SavedTraining(path, result.best_score, result.stopped, steps, warning)
