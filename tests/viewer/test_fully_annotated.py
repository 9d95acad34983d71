"""Regions drawn from a mask hold the same pixels as the mask, also where it has holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedseg_napari.core.annotation.states import region_mask
from embedseg_napari.viewer.fully_annotated import outlines
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def filled(mask, polygons):
    if mask.ndim == 2:
        return region_mask(mask.shape, polygons)
    found = np.zeros(mask.shape, bool)
    for polygon in polygons:
        (axis,) = np.flatnonzero(np.ptp(polygon, axis=0) == 0)
        plane = np.moveaxis(found, axis, 0)[int(polygon[0, axis])]
        plane |= region_mask(plane.shape, [np.delete(polygon, axis, axis=1)])
    return found


def rings(shape=(40, 60)):
    """A disc with two holes, in one of them an island with a hole of its own."""
    y, x = np.indices(shape)
    mask = np.hypot(y - 20, x - 25) < 18
    mask &= np.hypot(y - 20, x - 20) > 9
    mask |= np.hypot(y - 20, x - 20) < 5
    mask &= np.hypot(y - 20, x - 20) > 2
    mask[18:22, 33:36] = False
    return mask


@settings(deadline=None)  # the first call imports scikit-image
@given(arrays(bool, SHAPES, elements=st.sampled_from([True, True, False])))
def test_outlines_hold_the_mask_exactly(mask):
    assert np.array_equal(filled(mask, outlines(mask)), mask)


@settings(deadline=None)
@given(arrays(bool, st.sampled_from([(3, 5, 6), (5, 4, 3)]), elements=st.sampled_from([True, True, False])))
def test_outlines_of_a_volume_hold_the_mask_plane_by_plane(mask):
    assert np.array_equal(filled(mask, outlines(mask)), mask)


def test_a_piece_with_holes_is_one_polygon():
    mask = rings()
    polygons = outlines(mask)
    assert len(polygons) == 2
    assert np.array_equal(filled(mask, polygons), mask)


@pytest.mark.parametrize("ndim", [2, 3])
def test_holes_survive_the_shapes_layer(layer_viewer, ndim):
    mask = rings() if ndim == 2 else np.stack([rings(), ~rings(), np.zeros_like(rings())])
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros(mask.shape, np.float32), name="cells", scale=(2.0, 0.3, 0.3)[-ndim:]))
    layers.make()
    for _ in range(2):
        layers.regions.show(mask)
        assert np.array_equal(layers.regions.mask(), mask)


@pytest.mark.parametrize("pixel", [0.065, 1.0, 40.0])
def test_lines_are_as_thick_whatever_the_pixel_size(layer_viewer, pixel):
    layers = AnnotationLayers(layer_viewer)
    layers.watch(layer_viewer.add_image(np.zeros((40, 60), np.float32), name="cells", scale=(pixel, pixel)))
    layers.make()
    layers.regions.draw()
    # In pixels of the layer, which its scale makes larger.
    assert layers.regions.layer.current_edge_width == 1


def test_regions_lie_on_an_image_whose_voxels_were_measured_since(layer_viewer):
    mask = np.zeros((4, 20, 20), bool)
    mask[2, 5:15, 5:15] = True
    image = layer_viewer.add_image(np.zeros(mask.shape))
    layers = AnnotationLayers(layer_viewer)
    layers.watch(image)
    layers.make()
    image.scale = layers.labels.scale = (3, 0.5, 0.5)
    layers.regions.show(mask)
    assert tuple(layers.regions.layer.scale) == (3, 0.5, 0.5)
    assert layers.frame.spacing() == (3, 0.5, 0.5)
    np.testing.assert_array_equal(layers.regions.mask(), mask)


def volume_regions(viewer):
    """The regions of a volume of 12 x 14 x 16 pixels, ready to be drawn."""
    layers = AnnotationLayers(viewer)
    layers.watch(viewer.add_image(np.zeros((12, 14, 16), np.float32), name="cells", scale=(2.0, 0.3, 0.3)))
    layers.make()
    layers.regions.draw()
    return layers.regions


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rectangle_counts_for_the_plane_it_is_drawn_on_in_each_view(layer_viewer, axis):
    regions = volume_regions(layer_viewer)
    regions.layer.add_rectangles(np.insert([(2, 3), (2, 12), (9, 12), (9, 3)], axis, 5, axis=1).astype(float))
    expected = np.zeros(regions.shape, bool)
    expected[tuple(np.insert([slice(2, 10), slice(3, 13)], axis, 5))] = True
    np.testing.assert_array_equal(regions.mask(), expected)
    assert regions.count() == 1
    labels = np.zeros(regions.shape, np.int32)
    assert regions.is_one_empty(labels)
    labels[expected] = 1
    assert not regions.is_one_empty(labels)
    regions.show(regions.mask())
    np.testing.assert_array_equal(regions.mask(), expected)
    assert regions.count() == 1


def test_regions_that_cross_stay_few(layer_viewer):
    regions = volume_regions(layer_viewer)
    mask = np.zeros(regions.shape, bool)
    mask[4], mask[1:11, 6, 2:14], mask[1:11, 2:12, 8] = True, True, True
    regions.show(mask)
    np.testing.assert_array_equal(regions.mask(), mask)
    # The plane, and above and below it what is left of the two across: one whole, one in two halves.
    assert regions.count() == 1 + 2 * 3


@pytest.mark.parametrize("n_planes", [1, 4])
def test_what_is_drawn_on_planes_along_z_stays_there(layer_viewer, n_planes):
    regions = volume_regions(layer_viewer)
    mask = np.zeros(regions.shape, bool)
    y, x = np.indices(mask.shape[1:])
    # A triangle, with tips of single pixels.
    mask[3 : 3 + n_planes] = (x >= y) & (x <= 13 - y)
    regions.show(mask)
    assert regions.count() == n_planes
    assert all(np.ptp(polygon[:, 0]) == 0 for polygon in regions.layer.data)


def test_what_lies_on_no_plane_of_the_image_is_not_counted(layer_viewer):
    regions = volume_regions(layer_viewer)
    regions.layer.add_polygons(np.array([(2, 2, 2), (2, 9, 9), (8, 9, 2), (8, 2, 9)], float))
    regions.layer.add_rectangles(np.array([(20, 2, 2), (20, 9, 2), (20, 9, 9), (20, 2, 9)], float))
    assert regions.count() == 0
    assert regions.mask() is None
