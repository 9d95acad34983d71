"""Where a held-out image is shown that no layer holds."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.example import Example
from embedseg_napari.viewer.preview.placement import held_out_frame


@pytest.mark.parametrize(("unit", "known"), [("voxel", "pixel"), ("um", "micrometer"), (None, "pixel")])
@pytest.mark.parametrize("spacing", [(2.0, 0.5, 0.25), None])
def test_an_image_of_a_file_is_shown_whatever_its_unit_is_called(layer_viewer, unit, known, spacing):
    image = np.zeros((1, 4, 8, 8))
    frame = held_out_frame(layer_viewer, Example("a", image, image[0].astype(int), spacing=spacing, unit=unit), None)
    layer = layer_viewer.add_image(image[0], **frame.options())
    assert tuple(layer.scale) == (spacing or (1, 1, 1))
    assert {str(one) for one in layer.units} == {known}
    assert tuple(layer.axis_labels) == ("z", "y", "x")


def test_it_lies_beside_what_is_open_whatever_the_units(layer_viewer):
    layer_viewer.add_image(np.zeros((8, 8)), scale=(0.1, 0.1), units=("um", "um"))
    image = np.zeros((1, 8, 8))
    frame = held_out_frame(layer_viewer, Example("a", image, image[0], spacing=(100, 100), unit="nm"), None)
    assert 700 < frame.translate[-1] < 1000
