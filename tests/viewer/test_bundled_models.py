"""The bundled models on real images, through the Segment panel: an image, two clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import read_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "data", "file", "axes", "least"),
    [
        ("nuclei-2d", "dsb2018/val", "b76ff33a*", None, 0.85),
        ("cells-phase-2d", "usiigaci/train", "set25.tif", None, 0.6),
        ("nuclei-histology-2d", "histology/train", "4ae4f936*", None, 0.6),
        ("nuclei-3d", "bbbc050/train", "Emb10_t301.tif", ("z", "y", "x"), 0.5),
    ],
)
def test_a_bundled_model_segments_an_opened_image(
    viewer, open_panel, qtbot, shared_data: Callable[[str], Path], name: str, data: str, file: str, axes, least: float
) -> None:
    (path,) = (shared_data(data) / "images").glob(file)
    panel = open_panel("EmbedSeg: Segment")
    (layer,) = viewer.open(path, plugin="napari")
    if axes is not None:
        layer.axis_labels = axes
    panel.image.layer_box.choose(layer)
    if name == "cells-phase-2d":
        panel.model.box.setCurrentText(f"{name} (bundled)")
    assert panel.model.path.stem == name, "nuclei are what an image or a volume gets by itself"
    panel.run_button.click()
    qtbot.waitUntil(lambda: panel.current is None, timeout=120_000)
    assert panel.run_button.isEnabled(), "it can be segmented once more"
    truth = read_image(path.parents[1] / "masks" / path.name).array
    assert match(truth, panel.results.labels.data)[0].ap > least
