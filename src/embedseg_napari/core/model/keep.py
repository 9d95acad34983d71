"""Saving what a training made: it must go somewhere, and never over somebody else's work."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.files.atomic import alone, version_of
from embedseg_napari.core.model.known_models import models_folder
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.model.model_file import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.model.model import Model


def model_path(output: str | Path) -> Path:
    """Return a path with the ending of model files."""
    path = Path(output)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def keep_model(model: Model, output: Path, known: tuple[int, ...] | None, name: str) -> tuple[Path, str]:
    """Save a model where it shall go; else, under a number or in another place, where it can go.

    Parameters
    ----------
    model : Model
        What a training made; gets its name.
    output : Path
        Where it shall go.
    known : tuple of int, optional
        The file there that may be replaced, as `version_of` told when the training began; None if there was none.
    name : str
        What the model is called if it gets there; elsewhere it is called like its file.

    Returns
    -------
    path : Path
        The file.
    warning : str
        What the user must know where this is not `output`; else empty.

    Raises
    ------
    DataError
        If it can be written nowhere.
    """

    def save(path: Path, overwrite: bool = False) -> None:
        model.config = model.config.model_copy(update={"name": name if path == output else path.stem})
        model.save(path, overwrite=overwrite)

    try:
        with alone(output.parent):
            found = version_of(output)
            if found in (known, None):
                save(output, overwrite=found is not None)
                return output, ""
    except AlreadyExists:
        # It came this very moment.
        pass
    except DataError as error:
        return _keep_elsewhere(output.stem, save, error)
    try:
        path = ModelLibrary(output.parent).write_numbered(output.stem, save)
    except DataError as error:
        return _keep_elsewhere(output.stem, save, error)
    return (
        path,
        f"{output} was written by another program meanwhile and is left as it is; the model is saved as {path}.",
    )


def _keep_elsewhere(name: str, save: Callable[[Path], object], reason: DataError) -> tuple[Path, str]:
    for folder in (models_folder(), Path(tempfile.gettempdir())):
        try:
            path = ModelLibrary(folder).write_numbered(name, save)
        except (DataError, OSError):
            continue
        return path, f"{reason} The model is saved as {path} instead; move it to where you want it."
    raise reason
