"""A frame of a time-lapse lies where the time-lapse lies."""

from __future__ import annotations

import numpy as np
import pytest
from view_steps import turned

from embedseg_napari.viewer.label.time_points import frame_in_view, take_frame


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


def test_the_frame_in_view_is_known_in_whatever_unit_time_is_given(layer_viewer):
    movies = [
        layer_viewer.add_image(np.zeros((5, 8, 8)), scale=(step, 1, 1), units=(unit, "um", "um"), axis_labels="tyx")
        for step, unit in ((1, "minute"), (60, "second"))
    ]
    if getattr(layer_viewer.dims, "units", None) is None:
        pytest.skip("before napari 0.9 each layer is shown in its own unit")
    for movie in movies:
        layer_viewer.dims.set_point(0, 180)
        assert frame_in_view(layer_viewer, movie) == 3
        take_frame(layer_viewer, movie, 2)
        assert layer_viewer.dims.point[0] == 120
