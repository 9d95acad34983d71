"""What tests of models share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    """Return an empty library."""
    return ModelLibrary(tmp_path / "models")


@pytest.fixture
def model() -> Model:
    """Return a model that was never trained."""
    torch.manual_seed(0)
    return Model(ModelConfig(name="first"), BranchedERFNet(2, 1).eval())
