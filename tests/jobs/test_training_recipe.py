"""A training as a command and a script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.jobs.train import TrainingRequest
from embedseg_napari.jobs.training_recipe import of_training


@pytest.mark.parametrize("kind", ["images", "train", "val", "session"])
def test_a_part_to_hold_out_is_in_the_command_only_where_images_are_chosen(tmp_path, kind) -> None:
    for part in {"images": [""], "train": ["train"], "val": ["train", "val"], "session": []}[kind]:
        (tmp_path / "set" / part / "images").mkdir(parents=True)
    if kind == "session":
        with AnnotationSession(tmp_path / "set") as session:
            session.add_image("cells", Picture(np.zeros((8, 8)), "YX"))
    config = TrainingConfig.preset("fast", validation_fraction=0.3)
    recipe = of_training(TrainingRequest(config, (), tmp_path / "set", None, "cpu", Path("m.embedseg")))
    assert ("--val-fraction 0.3" in recipe.command) == (kind in ("images", "train"))
    assert recipe.command.startswith("embedseg train")
    assert "'validation_fraction': 0.3" in recipe.script
