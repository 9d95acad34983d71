"""What a training begins with where nobody chose it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.model.known_models import SCRATCH, start_path
from embedseg_napari.core.model.model import Model, load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example


def start_model(
    wanted: Model | str | Path | None, config: TrainingConfig, training: Sequence[Example], device: str = "cpu"
) -> Model | None:
    """The model that training starts from; None for a new network.

    Parameters
    ----------
    wanted : Model, str, path or None
        A model, its file or its name; "scratch" for a new network. None leaves it to the settings: trainings on few
        labels (`keep_start`) begin with the bundled start model, unless another architecture was asked for, all
        others with a new network (`docs/results.md`, one image).
    config : TrainingConfig
        Settings.
    training : sequence of Example
        Training images.
    device : str
        As for :func:`load_model`.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged.
    """
    if isinstance(wanted, Model):
        return wanted
    if wanted is None:
        path = start_path(training[0].ndim) if training and config.keep_start else None
        start = None if path is None else load_model(path, device)
        is_free = start is not None and "architecture" not in config.model_fields_set
        return start if start is not None and (is_free or start.config.architecture == config.architecture) else None
    if wanted == SCRATCH and not Path(SCRATCH).is_file():
        return None
    return load_model(wanted, device)
