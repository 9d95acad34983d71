"""What the network saw, as layers."""

from __future__ import annotations

import numpy as np
import pytest
from segment_steps import finish, perfect_maps, two_objects

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.viewer.segment.embedding_view import voters


def test_what_the_network_sees(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.embedding.arrows_box.setChecked(True)
    arrows = viewer.layers["cells offsets"].data
    np.testing.assert_allclose(arrows[0].sum(axis=0), [4.5, 4.5])
    panel.embedding.click_box.setChecked(True)
    panel.embedding.show_object(2)
    assert len(viewer.layers["votes"].data) == 48
    assert "48 pixels" in panel.embedding.hint.text()
    assert "margin" in viewer.layers
    panel.embedding.click_box.setChecked(False)
    panel.embedding.arrows_box.setChecked(False)
    assert "margin" not in viewer.layers
    assert "cells offsets" not in viewer.layers


def test_an_object_is_clicked_beside_a_layer_in_another_unit(viewer, panel, fake, qtbot, drag):
    viewer.add_image(np.zeros((24, 24)), scale=(500, 500), units=("nm", "nm"), axis_labels="yx")
    viewer.add_image(np.zeros((24, 24)), name="cells", scale=(0.5, 0.5), units=("um", "um"), axis_labels="yx")
    panel.start()
    finish(qtbot, panel)
    labels = panel.results.labels
    panel.embedding.click_box.setChecked(True)
    drag(labels, tuple(np.argwhere(labels.data == 2).mean(axis=0).round().astype(int).tolist()))
    assert "Object 2:" in panel.embedding.hint.text()


@pytest.mark.parametrize("ndim", [2, 3])
def test_votes_are_the_pixels_that_point_into_the_margin(ndim):
    labels = two_objects((4, 24, 24)[-ndim:])
    part = Segmentation.collect(perfect_maps(labels), PredictionConfig(seed_threshold=0.5, foreground_threshold=0.3))
    center, margins, pixels = voters(part, 1)
    np.testing.assert_allclose(center[-2:], [4.5, 4.5])
    np.testing.assert_allclose(margins, 2.0)
    assert {tuple(pixel) for pixel in pixels} == {tuple(at) for at in np.argwhere(labels == 1)}
