"""What a training began with, which lasts although it is resumed without the model that it started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from embedseg_napari.core.model.fingerprint import digest_of
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.core.settings import Count  # noqa: TC001, pydantic looks it up

if TYPE_CHECKING:
    from embedseg_napari.core.model.model import Model

Threshold = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Origin:
    """Thresholds to begin with, and which model they are from."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    seed_threshold: Threshold
    foreground_threshold: Threshold
    usual_seed_threshold: Threshold
    """See `TrainingPlan`, as of the next."""
    known_least_size: Count | None
    started_from: str | None
    """Name of the model; None for a new network."""
    steps_before: Count
    """Steps of trainings that this one goes on from."""


def steps_before(start: Model | None) -> int:
    """Steps of trainings that one from this model goes on from; those of a bundled one were made on other images."""
    is_bundled = start is not None and start.path is not None and model_at(start.path).is_bundled
    return 0 if start is None or is_bundled else max(start.config.n_steps or 0, 0)


def start_words(start: Model | None) -> str:
    """Name and digest of a start model; empty for a new network."""
    return "" if start is None else f"{start.config.name} ({digest_of(start).hexdigest()})".strip()
