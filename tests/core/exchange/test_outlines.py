"""Outlines are valid polygons whose area is that of their object, and fill to its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.fill import fill
from embedseg_napari.core.exchange.outlines import outlines

shapely = pytest.importorskip("shapely")


def check(labels: np.ndarray) -> None:
    numbers, rings = [], []
    for number, pieces in outlines(labels):
        numbers.append(number)
        rings.append([ring for piece in pieces for ring in piece.rings])
        polygon = shapely.MultiPolygon([shapely.Polygon(piece.outer, piece.holes) for piece in pieces])
        assert polygon.is_valid
        assert polygon.area == np.count_nonzero(labels == number)
        assert len(pieces) == ndimage.label(labels == number)[1]
    assert numbers == np.unique(labels[labels > 0]).tolist()
    back = np.zeros(labels.shape, np.int64)
    assert fill(back, numbers, rings) == 0
    np.testing.assert_array_equal(back, labels)


def test_hard_shapes(hard) -> None:
    check(hard)


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
@settings(max_examples=60, deadline=None)
def test_any_shape(labels) -> None:
    check(labels)


def test_nothing_has_no_outline() -> None:
    assert list(outlines(np.zeros((4, 5), int))) == []


def test_a_pixel_belongs_where_its_centre_lies() -> None:
    plane = np.zeros((6, 6), int)
    triangle = [(0.6, 0.6), (4.45, 0.6), (0.6, 4.45)]
    fill(plane, [1], [[triangle]])
    y, x = np.indices(plane.shape) + 0.5
    np.testing.assert_array_equal(plane, (x >= 0.6) & (y >= 0.6) & (x + y < 5.05))


def test_the_later_one_lies_above_and_what_is_outside_is_left_out() -> None:
    plane = np.zeros((5, 5), int)
    square = np.array([(0, 0), (3, 0), (3, 3), (0, 3)])
    assert fill(plane, [1, 2], [[square], [square + 1]]) == 4
    assert [int((plane == n).sum()) for n in (1, 2)] == [5, 9]
    fill(plane, [3], [[square + 1_000_000_000]])
    fill(plane, [4], [[square - 2]])
    assert [int((plane == n).sum()) for n in (3, 4)] == [0, 1]
    with pytest.raises(DataError, match="no number"):
        fill(plane, [5], [[[(0, 0), (np.nan, 3), (2, 2)]]])
