"""The Evaluate panel, and two layers to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from evaluate_steps import PANEL, spoiled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def panel(open_panel, qtbot):
    widget = open_panel(PANEL)
    yield widget
    if widget.run is not None:
        qtbot.waitUntil(lambda: not widget.run.is_active)


@pytest.fixture(params=[2, 3])
def pair(request, blobs, viewer):
    """Truth and prediction as layers with a scale."""
    true = blobs(request.param)[1]
    predicted = spoiled(true)
    scale, translate = (2.0, 0.5, 0.5)[-true.ndim :], (10.0, 20.0, 30.0)[-true.ndim :]
    options = {"scale": scale, "translate": translate}
    return (
        viewer.add_labels(true, name="truth", **options),
        viewer.add_labels(predicted, name="prediction", **options),
    )


@pytest.fixture
def folders(tmp_path: Path, blobs) -> tuple[Path, Path]:
    image, true = blobs(2)
    for folder in ("truth/masks", "truth/images", "predicted"):
        (tmp_path / folder).mkdir(parents=True)
    for name, predicted in (("a.tif", spoiled(true)), ("b.tif", true)):
        tifffile.imwrite(tmp_path / "truth/masks" / name, true.astype(np.uint16))
        tifffile.imwrite(tmp_path / "truth/images" / name, image)
        tifffile.imwrite(tmp_path / "predicted" / name, predicted.astype(np.uint16))
    return tmp_path / "truth", tmp_path / "predicted"
