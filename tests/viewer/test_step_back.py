"""Layers that step back come back as they were, or as the user has set them meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.step_back import SteppedBack


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
