"""A folder of images to segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.jobs.folder.plan import FolderJob

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> FolderJob:
    """Two images and a model that is sure of nothing, so that it finds objects only without thresholds."""
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.tif", np.eye(24, dtype=np.uint8), "YX", (0.5, 0.5), "um")
    model = Model(ModelConfig(name="tiny"), BranchedERFNet(2, 1)).save(tmp_path / "tiny.embedseg")
    changes = {"seed_threshold": 0, "foreground_threshold": 0}
    return FolderJob((tmp_path / "images",), tmp_path / "out", model, "cpu", changes)


@pytest.fixture(autouse=True)
def nothing_else_is_tried(no_trials: None) -> None:
    """Save the time; one test lets other models be tried."""
