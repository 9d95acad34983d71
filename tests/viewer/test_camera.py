"""Where the camera looks."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

from embedseg_napari.viewer.camera import (
    bring_in,
    go_to,
    in_view,
    keep_whole,
    leave_no_gap,
    looked_at,
    screen_pixels,
    show_whole,
    shows_whole,
    to_world,
    value_at,
)


@pytest.fixture
def layer(viewer):
    return viewer.add_image(np.zeros((400, 400)))


@pytest.fixture
def canvas_known(viewer):
    """Skip before napari 0.9, where a plugin cannot know how large the canvas is, and each layer is in its own unit."""
    if not hasattr(viewer, "canvas"):
        pytest.skip("before napari 0.9 a plugin cannot know how large the canvas is")


@pytest.fixture
def camera(viewer, canvas_known, layer):
    """The camera, which shows all of a square image."""
    viewer.reset_view()
    return viewer.scene.camera


def test_without_layers_nothing_is_shown_whole(viewer):
    assert not shows_whole(viewer)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_small_image_beside_a_large_one_fills_the_canvas(viewer, ndim):
    viewer.add_image(np.zeros((4,) * (ndim - 2) + (400, 400)))
    small = viewer.add_image(np.zeros((4,) * (ndim - 2) + (100, 50)), scale=(1,) * (ndim - 1) + (2,))
    camera = getattr(viewer, "scene", viewer).camera
    viewer.reset_view()
    whole = camera.zoom
    show_whole(viewer, small)
    assert camera.zoom == pytest.approx(4 * whole, rel=0.02)
    assert tuple(camera.center)[-2:] == pytest.approx((49.5, 49), abs=1)


@pytest.mark.parametrize("show", [show_whole, bring_in])
def test_a_layer_on_other_planes_is_stepped_to(viewer, show):
    viewer.add_image(np.zeros((50, 400, 400)))
    thin = viewer.add_image(np.zeros((20, 100, 100)), scale=(0.5, 1, 1))
    viewer.dims.set_point(0, 9)
    show(viewer, thin)
    assert viewer.dims.point[0] == 9, "what is seen of it stays"
    viewer.dims.set_point(0, 40)
    show(viewer, thin)
    assert viewer.dims.point[0] == pytest.approx(5, abs=0.5)


def test_a_channel_that_is_looked_at_stays_where_an_object_of_all_channels_is_gone_to(viewer):
    viewer.add_image(np.zeros((3, 4, 40, 40)), axis_labels="tcyx")
    labels = viewer.add_labels(np.zeros((3, 1, 40, 40), int), scale=(1, 4, 1, 1), translate=(0, 1.5, 0, 0))
    for channel in (0, 1, 3):
        viewer.dims.set_point((0, 1), (0, channel))
        go_to(viewer, labels, (2, 0, 20, 20), (2, 0, 10, 10), (3, 1, 30, 30))
        assert tuple(viewer.dims.point[:2]) == (2, channel)
    # What lies beyond it is left.
    plane = viewer.add_labels(np.zeros((1, 40, 40), int), translate=(2, 0, 0))
    viewer.dims.set_point(1, 0)
    go_to(viewer, plane, (0, 20, 20), (0, 10, 10), (1, 30, 30))
    assert viewer.dims.point[1] == 2


def test_a_layer_beyond_the_canvas_is_shown_whole_and_one_that_is_seen_stays(viewer, layer, camera):
    beside = viewer.add_image(np.zeros((400, 400)), translate=(0, 1000))
    bring_in(viewer, layer)
    seen = tuple(camera.center)
    camera.center = (0, 200, 30)
    bring_in(viewer, layer)
    assert tuple(camera.center)[-2:] == (200, 30)
    bring_in(viewer, beside)
    assert tuple(camera.center)[-2:] == pytest.approx((199.5, 1199.5), abs=1)
    bring_in(viewer, layer)
    assert tuple(camera.center)[-2:] == pytest.approx(seen[-2:], abs=1)


def test_beside_the_border_no_more_of_what_is_beyond_is_shown_than_must_be(viewer, layer, camera):
    camera.zoom *= 4
    half = np.asarray(viewer.canvas.size) / camera.zoom / 2
    go_to(viewer, layer, (3, 200), (0, 190), (6, 210))
    assert tuple(camera.center)[-2:] == pytest.approx((half[0] - 0.5, 200), abs=1)
    camera.zoom /= 8
    go_to(viewer, layer, (3, 200), (0, 0), (300, 300))
    assert tuple(camera.center)[-2:] == pytest.approx((199.5, 199.5), abs=1)


def test_a_view_of_a_corner_is_moved_into_the_image_and_one_inside_stays(viewer, layer, camera):
    camera.zoom *= 4
    zoom, half = camera.zoom, np.asarray(viewer.canvas.size) / camera.zoom / 2
    camera.center = (0, 390, 200)
    leave_no_gap(viewer, layer)
    assert tuple(camera.center)[-2:] == pytest.approx((399.5 - half[0], 200), abs=1)
    inside = tuple(camera.center)
    leave_no_gap(viewer, layer)
    assert tuple(camera.center) == pytest.approx(inside)
    assert camera.zoom == zoom


def test_what_was_seen_whole_is_fitted_again_and_what_is_whole_stays(viewer, camera):
    fitted = camera.zoom
    assert shows_whole(viewer)
    camera.zoom *= 0.8
    keep_whole(viewer)
    assert camera.zoom == pytest.approx(0.8 * fitted)
    camera.zoom = 1.2 * fitted
    assert not shows_whole(viewer)
    keep_whole(viewer)
    assert camera.zoom == pytest.approx(fitted)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_an_object_is_on_the_canvas_in_each_view_of_a_volume(viewer, canvas_known, order):
    volume, center = viewer.add_image(np.zeros((30, 400, 100))), np.array((20, 350, 90))
    viewer.dims.order = order
    viewer.reset_view()
    camera = viewer.scene.camera
    for zoom in (4, 40):
        camera.zoom = zoom
        half = np.asarray(viewer.canvas.size) / camera.zoom / 2
        go_to(viewer, volume, center, center - 5, center + 5)
        shown = center[list(order[1:])]
        seen = tuple(camera.center)
        assert np.all(np.abs(np.subtract(seen[-2:], shown)) < half)
        leave_no_gap(viewer, volume)
        assert tuple(camera.center) == pytest.approx(seen)
        assert tuple(viewer.dims.point)[order[0]] == center[order[0]]


@pytest.fixture
def pyramid(viewer):
    """Three levels in chunks, as a store has them."""
    levels = [dask.array.zeros((2048 >> level, 2048 >> level), chunks=256) for level in range(3)]
    return viewer.add_image(levels, multiscale=True, scale=(0.5, 0.5))


@pytest.mark.usefixtures("whole_window", "canvas_known")
def test_of_a_pyramid_what_the_canvas_shows_is_in_view_and_not_all_that_is_loaded(viewer, canvas, pyramid):
    camera = viewer.scene.camera
    for zoom in (2, 20):
        # Level 0 is loaded, and then a smaller part of it is looked at.
        camera.center, camera.zoom = (0, 300, 400), zoom
        canvas.on_draw(None)
    assert pyramid.data_level == 0
    low, high = in_view(viewer, pyramid, "YX")
    half = np.asarray(viewer.canvas.size) / 20
    np.testing.assert_allclose(low, np.subtract((600, 800), half), atol=1.5)
    np.testing.assert_allclose(high, np.add((600, 800), half), atol=1.5)
    camera.center = (0, 3000, 400)
    canvas.on_draw(None)
    assert in_view(viewer, pyramid, "YX")[0][0] > 2048, "nothing of it"


def test_the_last_pixel_of_a_level_ends_where_that_of_the_image_does(viewer, pyramid, monkeypatch):
    # As before napari 0.9.
    monkeypatch.setattr("embedseg_napari.viewer.camera._canvas", lambda viewer: None)
    pyramid.corner_pixels = np.array([[100, 200], [511, 511]])
    assert pyramid.data_level == 2
    assert in_view(viewer, pyramid, "YX") == ([400, 800], [2048, 2048])


@pytest.fixture
def units(viewer, canvas_known):
    """One place in micrometres and in nanometres."""
    known = (0.1, "um"), (100, "nm")
    layers = [
        viewer.add_image(np.zeros((6, 400, 400)), scale=(scale,) * 3, units=(unit,) * 3, axis_labels="zyx")
        for scale, unit in known
    ]
    viewer.reset_view()
    return layers


def test_layers_are_where_they_are_seen_whatever_their_unit(viewer, units):
    camera = viewer.scene.camera
    zoom = 6 * camera.zoom
    for layer in units:
        camera.center, camera.zoom = (0, 0, 0), zoom
        viewer.dims.set_point(0, 0)
        go_to(viewer, layer, (4, 250, 180), (4, 240, 170), (5, 260, 190))
        assert camera.zoom == zoom, "it is large enough"
        for one in units:
            np.testing.assert_allclose(looked_at(viewer, one), (4, 250, 180), atol=1e-6)
        low, high = in_view(viewer, layer, "ZYX")
        assert (low, high) == in_view(viewer, units[0], "ZYX")
        assert 0 < low[1] < 240 < 260 < high[1] < 400
        assert screen_pixels(viewer, layer, 10) == pytest.approx(10 / (100 * zoom))


def test_a_layer_in_another_unit_is_brought_in_and_shown_whole(viewer, units):
    camera = viewer.scene.camera
    fitted, zoom = tuple(camera.center), camera.zoom
    for layer in units:
        viewer.dims.set_point(0, 300)
        bring_in(viewer, layer)
        assert (tuple(camera.center), camera.zoom) == (fitted, zoom), "it is seen"
        assert viewer.dims.point[0] == 300
        camera.center = (0, 1e6, 1e6)
        bring_in(viewer, layer)
        np.testing.assert_allclose(camera.center[-2:], fitted[-2:], rtol=0.01)
        assert camera.zoom == pytest.approx(zoom, rel=0.02)
        camera.zoom *= 4
        camera.center = (0, 0, 20_000)
        leave_no_gap(viewer, layer)
        assert 4000 < camera.center[-2] < 10_000
        viewer.reset_view()


def test_what_is_under_a_click_is_found_whatever_the_unit(viewer, units):
    data = np.zeros((6, 400, 400), int)
    data[2:4, 250, 180] = 5
    layer = viewer.add_labels(data, scale=(0.1,) * 3, units=("um",) * 3, axis_labels="zyx")
    viewer.dims.set_point(0, 300)
    place = to_world(viewer, layer, (3, 250, 180))
    assert place[-1] == pytest.approx(18000)
    assert value_at(viewer, layer, place, None, None) == 5
    viewer.dims.ndisplay = 3
    place = to_world(viewer, layer, (0, 250, 180))
    assert value_at(viewer, layer, place, (1, 0, 0), (0, 1, 2)) == 5
    assert not value_at(viewer, layer, place, (0, 1, 0), (0, 1, 2))
