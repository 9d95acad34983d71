"""Small pictures of images of all kinds, and the outlines on them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from embedseg_napari.core.report.thumbnail import EDGE, LEAST_EDGE, ON_BRIGHT, ON_DARK, plane_of, thumbnail

ROOM = 100_000


def opened(content: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def square(shape=(60, 80)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    labels[20:40, 30:50] = 7
    return labels


def test_outlines_lie_on_the_border_of_an_object_and_nowhere_else():
    drawn = thumbnail(square().astype(np.uint16) * 900, [square()], ROOM)
    assert (drawn.width, drawn.height) == (80, 60)
    lines = opened(drawn.outlines, "RGBA")
    ring = square() > 0
    ring[21:39, 31:49] = False
    np.testing.assert_array_equal(lines[..., 3] > 0, ring)
    assert tuple(lines[20, 30, :3]) == ON_DARK
    image = opened(drawn.jpeg, "L")
    assert image[30, 40] > 230
    assert image[5, 5] < 25


def test_objects_that_touch_are_told_apart_and_crossing_ones_both_drawn():
    labels = square()
    labels[20:40, 40:50] = 8
    lines = opened(thumbnail(labels, [labels], ROOM).outlines, "RGBA")[..., 3] > 0
    assert lines[30, 39:41].all()
    first, second = np.zeros((2, 60, 80), np.uint8)
    first[28:32, 5:70], second[5:55, 38:42] = 1, 1
    both = opened(thumbnail(first, [first, second], ROOM).outlines, "RGBA")[..., 3] > 0
    assert both[28, 40]
    assert both[30, 38]


def test_movies_and_volumes_are_shown_in_part_which_is_told():
    movie = np.zeros((5, 4, 6, 8), np.uint8)
    movie[2, 3, 1, 1] = 9
    plane, shown = plane_of(movie, "TZYX")
    assert (plane.shape, plane[1, 1], shown) == ((6, 8), 9, "frame 3 of 5, maximum projection of 4 planes")
    turned, _ = plane_of(movie.transpose(3, 0, 2, 1), "XTYZ")
    np.testing.assert_array_equal(turned, plane)
    assert plane_of(np.zeros((6, 8, 3)), "YXC")[0].shape == (3, 6, 8)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_become_colours(channels):
    values = np.zeros((channels, 40, 40), np.uint16)
    values[0, 10:30, 10:30] = 60_000
    colour = opened(thumbnail(values, [np.zeros((40, 40), int)], ROOM).jpeg, "RGB")[20, 20].astype(int)
    if channels == 2:
        assert colour[1] > colour[0] + 80
    elif channels == 3:
        assert colour[0] > colour[1] + 80
    else:
        assert np.ptp(colour) < 10


def test_outlines_on_a_bright_image_are_dark():
    bright = np.full((60, 80), 250, np.uint8)
    bright[20:40, 30:50] = 0
    lines = opened(thumbnail(bright, [square()], ROOM).outlines, "RGBA")
    assert tuple(lines[20, 30, :3]) == ON_BRIGHT


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf, -3.5])
def test_an_image_of_one_value_is_drawn(value):
    drawn = thumbnail(np.full((30, 20), value), [np.zeros((30, 20), int)], ROOM)
    assert np.ptp(opened(drawn.jpeg, "L")) < 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2000, 3), (700, 500), (3000, 2500)])
def test_pictures_keep_their_shape_and_their_size(shape):
    drawn = thumbnail(np.ones(shape, bool), [np.ones(shape, np.int32)], ROOM)
    assert max(drawn.width, drawn.height) <= EDGE
    assert opened(drawn.jpeg, "L").shape == (drawn.height, drawn.width)
    assert (drawn.height <= drawn.width) == (shape[0] <= shape[1])


def test_few_bytes_make_a_small_picture():
    noise = np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8)
    labels = np.arange(600 * 600).reshape(600, 600) // 17
    sizes = []
    for most in (100_000, 8_000, 2_000):
        drawn = thumbnail(noise, [labels], most)
        assert drawn.n_bytes <= most or drawn.width == LEAST_EDGE
        sizes.append(drawn.width)
    assert sizes == sorted(sizes, reverse=True)
    assert LEAST_EDGE <= sizes[-1] < sizes[0] == EDGE
