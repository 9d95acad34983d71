"""A frame of a time-lapse lies where the time-lapse lies."""

from __future__ import annotations

import numpy as np
import pytest
from view_steps import turned

from embedseg_napari.viewer.label.time_points import take_frame


@pytest.mark.parametrize("axes", ["tyx", "tczyx"])
def test_a_frame_of_a_turned_movie_lies_on_it(layer_viewer, axes):
    n = len(axes)
    movie = layer_viewer.add_image(
        np.zeros(tuple(range(3, 3 + n))), axis_labels=tuple(axes), scale=[2.0] * n, translate=range(n), **turned(n)
    )
    frame = take_frame(layer_viewer, movie, 1)
    assert tuple(frame.axis_labels) == tuple(axes[1:])
    pixel = np.arange(1, n)
    np.testing.assert_allclose(frame.data_to_world(pixel), movie.data_to_world((1, *pixel))[1:])
