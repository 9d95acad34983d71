"""What is an outline, and what a scribble."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from embedseg_napari.core.annotation.edits import stroke_pixels
from embedseg_napari.core.annotation.outlines import enclosed_pixels

SHAPE, WIDTH = (64, 64), 3
NOTHING = np.zeros(SHAPE, bool)


def brush(points, width=WIDTH):
    """A stroke through points."""
    line = np.zeros(SHAPE, bool)
    line[stroke_pixels(SHAPE, points)] = True
    return ndimage.distance_transform_edt(~line) <= width / 2


def circle(radius=12, start=0.0, stop=360.0, middle=(32, 32)):
    angles = np.deg2rad(np.linspace(start, stop, 60))
    return [(middle[0] + radius * np.sin(a), middle[1] + radius * np.cos(a)) for a in angles]


def test_an_outline_drawn_with_a_trembling_hand_is_one():
    away = np.hypot(*(np.indices(SHAPE) - 32))
    stroke = (away >= 9) & (away < 13.5)
    assert np.array_equal(enclosed_pixels(NOTHING, stroke, 2.0), ndimage.binary_fill_holes(stroke) & ~stroke)


@pytest.mark.parametrize(
    "points",
    [
        circle(),
        circle(3),
        circle(stop=400),
        [(10, 10), (10, 40), (50, 40), (50, 10), (10, 10)],
        [(8, 32), *circle(start=-90, stop=270)],
        [(32, 10), (20, 30), (12, 50), (30, 40), (55, 52), (40, 28), (32, 10)],
    ],
)
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_closed_outline_encloses_all_inside(points, width):
    stroke = brush(points, width)
    inside = enclosed_pixels(NOTHING, stroke, width)
    expected = ndimage.binary_fill_holes(stroke) & ~stroke
    assert np.array_equal(inside, expected)


@pytest.mark.parametrize(
    # Where the outline runs, and a pixel inside and one outside of it.
    ("points", "inside", "outside"),
    [
        ([(0, 10), (30, 10), (30, 50), (0, 50)], (0, 30), (40, 30)),
        (circle(start=160, stop=380, middle=(60, 32)), (60, 32), (60, 60)),
        ([(0, 20), (20, 20), (20, 0)], (0, 0), (40, 40)),
        ([(63, 40), (40, 44), (44, 63)], (63, 63), (0, 0)),
    ],
    ids=["top", "bottom", "corner", "other corner"],
)
def test_the_border_of_the_image_closes_an_outline(points, inside, outside):
    points = [tuple(np.clip(point, 0, 63)) for point in points]
    stroke = brush(points)
    filled = enclosed_pixels(NOTHING, stroke, WIDTH)
    assert filled[inside]
    assert not filled[outside]
    # What was left open on purpose stays so.
    assert not enclosed_pixels(stroke, brush(points[:1]), WIDTH).any()


@pytest.mark.parametrize("points", [[(0, 32), (63, 32)], [(0, 0), (63, 63)], [(0, 10), (0, 50)], [(2, 2), (2, 60)]])
def test_a_line_across_or_along_the_border_is_no_outline(points):
    assert not enclosed_pixels(NOTHING, brush(points), WIDTH).any()


@pytest.mark.parametrize(
    "points",
    [
        [(10, 10), (50, 50)],
        circle(stop=270),
        # To and fro, across itself.
        [(10, 10), (50, 14), (10, 18), (50, 22), (10, 26), (50, 30), (30, 6), (30, 34)],
        [(20 + 12 * (i % 2), 5 + 2 * i) for i in range(25)] + [(26, 55), (26, 5)],
        # Two loops.
        [*circle(8, middle=(20, 20)), *circle(8, middle=(44, 44))],
        # A lasso on a long rope.
        [*circle(5, middle=(10, 10)), (60, 10), (60, 60), (4, 60)],
    ],
)
def test_a_scribble_encloses_nothing(points):
    assert not enclosed_pixels(NOTHING, brush(points), WIDTH).any()


def test_an_outline_may_be_drawn_in_two_strokes():
    first, second = brush(circle(stop=185)), brush(circle(start=175, stop=365))
    assert not enclosed_pixels(NOTHING, first, WIDTH).any()
    inside = enclosed_pixels(first, second & ~first, WIDTH)
    assert np.array_equal(inside, ndimage.binary_fill_holes(first | second) & ~(first | second))


def test_a_hole_that_was_left_open_stays_open():
    ring = brush(circle(12), 5)
    assert not enclosed_pixels(ring, brush(circle(15), 3) & ~ring, 3).any()
    assert not enclosed_pixels(ring, brush([(50, 5), (50, 60)]), 3).any()


def test_an_end_that_nearly_meets_the_beginning_closes_the_outline():
    stroke, gap = brush(circle(stop=340)), np.zeros(SHAPE, bool)
    assert not enclosed_pixels(NOTHING, stroke, WIDTH).any()
    gap[stroke_pixels(SHAPE, [circle(stop=340)[0], circle(stop=340)[-1]])] = True
    inside = enclosed_pixels(NOTHING, stroke, WIDTH, gap)
    assert np.array_equal(inside, ndimage.binary_fill_holes(stroke | gap) & ~stroke)


def test_an_outline_of_a_thin_object_may_touch_itself():
    sides = [(28, 5), (28, 20), (30, 25), (28, 30), (28, 58)]
    points = [*sides, *((64 - y, x) for y, x in reversed(sides)), sides[0]]
    stroke = brush(points, 5)
    holes = ndimage.binary_fill_holes(stroke) & ~stroke
    assert ndimage.label(holes)[1] > 1
    assert not enclosed_pixels(NOTHING, stroke, 5).any()
    assert np.array_equal(enclosed_pixels(NOTHING, stroke, 5, brush(sides[:1], 1)), holes)
