"""The layers of a preview: made hidden, and seen one step later."""

from __future__ import annotations

import numpy as np

from embedseg_napari.viewer.preview.preview_layers import PreviewLayers
from embedseg_napari.viewer.result_layers import show_points, spatial_frame

NAME = "preview: seeds"


def test_a_layer_whose_second_step_was_left_out_is_seen_with_the_next_preview(layer_viewer) -> None:
    frame = spatial_frame(layer_viewer.add_image(np.zeros((8, 8))), "YX")
    previews = PreviewLayers(layer_viewer)
    next(previews.put_steps(show_points, NAME, np.ones((1, 2)), frame=frame))
    seeds = layer_viewer.layers[NAME]
    assert not seeds.visible
    previews.put(show_points, NAME, np.ones((2, 2)), frame=frame)
    assert seeds.visible
    # What the user hides stays hidden.
    seeds.visible = False
    previews.put(show_points, NAME, np.ones((3, 2)), frame=frame)
    assert not seeds.visible


def test_what_is_hidden_at_first_is_left_to_the_user(layer_viewer) -> None:
    frame = spatial_frame(layer_viewer.add_image(np.zeros((8, 8))), "YX")
    previews = PreviewLayers(layer_viewer)
    for n in (1, 2):
        previews.put(show_points, NAME, np.ones((n, 2)), frame=frame, visible=False)
        assert not layer_viewer.layers[NAME].visible
