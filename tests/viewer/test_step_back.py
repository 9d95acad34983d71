"""Layers that step back come back as they were, or as the user has set them meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.layers import SEGMENTED
from embedseg_napari.viewer.step_back import SteppedBack, bring_up


@pytest.fixture
def layers(layer_viewer):
    return [layer_viewer.add_labels(np.ones((4, 4), int), opacity=opacity) for opacity in (0.9, 0.7, 0.1)]


def test_layers_come_back_as_they_were(layers):
    back = SteppedBack(0.2)
    back.hold(layers)
    back.hold(layers)
    assert [layer.opacity for layer in layers] == [0.2, 0.2, 0.1]
    back.hold(layers[1:])
    assert [layer.opacity for layer in layers] == [0.9, 0.2, 0.1]
    back.release()
    back.release()
    assert [layer.opacity for layer in layers] == [0.9, 0.7, 0.1]


def test_what_the_user_sets_meanwhile_stays(layers):
    back = SteppedBack(0.2)
    back.hold(layers)
    layers[0].opacity, layers[1].opacity = 0.5, 0.05
    back.hold(layers)
    assert [layer.opacity for layer in layers[:2]] == [0.5, 0.05]
    back.release()
    assert [layer.opacity for layer in layers] == [0.5, 0.05, 0.1]


def test_an_image_is_brought_up_with_what_was_found_in_it_and_own_layers_stay(layer_viewer):
    layers = layer_viewer.layers
    for name in ("one", "two"):
        image = layer_viewer.add_image(np.zeros((4, 4)), name=name)
        for kind in ("labels", "more labels"):
            found = layer_viewer.add_labels(np.ones((4, 4), int), name=f"{name} {kind}")
            found.metadata[SEGMENTED] = str(image.unique_id)
    layer_viewer.add_image(np.zeros((4, 4)), name="other channel", blending="additive")
    layer_viewer.add_image(np.zeros((4, 4)), name="elsewhere", translate=(9, 9))
    layer_viewer.add_labels(np.ones((4, 4), int), name="mine")
    own = ["other channel", "elsewhere", "mine"]
    one, two = (["one", "one labels", "one more labels"], ["two", "two labels", "two more labels"])
    bring_up(layers, layers["one"])
    assert [layer.name for layer in layers] == [*two, *one, *own]
    layers.move(layers.index(layers["two"]), 6)
    bring_up(layers, layers["two"])
    assert [layer.name for layer in layers] == [*one, *two, *own]
