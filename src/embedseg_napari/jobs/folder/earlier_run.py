"""What an earlier run over the same images has done: to go on where it was stopped or killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.plane_stack import each_plane, is_plane_file
from embedseg_napari.core.files.tiff import read_image, read_software
from embedseg_napari.core.model.fingerprint import digest_of, geometry_of
from embedseg_napari.core.model.known_models import CHECKPOINTS
from embedseg_napari.core.runs import never
from embedseg_napari.jobs.recipe import file_hash, read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.model.model import Model

MADE_HERE = "embedseg-napari, model and settings"


def signature(model: Model, *settings: object) -> str:
    """Return what a label image says of its making: the program, and a number that stands for model and settings."""
    digest = digest_of(model)
    if model.path is not None and model.path.suffix.lower() in CHECKPOINTS:
        # A checkpoint does not hold it: it is what the files beside it say, which may come and go.
        digest.update(repr(geometry_of(model.config)).encode())
    digest.update(repr(settings).encode())
    return f"{MADE_HERE} {digest.hexdigest()}"


def is_made_here(path: Path) -> bool:
    """Whether a run has written a file of pixels, whatever its model and settings were."""
    return read_software(path).startswith(MADE_HERE)


def is_whole(labels: Path, made_by: str) -> bool:
    """Whether a run with this signature has written a label image, and it can be read.

    Raises
    ------
    DataError
        If there is a file that no such run has written.
    """
    if not os.path.lexists(labels):
        return False
    if read_software(labels) != made_by:
        raise DataError(
            f"{labels}: was not made with this model and these settings, or was changed since; it is left as it is. "
            "Move it away, or choose another folder."
        )
    try:
        if is_plane_file(labels):
            for _ in each_plane(open_image(labels)):
                # A stack of them may be larger than memory.
                pass
        else:
            array: Any = read_image(labels, lazily=True).array
            if isinstance(array, FramesOnDisk):
                array.check(never)
    except DataError:
        # Made here and damaged since: it is made again.
        return False
    return True


def require_same_image(image: Path, labels: Path) -> None:
    """Refuse labels that are of another image, by what their recipe says; those of early versions do not say it.

    Raises
    ------
    DataError
        If they are.
    """
    known = (read_recipe(labels) or {}).get("image")
    found = known.get("sha256") if isinstance(known, dict) else None
    if found and found != file_hash(image):
        raise DataError(
            f"{labels}: are labels of another image called {image.name}, or of this one before it was changed; they "
            "are left as they are. Move them away, or choose another folder."
        )
