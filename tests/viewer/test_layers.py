from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.layers import RESULT, picture_of
from embedseg_napari.viewer.result_layers import (
    show_image,
    show_labels,
    show_points,
    show_shapes,
    show_vectors,
    spatial_frame,
)


@pytest.fixture(scope="module")
def napari_layers():
    return pytest.importorskip("napari.layers")


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("YX", (8, 9), "YX"),
        ("ZYX", (5, 8, 9), "ZYX"),
        ("TYX", (5, 8, 9), "TYX"),
        ("CYX", (2, 8, 9), "YX"),
        ("CZYX", (2, 5, 8, 9), "ZYX"),
        ("TCYX", (4, 2, 8, 9), "TCYX"),
        ("ZCYX", (4, 2, 8, 9), "ZCYX"),
    ],
)
def test_results_lie_on_their_image(napari_layers, axes, shape, expected):
    scale = tuple(float(i + 2) for i in range(len(shape)))
    translate = tuple(float(10 * i) for i in range(len(shape)))
    layer = napari_layers.Image(np.zeros(shape), scale=scale, translate=translate)
    frame = spatial_frame(layer, axes)
    assert frame.axes == expected
    kept = [axes.index(letter) for letter in expected]
    for i, place in enumerate(kept):
        if axes[place] != "C":
            assert frame.scale[i] == scale[place]
            assert frame.translate[i] == translate[place]
    assert frame.spacing() == tuple(scale[axes.index(letter)] for letter in "ZYX" if letter in axes)


def test_one_thick_pixel_covers_all_channels(napari_layers):
    layer = napari_layers.Image(np.zeros((4, 3, 8, 9)), scale=(1, 2, 1, 1), translate=(0, 5, 0, 0))
    frame = spatial_frame(layer, "TCYX")
    labels = napari_layers.Labels(frame.array(np.ones((4, 8, 9), int)), scale=frame.scale, translate=frame.translate)
    assert labels.data.shape == (4, 1, 8, 9)
    for channel in range(3):
        world = layer.data_to_world((0, channel, 3, 3))
        assert np.array_equal(np.round(labels.world_to_data(world)), (0, 0, 3, 3))


def test_colours_are_no_axis(napari_layers):
    layer = napari_layers.Image(np.zeros((8, 9, 3)), rgb=True, scale=(2, 3))
    assert picture_of(layer).axes == "YXC"
    assert spatial_frame(layer, "YXC").scale == (2, 3)


def test_parts_begin_where_they_were_cut(napari_layers):
    layer = napari_layers.Image(np.zeros((2, 20, 20)), scale=(1, 0.5, 0.5), translate=(0, 1, 2))
    frame = spatial_frame(layer, "CYX").at((4, 6))
    assert frame.translate == (3, 5)


def test_axes_come_from_the_layer_or_are_guessed(napari_layers):
    named = napari_layers.Image(np.zeros((3, 8, 9)), axis_labels=("t", "y", "x"))
    assert picture_of(named, ndim=3).axes == "TYX"
    nameless = napari_layers.Image(np.zeros((7, 8, 9)))
    assert picture_of(nameless, ndim=3).axes == "ZYX"
    assert picture_of(nameless, ndim=2).axes == "TYX"


def test_two_planes_are_channels_for_all_panels(napari_layers):
    two = napari_layers.Image(np.zeros((2, 8, 9)))
    assert picture_of(two).axes == "CYX"
    assert picture_of(two).axes_guessed
    # Of volumes, or beside labels of both planes, they are slices.
    assert picture_of(two, ndim=3).axes == "ZYX"
    assert picture_of(napari_layers.Labels(np.zeros((2, 8, 9), int))).axes == "ZYX"
    assert picture_of(napari_layers.Image(np.zeros((2, 8, 9, 3)), rgb=True)).axes == "ZYXC"
    assert picture_of(napari_layers.Image(np.zeros((3, 8, 9)))).axes == "ZYX"


