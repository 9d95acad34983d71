"""A channel that was segmented is the one that is labelled."""

from __future__ import annotations

import numpy as np
import pytest
from view_steps import turned

from embedseg_napari.viewer.label.single_channel import single_channel


@pytest.mark.parametrize("is_rgb", [True, False])
def test_one_channel_is_an_image_of_its_own_in_the_same_place(layer_viewer, is_rgb):
    planes = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    options = {"scale": (0.5, 0.5), "translate": (3, 4)} if is_rgb else {"scale": (1, 0.5, 0.5), "translate": (0, 3, 4)}
    data = np.moveaxis(planes, 0, -1) if is_rgb else planes
    labels = ("y", "x") if is_rgb else ("c", "y", "x")
    options |= turned(data.ndim - is_rgb)
    layer = layer_viewer.add_image(data, name="cells", rgb=is_rgb, axis_labels=labels, **options)
    one = single_channel(layer_viewer, layer, 1)
    assert one.name == "cells channel 1"
    np.testing.assert_array_equal(one.data, planes[1])
    assert (tuple(one.scale), tuple(one.translate)) == ((0.5, 0.5), (3, 4))
    assert not layer.visible
    np.testing.assert_allclose(one.data_to_world((5, 7)), layer.data_to_world((5, 7) if is_rgb else (1, 5, 7))[-2:])
    assert single_channel(layer_viewer, layer, 1) is one
    mean = single_channel(layer_viewer, layer, "mean")
    np.testing.assert_allclose(mean.data, planes.mean(0), rtol=1e-6)
    assert single_channel(layer_viewer, layer, "all") is layer
    assert single_channel(layer_viewer, one, 0) is one
    # As a session opens it again, and another image of this name.
    again = layer_viewer.add_image(planes[2], name="cells channel 2", axis_labels=("y", "x"))
    assert single_channel(layer_viewer, layer, 2) is again
    other = layer_viewer.add_image(planes[1], name="cells channel 0", axis_labels=("y", "x"))
    assert single_channel(layer_viewer, layer, 0) is not other


def test_two_planes_without_names_are_channels_here_as_in_the_segment_panel(layer_viewer):
    planes = np.random.default_rng(0).random((2, 20, 30))
    layer = layer_viewer.add_image(planes, name="cells")
    np.testing.assert_array_equal(single_channel(layer_viewer, layer, 1).data, planes[1])
