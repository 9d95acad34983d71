"""A volume whose file does not say how large its voxels are is asked about, and remembers what is typed."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.file_metadata import watch_layers
from embedseg_napari.viewer.layers import (
    ANNOTATION,
    CHANNEL_OF,
    PART_OF,
    SEGMENTED,
    TIME_POINT,
    picture_of,
    unknown_axis,
)
from embedseg_napari.viewer.widgets.pixel_size import VoxelBox, resize

AXES = {"axis_labels": "zyx"}


@pytest.fixture
def volume(layer_viewer):
    return layer_viewer.add_image(np.zeros((4, 8, 8)), **AXES)


@pytest.fixture
def box(qtbot, layer_viewer, volume):
    made = VoxelBox(layer_viewer)
    qtbot.addWidget(made)
    assert made.ask_about(volume, "ZYX")
    return made


def give(box, text):
    box.setText(text)
    box.editingFinished.emit()


def test_the_layer_and_what_lies_on_it_get_the_size(layer_viewer, volume, box, qtbot):
    labels = layer_viewer.add_labels(np.zeros((4, 8, 8), int), **AXES)
    other = layer_viewer.add_image(np.zeros((4, 8, 8)), translate=(0, 0, 50), **AXES)
    flat = layer_viewer.add_image(np.zeros((8, 8)))
    layer_viewer.dims.set_current_step(0, 3)
    with qtbot.waitSignal(box.given):
        give(box, "0.5, 0.2 0.2")
    # The slider stays on its plane.
    assert layer_viewer.dims.current_step[0] == 3
    assert (picture_of(volume).spacing, picture_of(volume).unit) == ((0.5, 0.2, 0.2), "um")
    assert tuple(labels.scale) == (0.5, 0.2, 0.2)
    assert np.all(np.asarray(other.scale) == 1)
    assert np.all(np.asarray(flat.scale) == 1)
    assert not box.ask_about(volume, "ZYX")


def test_planes_whose_distance_is_typed_are_depth(layer_viewer, qtbot):
    """No other panel asks what they are."""
    stack = layer_viewer.add_image(np.zeros((4, 8, 8)))
    assert unknown_axis(stack) == 0
    box = VoxelBox(layer_viewer)
    qtbot.addWidget(box)
    box.ask_about(stack, "ZYX")
    give(box, "0.5, 0.2, 0.2")
    assert unknown_axis(stack) is None
    assert picture_of(stack).axes == "ZYX"


def test_what_was_found_on_a_lower_resolution_stays_on_the_image(layer_viewer, volume, box):
    place = {"scale": (2, 2, 2), "translate": (0.5, 2.5, 4.5)}
    of = {SEGMENTED: str(volume.unique_id)}
    found = layer_viewer.add_labels(np.zeros((2, 3, 3), int), metadata=of, **place, **AXES)
    other = layer_viewer.add_labels(np.zeros((2, 3, 3), int), **place, **AXES)
    give(box, "0.5, 0.2, 0.1")
    np.testing.assert_allclose(found.scale, (1, 0.4, 0.2))
    np.testing.assert_allclose(found.translate, (0.25, 0.5, 0.45))
    assert tuple(other.scale) == (2, 2, 2)


def test_points_stay_on_their_plane(viewer, qtbot):
    """As the centres of a segmentation that was made before."""
    volume = viewer.add_image(np.zeros((30, 8, 8)), **AXES)
    points = viewer.add_points([[25.3, 4, 4]], size=3, **AXES)
    box = VoxelBox(viewer)
    qtbot.addWidget(box)
    box.ask_about(volume, "ZYX")
    for plane, scale in ((25, 1.0), (25, 2.18)):
        if scale != 1:
            give(box, "2.18, 1, 1")
        viewer.dims.set_point(0, plane * scale)
        at = {"view_direction": None, "dims_displayed": [1, 2], "world": True}
        assert points.get_value((plane * scale, 4, 4), **at) == 0


def test_labels_that_are_opened_later_lie_on_the_image(layer_viewer, volume, box):
    watch_layers(layer_viewer)
    give(box, "0.5, 0.2, 0.2")
    labels, other = (layer_viewer.add_labels(np.zeros((n, 8, 8), int)) for n in (4, 5))
    assert tuple(labels.scale) == (0.5, 0.2, 0.2)
    assert labels.units == volume.units
    assert np.all(np.asarray(other.scale) == 1)


def test_the_slider_stays_on_its_plane_when_they_are_opened(viewer, qtbot):
    # The slider of a window moves while a layer has no size yet.
    watch_layers(viewer)
    image = viewer.add_image(np.zeros((51, 8, 8)), **AXES)
    made = VoxelBox(viewer)
    qtbot.addWidget(made)
    assert made.ask_about(image, "ZYX")
    give(made, "2.18, 1, 1")
    viewer.dims.set_current_step(0, 25)
    viewer.add_image(np.zeros((51, 8, 8)))
    assert viewer.dims.current_step[0] == 25


def test_what_is_no_size_is_said_and_changes_nothing(volume, box):
    give(box, "2, 0")
    assert "three numbers (z, y, x)" in box.fault
    assert np.all(np.asarray(volume.scale) == 1)
    give(box, "")
    assert not box.fault


def test_planes_and_movies_and_what_has_a_size_are_not_asked_about(layer_viewer, volume, box):
    assert not box.ask_about(None, "")
    assert not box.ask_about(volume, "TYX")
    assert not box.ask_about(layer_viewer.add_image(np.zeros((4, 8, 8)), scale=(2, 1, 1), **AXES), "ZYX")


@pytest.mark.parametrize("panel", ["Segment", "Train"])
def test_panels_ask_once_they_know_that_it_is_a_volume(viewer, open_panel, panel):
    pytest.importorskip("pyqtgraph")
    shown = open_panel(f"EmbedSeg: {panel}")
    stack = viewer.add_image(np.random.default_rng(0).random((6, 24, 24)), name="stack")
    viewer.add_labels(np.ones((6, 24, 24), int), name="truth")
    part = shown.image if panel == "Segment" else shown.pairs.rows[0]
    assert not part.form.isRowVisible(part.voxel)
    part.question.buttons["Z"].click()
    assert part.form.isRowVisible(part.voxel)
    give(part.voxel, "none")
    assert "no pixel size" in (shown.status if panel == "Segment" else shown.reason).text()
    give(part.voxel, "2, 1, 1")
    assert picture_of(stack).spacing == (2, 1, 1)
    assert not part.form.isRowVisible(part.voxel)


def sizes(*layers):
    return [tuple(layer.scale) for layer in layers]


def test_images_and_movies_of_another_size_at_the_same_place_keep_theirs(layer_viewer, qtbot):
    image = layer_viewer.add_image(np.zeros((6, 12, 12)), **AXES)
    alike = layer_viewer.add_image(np.zeros((6, 12, 12)))
    movie = layer_viewer.add_image(np.zeros((6, 12, 12)), axis_labels="tyx")
    lines = layer_viewer.add_points([[1, 2, 3]], axis_labels="tyx")
    other = layer_viewer.add_image(np.zeros((4, 12, 12)), **AXES)
    found = layer_viewer.add_labels(np.zeros((4, 12, 12), int), metadata={SEGMENTED: str(other.unique_id)}, **AXES)
    centers = layer_viewer.add_points([[1, 2, 3]], metadata={SEGMENTED: str(other.unique_id)}, **AXES)
    own = layer_viewer.add_labels(np.zeros((4, 12, 12), int))
    watch_layers(layer_viewer)
    box = VoxelBox(layer_viewer)
    qtbot.addWidget(box)
    assert box.ask_about(image, "ZYX")
    give(box, "0.5, 0.2, 0.2")
    assert sizes(image, alike) == [(0.5, 0.2, 0.2)] * 2
    later = layer_viewer.add_image(np.zeros((6, 12, 12)), axis_labels="tyx")
    assert sizes(movie, lines, other, found, centers, own, later) == [(1, 1, 1)] * 7


@pytest.mark.parametrize("told", ["movie", "frame", "channel", "part"])
def test_what_was_taken_from_an_image_goes_with_it(layer_viewer, qtbot, told):
    movie = layer_viewer.add_image(np.zeros((3, 2, 6, 12, 12)), axis_labels="tczyx")
    of = str(movie.unique_id)
    layers = {
        "movie": movie,
        "frame": layer_viewer.add_image(np.zeros((2, 6, 12, 12)), axis_labels="czyx", metadata={TIME_POINT: f"{of} 1"}),
        "channel": layer_viewer.add_image(
            np.zeros((3, 6, 12, 12)), axis_labels="tzyx", metadata={CHANNEL_OF: f"{of} mean"}
        ),
        "part": layer_viewer.add_image(
            np.zeros((4, 5, 6)),
            translate=(1, 2, 3),
            metadata={PART_OF: {"image": of, "start": [0, 1, 2, 3], "store": None}},
            **AXES,
        ),
    }
    painted = layer_viewer.add_labels(
        np.zeros((4, 5, 6), int), translate=(1, 2, 3), metadata={ANNOTATION: str(layers["part"].unique_id)}, **AXES
    )
    box = VoxelBox(layer_viewer)
    qtbot.addWidget(box)
    assert box.ask_about(layers[told], "".join(layers[told].axis_labels).upper())
    give(box, "2, 0.5, 0.25")
    for layer in (*layers.values(), painted):
        n = layer.ndim - 3
        assert tuple(layer.scale) == (*(1,) * n, 2, 0.5, 0.25)
        assert [str(unit) for unit in layer.units] == ["pixel"] * n + ["micrometer"] * 3
    for layer in (layers["part"], painted):
        assert tuple(layer.translate) == (2, 1, 0.75)


def test_a_part_that_a_session_opened_again_stays_on_its_image(layer_viewer, volume, box):
    mark = {PART_OF: {"store": "a.zarr", "start": [1, 2, 3]}}
    part = layer_viewer.add_image(np.zeros((2, 3, 3)), translate=(1, 2, 3), metadata=mark, **AXES)
    give(box, "0.5, 0.2, 0.2")
    assert tuple(part.scale) == (0.5, 0.2, 0.2)
    np.testing.assert_allclose(part.translate, (0.5, 0.4, 0.6))


def test_what_was_wrong_is_no_longer_where_nothing_is_asked(volume, box):
    give(box, "2, 0")
    assert not box.ask_about(volume, "TYX")
    assert (box.fault, box.text()) == ("", "")
    assert box.ask_about(volume, "ZYX")
    assert not box.fault


def test_what_was_wrong_is_no_longer_once_it_is_told_in_another_panel(layer_viewer, volume, box):
    give(box, "2, 0")
    resize(layer_viewer, volume, "ZYX", (2, 1, 1))
    assert not box.fault
