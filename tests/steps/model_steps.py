"""Looking at libraries of models and at model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from embedseg_napari.core.model.model_file import read_model_file

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.model.library import ModelLibrary


def own_names(library: ModelLibrary) -> list[str]:
    """Names of the models that are not bundled."""
    return [known.name for known in library.models() if not known.is_bundled]


def weights_are_equal(one: Path, other: Path) -> bool:
    """Whether two model files hold the same weights, bit by bit."""
    first, second = read_model_file(one)[0], read_model_file(other)[0]
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
