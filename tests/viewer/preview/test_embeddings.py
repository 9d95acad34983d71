"""Layers of the embeddings: made once, then moved; coloured by object; gone with the switch."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.jobs.true_objects import true_objects
from embedseg_napari.viewer.layers import is_users
from embedseg_napari.viewer.preview.embeddings import (
    EMBEDDINGS,
    KINDS,
    MARGINS,
    OFFSETS,
    TRUTH,
    EmbeddingLayers,
    margin_outlines,
    object_colors,
)
from embedseg_napari.viewer.result_layers import Frame

NAMES = [TRUTH, MARGINS, OFFSETS, EMBEDDINGS]


def frame_of(ndim) -> Frame:
    axes = "ZYX"[-ndim:]
    return Frame(axes, (3.0, 2.0, 2.0)[-ndim:], (5.0, 7.0, 9.0)[-ndim:], ("pixel",) * ndim, tuple(axes.lower()))


def maps_of(labels, offset, margin=3.0) -> EmbeddingMaps:
    shape = (labels.ndim, *labels.shape)
    offsets, margins = np.full(shape, offset, np.float32), np.full(shape, margin, np.float32)
    return EmbeddingMaps(offsets, margins, np.zeros(labels.shape, np.float32))


def objects_of(labels):
    return true_objects(labels, [slice(0, side) for side in labels.shape])


@pytest.fixture
def shown(layer_viewer):
    layers = EmbeddingLayers(layer_viewer)
    layers.switch(True)
    return layers


def points(viewer, kind):
    layer = viewer.layers[EMBEDDINGS]
    return layer.data[np.asarray(layer.features["what"]) == kind]


@pytest.mark.parametrize("ndim", [2, 3])
def test_pixels_stay_and_embeddings_move_in_the_same_layers(layer_viewer, shown, blobs, ndim):
    _, labels = blobs(ndim)
    objects, frame = objects_of(labels), frame_of(ndim)
    shown.show(maps_of(labels, 0.0), objects, frame)
    assert [layer.name for layer in layer_viewer.layers] == NAMES
    made = list(layer_viewer.layers)
    for layer in made:
        assert not is_users(layer)
        np.testing.assert_allclose(layer.scale, frame.scale)
        np.testing.assert_allclose(layer.translate, frame.translate)
    np.testing.assert_array_equal(points(layer_viewer, "pixel"), points(layer_viewer, "embedding"))

    layer_viewer.layers[EMBEDDINGS].selected_data = {0, 1}
    shown.show(maps_of(labels, 0.5, margin=2.0), objects_of(labels), frame)
    assert list(layer_viewer.layers) == made
    np.testing.assert_array_equal(points(layer_viewer, "pixel"), objects.pixels)
    np.testing.assert_array_equal(points(layer_viewer, "embedding"), objects.pixels + 0.5)
    np.testing.assert_array_equal(points(layer_viewer, "center"), objects.centers)
    lines = layer_viewer.layers[OFFSETS].data
    np.testing.assert_array_equal(lines[:, 0], objects.pixels)
    np.testing.assert_array_equal(lines[:, 1], np.full_like(lines[:, 1], 0.5))
    outline = layer_viewer.layers[MARGINS].data[0]
    np.testing.assert_allclose(outline.max(0)[-2:], objects.centers[0, -2:] + 2, atol=0.02)
    if ndim == 3:
        assert (outline[:, 0] == objects.centers[0, 0]).all()


def test_all_marks_of_an_object_have_its_colour_whatever_else_is_in_view(layer_viewer, shown, blobs):
    _, labels = blobs(2)
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    fewer = np.where(labels == 2, 0, labels)
    objects = objects_of(fewer)
    shown.show(maps_of(labels, 0.0), objects, frame_of(2))
    colors = object_colors(objects.ids)
    assert len(np.unique(colors, axis=0)) == len(objects.ids)
    marks = layer_viewer.layers[EMBEDDINGS]
    expected = colors[objects.owners]
    for kind in KINDS[:2]:
        rows = np.asarray(marks.features["what"]) == kind
        np.testing.assert_allclose(marks.face_color[rows], expected, atol=1e-6)
        np.testing.assert_array_equal(marks.features["object"][rows], objects.ids[objects.owners])
    np.testing.assert_allclose(layer_viewer.layers[OFFSETS].edge_color, expected, atol=1e-6)
    np.testing.assert_allclose(layer_viewer.layers[MARGINS].edge_color, colors, atol=1e-6)
    truth = layer_viewer.layers[TRUTH]
    np.testing.assert_array_equal(truth.data, fewer)
    for identity, color in zip(objects.ids, colors, strict=True):
        np.testing.assert_allclose(truth.get_color(int(identity)), color, atol=1e-6)


def test_switched_off_the_layers_go_and_come_back_with_the_next_preview(layer_viewer, shown, blobs):
    _, labels = blobs(2)
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    shown.switch(False)
    assert len(layer_viewer.layers) == 0
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    assert len(layer_viewer.layers) == 0
    shown.switch(True)
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    assert [layer.name for layer in layer_viewer.layers] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_that_was_removed_stays_away_until_the_next_training(layer_viewer, shown, blobs, name):
    _, labels = blobs(2)
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    del layer_viewer.layers[name]
    # Another part is in view, one of which nothing is known, and the first again.
    shown.show(maps_of(labels, 0.0), objects_of(np.flip(labels, 0)), frame_of(2))
    shown.clear()
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    assert [layer.name for layer in layer_viewer.layers] == [one for one in NAMES if one != name]
    shown.begin()
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    assert name in layer_viewer.layers


def test_a_part_without_objects_empties_the_layers(layer_viewer, shown, blobs):
    _, labels = blobs(2)
    nothing = objects_of(np.zeros_like(labels))
    shown.show(maps_of(labels, 0.0), nothing, frame_of(2))
    assert len(layer_viewer.layers) == 0
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    made = list(layer_viewer.layers)
    shown.show(maps_of(labels, 0.0), nothing, frame_of(2))
    assert list(layer_viewer.layers) == made
    assert not any(len(layer_viewer.layers[name].data) for name in NAMES[1:])
    shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(2))
    assert list(layer_viewer.layers) == made
    assert len(layer_viewer.layers[MARGINS].data) == labels.max()


def test_after_an_image_a_volume_can_be_shown(layer_viewer, shown, blobs):
    for ndim in (2, 3):
        _, labels = blobs(ndim)
        shown.show(maps_of(labels, 0.0), objects_of(labels), frame_of(ndim))
        assert [layer.name for layer in layer_viewer.layers] == NAMES
        assert all(layer.ndim == ndim for layer in layer_viewer.layers)


def test_margins_do_not_leave_the_image(blobs):
    _, labels = blobs(2)
    outlines = margin_outlines(objects_of(labels), maps_of(labels, 0.0, margin=1e6))
    corners = np.concatenate(outlines)
    assert corners.min() == 0
    assert corners.max() == 63
