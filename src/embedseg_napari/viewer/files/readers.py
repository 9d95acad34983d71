"""Dropping a model file on napari adds it to the models, one of the original EmbedSeg as a copy; it adds no layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from embedseg_napari.viewer.model_list import MODEL_SUFFIXES, models, read_config
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_LAYER = [(None,)]
"""What napari takes for "read, and there is nothing to show"."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """Return the reader of model files, or None for anything else."""
    return read_models if all(Path(one).suffix.lower() in MODEL_SUFFIXES for one in _paths(path)) else None


def read_models(path: str | Sequence[str]) -> list[tuple[None]]:
    """Put model files at the head of the models, which every panel lists.

    Checkpoints of the original are imported into the user's folder, together with what the JSON files beside them say.

    Raises
    ------
    ModelError
        If a file is missing, damaged or of an unknown format; it is not listed then.
    """
    for one in _paths(path):
        read_config(one)
        known = models.remember(one)
        show_info(f"Model {short(known.name)} is ready.")
    return list(NO_LAYER)


def _paths(path: str | Sequence[str]) -> list[str]:
    return [str(path)] if isinstance(path, (str, Path)) else [str(one) for one in path]
