"""The layers of a preview: made hidden, and seen one step later."""

from __future__ import annotations

import numpy as np

from embedseg_napari.viewer.preview.preview_layers import PreviewLayers, as_seen
from embedseg_napari.viewer.result_layers import show_image, show_points, spatial_frame

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


def test_colours_are_seen_as_colours_in_place_of_a_grey_image(layer_viewer) -> None:
    frame = spatial_frame(layer_viewer.add_image(np.zeros((8, 8))), "YX")
    previews = PreviewLayers(layer_viewer)
    red = np.zeros((3, 8, 8), np.float32)
    red[0, 2:] = 4
    for image, is_colour in ((red[:1], False), (red, True), (red, True), (red[:2], False)):
        pixels, look = as_seen(image)
        previews.put(show_image, "preview: image", pixels, frame=frame, **look)
        layer = layer_viewer.layers["preview: image"]
        assert (layer.rgb, layer.visible) == (is_colour, True)
        if is_colour:
            np.testing.assert_array_equal(layer.data[5, 5], (1, 0, 0))
        else:
            np.testing.assert_array_equal(layer.data, red[0])


def test_a_volume_in_colours_is_seen_in_grey() -> None:
    # napari shows no colours in 3D.
    pixels, look = as_seen(np.ones((3, 2, 8, 8), np.float32))
    assert pixels.shape == (2, 8, 8)
    assert "rgb" not in look
