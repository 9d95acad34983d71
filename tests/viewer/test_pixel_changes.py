from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.pixel_changes import PixelChanges


@pytest.fixture
def followed(layer_viewer):
    """Labels of two planes that are followed, and the events that were told."""
    layer = layer_viewer.add_labels(np.zeros((2, 8, 8), int))
    told = []
    changes = PixelChanges(told.append)
    changes.follow(layer)
    yield layer, told
    changes.follow(None)
    told.clear()
    layer.paint((0, 5, 5), 2)
    assert not told


@pytest.mark.parametrize("way", ["paint", "fill", "code", "data"])
def test_every_way_to_change_pixels_is_told(followed, way):
    layer, told = followed
    if way == "paint":
        layer.paint((0, 2, 2), 1)
    elif way == "fill":
        layer.fill((0, 2, 2), 3)
    elif way == "code":
        layer.data_setitem((np.array([0]), np.array([1]), np.array([1])), 4)
    else:
        layer.data = np.ones((2, 8, 8), int)
    assert told


def test_undo_and_redo_are_told_and_other_planes_are_not(followed, layer_viewer):
    layer, told = followed
    layer.paint((0, 2, 2), 1)
    for act in (layer.undo, layer.redo):
        told.clear()
        act()
        assert len(told) == 1
    told.clear()
    layer_viewer.dims.set_point(0, 1)
    layer.opacity = 0.4
    layer.refresh()
    layer.undo()
    told.clear()
    # Nothing is left to undo.
    layer.undo()
    assert not told
