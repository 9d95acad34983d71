from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.session.session import AnnotationSession

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def untrained() -> Callable[[int], Model]:
    """Return a model that has learned nothing, always the same: ``untrained(ndim)``."""

    def make(ndim: int = 2) -> Model:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Model(ModelConfig(ndim=ndim, grid_spacing=(1 / 1023,) * ndim), BranchedERFNet(ndim, 1))

    return make


@pytest.fixture
def image(rng):
    return rng.integers(0, 4000, (20, 24), np.uint16)


@pytest.fixture
def session(tmp_path, image):
    with AnnotationSession(tmp_path / "session") as session:
        session.add_image("cells", Picture(image, "YX", (0.5, 0.25), "um"))
        yield session
