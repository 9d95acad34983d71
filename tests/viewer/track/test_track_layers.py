"""What is linked: labels as a time-lapse, with the pixel size of their image."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.track.track_layers import movie_of


@pytest.fixture
def image(layer_viewer):
    return layer_viewer.add_image(
        np.zeros((5, 2, 8, 9)), scale=(1, 1, 0.1, 0.2), units=("pixel", "pixel", "um", "um"), axis_labels="tcyx"
    )


def test_labels_without_a_pixel_size_have_that_of_their_image(layer_viewer, image):
    """As on the command line."""
    labels = layer_viewer.add_labels(np.ones((5, 8, 9), int), axis_labels="tyx")
    picture, shown = movie_of(labels, image)
    assert (picture.axes, picture.spacing, picture.unit) == ("TYX", (0.1, 0.2), "um")
    assert shown.axes == "TCYX"
    assert movie_of(labels, None)[0].spacing is None


def test_labels_that_say_their_pixel_size_keep_it(layer_viewer, image):
    labels = layer_viewer.add_labels(np.ones((5, 8, 9), int), scale=(1, 2, 2), axis_labels="tyx")
    assert movie_of(labels, image)[0].spacing == (2, 2)