def test_results_are_made_once_then_updated(viewer):
    image = viewer.add_image(np.zeros((16, 16)), scale=(0.5, 0.5), units=("um", "um"))
    frame = spatial_frame(image, "YX")
    first = np.zeros((16, 16), np.int32)
    labels = show_labels(viewer, "labels", first, frame=frame)
    seeds = show_image(viewer, "seeds", first.astype(np.float32), frame=frame)
    points = show_points(viewer, "centres", np.zeros((0, 2)), frame=frame, features={"score": np.zeros(0)})
    arrows = show_vectors(viewer, "offsets", np.zeros((1, 2)), np.ones((1, 2)), frame=frame)
    assert viewer.layers.selection.active == image
    for layer in (labels, seeds, points, arrows):
        assert tuple(layer.scale) == (0.5, 0.5)
        assert layer.units == image.units
        assert RESULT in layer.metadata
    second = first.copy()
    second[3:5, 3:5] = 1
    labels.name = "renamed"
    show_labels(viewer, "labels", second, frame=frame, into=labels)
    show_points(viewer, "centres", np.full((3, 2), 4.0), frame=frame, features={"score": np.ones(3)}, into=points)
    assert len(viewer.layers) == 5
    assert labels.data.max() == 1
    assert list(points.features["score"]) == [1, 1, 1]
    viewer.layers.remove(labels)
    again = show_labels(viewer, "labels", second, frame=frame, into=labels)
    assert again in viewer.layers
    assert again is not labels


@pytest.mark.parametrize("axes", ["ZYX", "ZCYX", "TZCYX", "ZYXC"])
def test_results_are_updated_wherever_the_channels_are(layer_viewer, axes):
    image = layer_viewer.add_image(np.zeros([{"T": 2, "Z": 4, "C": 3}.get(letter, 8) for letter in axes]))
    frame = spatial_frame(image, axes)
    n = len(axes.replace("C", ""))
    outline, points = np.tile([[1.0], [5.0], [3.0]], n), np.full((1, n), 2.0)
    layers = [None] * 4
    for labels in (np.zeros((2, 4, 8, 8)[-n:], np.int32), np.ones((2, 4, 8, 8)[-n:], np.int32)):
        layers = [
            show_labels(layer_viewer, "labels", labels, frame=frame, into=layers[0]),
            show_points(layer_viewer, "centres", points, frame=frame, into=layers[1]),
            show_vectors(layer_viewer, "offsets", points, points, frame=frame, into=layers[2]),
            show_shapes(layer_viewer, "margins", [outline], frame=frame, into=layers[3]),
        ]
    assert len(layer_viewer.layers) == 5
    assert layers[0].data.max() == 1
    for layer in layers:
        assert tuple(layer.scale) == frame.scale
        assert tuple(layer.translate) == frame.translate


def test_a_result_beside_leaves_the_selection_alone_and_tells_nobody(viewer):
    image = viewer.add_image(np.zeros((8, 8)))
    told = []
    viewer.layers.selection.events.active.connect(told.append)
    viewer.layers.selection.events.changed.connect(told.append)
    frame = spatial_frame(image, "YX")
    labels = show_labels(viewer, "labels", np.zeros((8, 8), np.int32), frame=frame)
    assert (viewer.layers.selection.active, set(viewer.layers.selection)) == (image, {image})
    assert not told
    viewer.layers.selection.active = labels
    assert viewer.layers.selection.active == labels
    viewer.layers.remove(labels)
    assert labels not in viewer.layers.selection


def test_strokes_on_an_earlier_result_are_not_undone_on_the_next(layer_viewer):
    image = layer_viewer.add_image(np.zeros((16, 16)))
    frame = spatial_frame(image, "YX")
    labels = show_labels(layer_viewer, "labels", np.ones((16, 16), np.int32), frame=frame)
    labels.mode = "paint"
    labels.data_setitem((np.array([3]), np.array([3])), 7)
    found = np.full((16, 16), 2, np.int32)
    show_labels(layer_viewer, "labels", found.copy(), frame=frame, into=labels)
    labels.undo()
    np.testing.assert_array_equal(labels.data, found)
    assert labels.mode == "paint"
