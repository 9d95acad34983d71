"""The part of an image that a shape marks."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.labelled_images import regions_on
from embedseg_napari.viewer.segment.regions import rectangle_bounds


@pytest.mark.parametrize(("scale", "unit"), [(0.1, "um"), (100, "nm")])
def test_a_rectangle_lies_where_it_is_seen_whatever_its_unit(layer_viewer, scale, unit):
    image = layer_viewer.add_image(np.zeros((40, 50)), scale=(0.1, 0.1), units=("um", "um"))
    layer_viewer.add_image(np.zeros((4, 4)), scale=(100, 100), units=("nm", "nm"))
    if getattr(layer_viewer.dims, "units", None) is None:
        pytest.skip("before napari 0.9 each layer is shown in its own unit")
    corners = [[5, 6], [5, 20], [30, 20], [30, 6]]
    shapes = layer_viewer.add_shapes([corners], scale=(scale, scale), units=(unit, unit))
    assert rectangle_bounds(layer_viewer, shapes, image, "YX") == {"Y": (5, 30), "X": (6, 20)}
    np.testing.assert_allclose(regions_on(image, shapes, "YX")[0].outline, corners)


@pytest.mark.parametrize(
    ("axes", "scale"), [("TYX", (2, 0.5, 0.5)), ("TCYX", (2, 1, 0.5, 0.5)), ("CTYX", (1, 2, 0.5, 0.5))]
)
def test_a_rectangle_of_a_movie_is_of_the_frames_it_was_drawn_on(layer_viewer, axes, scale):
    shape = tuple({"T": 6, "C": 2}.get(letter, 40) for letter in axes)
    movie = layer_viewer.add_image(np.zeros(shape), scale=scale, axis_labels=tuple(axes.lower()))
    place = {"Y": (5, 5, 30, 30), "X": (6, 20, 20, 6), "T": (4,) * 4, "C": (0,) * 4}
    corners = np.transpose([place[letter] for letter in axes])
    inside = {"Y": (5, 30), "X": (6, 20)}
    drawn = layer_viewer.add_shapes([corners], scale=scale)
    assert rectangle_bounds(layer_viewer, drawn, movie, axes) == inside | {"T": (4, 5)}
    layer_viewer.dims.set_point(axes.index("T"), 2)
    assert rectangle_bounds(layer_viewer, drawn, movie, axes) == inside | {"T": (4, 5)}, "wherever one looks"
    flat = layer_viewer.add_shapes([corners[:, -2:]], scale=scale[-2:])
    assert rectangle_bounds(layer_viewer, flat, movie, axes) == inside, "it is on all frames"
