"""What a training begins with where nobody chose it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.evaluation.before_after import ENOUGH_OBJECTS
from embedseg_napari.core.model.known_models import SCRATCH, is_start, start_path
from embedseg_napari.core.model.model_file import read_model_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

MANY_STEPS = 768
"""Steps on ten objects or more after which something is kept of a model made for being trained on again."""


def usual_start(config: TrainingConfig, ndim: int) -> tuple[Path | None, str]:
    """The model that a training begins with unless a person says otherwise, and why; reads no weights.

    Trainings on few labels (`keep_start`) begin with a bundled model, whose network is kept, unless an architecture
    other than its own and the default was asked for; all others with a new network (`docs/results.md`, one image).

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    ndim : int
        Spatial axes of the images.

    Returns
    -------
    path : Path or None
        File of the model; None for a new network.
    why : str
        What follows "because"; empty where nothing but a new network is to be expected.
    """
    path = start_path(ndim) if config.keep_start else None
    if path is None:
        return None, ""
    own = read_model_config(path).architecture
    default = type(config).model_fields["architecture"].default
    if own != config.architecture != default:
        return None, f"{path.stem}, with which few labels begin otherwise, is a {own} and no {config.architecture}"
    return path, "few labels teach it more than a new network"


def knows_more(start: Model | None, n_objects: int, n_steps: float) -> bool:
    """Whether the model that a training started from may know what so many annotated objects do not teach.

    One that was made for being trained on knows less than a short look at a whole image shows; after many steps the
    network knows that image too well (`docs/choices.md`, start models).
    """
    if start is None or not is_start(start.path):
        return start is not None
    return n_objects < ENOUGH_OBJECTS or n_steps >= MANY_STEPS


def keeps_norms(start: Model | None, config: TrainingConfig, n_objects: int) -> bool:
    """Whether batch norm stays that of the model that a training starts from.

    The crops around a few objects show little else, and a network that is used to them finds things of its own in the
    rest of an image. One that segments another kind of image must get used to this one (`docs/choices.md`).
    """
    return start is not None and is_start(start.path) and config.keep_start and n_objects < ENOUGH_OBJECTS


def start_model(
    wanted: Model | str | Path | None, config: TrainingConfig, training: Sequence[Example], device: str = "cpu"
) -> Model | None:
    """The model that training starts from; None for a new network.

    Parameters
    ----------
    wanted : Model, str, path or None
        A model, its file or its name; "scratch" for a new network. None leaves it to :func:`usual_start`.
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
    from embedseg_napari.core.model.model import Model, load_model

    if isinstance(wanted, Model):
        return wanted
    if wanted is None:
        path = usual_start(config, training[0].ndim)[0] if training else None
        return None if path is None else load_model(path, device)
    if wanted == SCRATCH and not Path(SCRATCH).is_file():
        return None
    return load_model(wanted, device)
