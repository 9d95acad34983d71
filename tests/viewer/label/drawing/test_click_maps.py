"""What the model says about the image that is clicked on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.model.channels import with_channels
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain, never
from embedseg_napari.viewer.label.drawing.click_maps import ClickMaps

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.mark.parametrize("n_channels", [1, 3])
def test_maps_are_of_the_image_as_a_round_sees_it(viewer, open_panel, qtbot, tmp_path, n_channels):
    model = load_model("nuclei-2d", device="cpu")
    changes = {"normalization": NormalizationConfig(method="dtype-range")}
    model.config = model.config.model_copy(update=changes)
    path = model.save(tmp_path / "of a range")
    grey = nuclei((96, 96), diameter=20, seed=1).image.astype(np.float32)
    image = np.stack([(255 * grey / grey.max()).astype(np.uint8)] * n_channels)
    viewer.add_image(image if n_channels > 1 else image[0], axis_labels="cyx"[n_channels == 1 :])
    panel = open_panel("EmbedSeg: Label & Train")
    panel.annotation.annotate.click()
    maps = ClickMaps(panel.annotation.layers, panel.view, lambda: path, lambda: "cpu")
    maps.begin()
    qtbot.waitUntil(lambda: not maps.is_computing, timeout=30_000)
    seen = drain(Predictor(with_channels(model, n_channels)).embed(image, "CYX", never))
    assert seen.seed_map.max() > 0.5
    np.testing.assert_allclose(maps._computed[1].seed_map, seen.seed_map, atol=1e-5)
