"""What an earlier run has done counts for the same model: weights, and how images reach them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import ModelConfig, NormalizationConfig
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.core.model.fingerprint import digest_of
from embedseg_napari.core.model.legacy import LegacyGeometry
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.folder.earlier_run import signature
from embedseg_napari.jobs.folder.plan import FolderJob
from embedseg_napari.jobs.folder.segment_folder import segment_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file of the original program, with nothing beside it."""
    folder = tmp_path / "experiment" / "worms"
    folder.mkdir(parents=True)
    torch.save({"model_state_dict": BranchedERFNet(2, 1).state_dict()}, folder / "worms.pth")
    return folder / "worms.pth"


@pytest.mark.parametrize("where", ["beside", "above"])
def test_labels_made_before_a_file_came_beside_the_checkpoint_are_not_taken_for_the_same(
    checkpoint: Path, tmp_path: Path, where: str
) -> None:
    write_image(tmp_path / "images" / "a.tif", np.eye(24, dtype=np.uint8), "YX")
    changes: dict[str, Any] = {"seed_threshold": 0, "foreground_threshold": 0}
    job = FolderJob((tmp_path / "images",), tmp_path / "out", checkpoint, "cpu", changes)
    assert drain(segment_folder(job, never)).n_saved == 1
    again = replace(job, resume=True)
    assert drain(segment_folder(again, never)).n_skipped == 1
    beside = (checkpoint.parent if where == "beside" else tmp_path / "experiment") / "normalization.json"
    beside.write_text(json.dumps({"norm": "absolute", "data_type": "8-bit"}))
    (failure,) = drain(segment_folder(again, never)).failures
    assert "a.tif: was not made with this model" in failure.reason
    beside.unlink()
    assert drain(segment_folder(again, never)).n_skipped == 1


def test_the_grid_of_a_checkpoint_counts(checkpoint: Path) -> None:
    plain, other = load_model(checkpoint, "cpu"), load_model(checkpoint, "cpu", LegacyGeometry((0.002, 0.002)))
    assert signature(plain, 1) != signature(other, 1)
    assert signature(plain, 1) == signature(load_model(checkpoint, "cpu"), 1) != signature(plain, 2)


def test_runs_of_model_files_that_are_begun_stay_what_they_are(tmp_path: Path) -> None:
    config = ModelConfig(normalization=NormalizationConfig(method="mean-std", clip=None))
    model = Model(config, BranchedERFNet(2, 1))
    digest = digest_of(model)
    digest.update(b"('a', 1)")
    for path in (None, tmp_path / "a.embedseg"):
        model.path = path
        assert signature(model, "a", 1) == f"embedseg-napari, model and settings {digest.hexdigest()}"
