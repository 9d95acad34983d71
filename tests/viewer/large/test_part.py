"""A part of labels is an ordinary layer that goes with them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from embedseg_napari.viewer.large.part import Place, show_part
from embedseg_napari.viewer.layers import SEGMENTED
from embedseg_napari.viewer.neighbours import lie_apart
from embedseg_napari.viewer.widgets.pixel_size import resize


@pytest.mark.parametrize("is_found", [True, False])
def test_a_part_takes_the_voxel_size_that_is_typed_for_the_whole(layer_viewer, is_found):
    image = layer_viewer.add_image(np.zeros((6, 12, 12)), axis_labels="zyx")
    metadata = {SEGMENTED: str(image.unique_id)} if is_found else {}
    labels = layer_viewer.add_labels(np.ones((6, 12, 12), int), axis_labels="zyx", metadata=metadata)
    place = Place(SimpleNamespace(axes="ZYX"), (slice(1, 4), slice(2, 9), slice(3, 8)), is_cut=False)
    part = show_part(layer_viewer, labels, place, labels.data[place.key]).layer
    resize(layer_viewer, image, "ZYX", (2, 0.5, 0.25))
    assert tuple(part.scale) == tuple(labels.scale) == (2, 0.5, 0.25)
    assert tuple(part.translate) == (2, 1, 0.75)


def test_parts_of_two_frames_of_labels_lie_apart(layer_viewer):
    labels = layer_viewer.add_labels(np.ones((6, 12, 12), int), axis_labels="tyx")
    first, second = (
        show_part(
            layer_viewer,
            labels,
            Place(SimpleNamespace(axes="TYX"), (slice(at, at + 1), slice(0, 9), slice(0, 9)), is_cut=False),
            labels.data[at : at + 1, :9, :9],
        ).layer
        for at in (0, 5)
    )
    assert lie_apart(first, second, layer_viewer.layers)
    assert not lie_apart(first, first, layer_viewer.layers)
