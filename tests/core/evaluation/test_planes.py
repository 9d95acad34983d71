"""Stacks of planes, one object each, are told from label volumes whatever their type."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.diagnosis import compare, diagnose
from embedseg_napari.core.evaluation.error_map import Mark, paint
from embedseg_napari.core.evaluation.matching import lenient_ap, match


def squares(n: int = 3, ndim: int = 2) -> np.ndarray:
    """Planes of squares (cubes) side by side, the second one over a corner of the first."""
    planes = np.zeros((n, *((6,) * (ndim - 2)), 40, 12 * n), bool)
    for k in range(n):
        planes[k, ..., 4 + 8 * (k == 1) : 20, max(12 * k - 2, 0) : 12 * k + 10] = True
    return planes


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("values", ["ones", "255", "own numbers"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_planes_of_any_type_are_matched_in_any_order(ndim: int, values: str, kind: type) -> None:
    true = squares(4, ndim)
    number = {"ones": np.ones(4), "255": np.full(4, 255), "own numbers": np.arange(1, 5)}[values]
    stack = true * number.reshape(-1, *[1] * ndim).astype(kind)
    predicted = stack[[2, 0, 3, 1]]
    assert match(stack, predicted, [0.5], planes=True)[0].ap == 1
    with pytest.warns(UserWarning, match="planes of one object each"):
        (row,) = match(stack, predicted, [0.5])
    assert (row.tp, row.fp, row.fn) == (4, 0, 0)
    with pytest.warns(UserWarning, match="planes"):
        assert match(true, predicted, [0.9])[0].ap == 1
    with pytest.warns(UserWarning, match="planes"):
        (row,) = match(stack, predicted[:2], [0.5])
    assert (row.tp, row.fp, row.fn) == (2, 0, 2)
    assert lenient_ap(stack, predicted, [0.5]) == [1]


def test_label_volumes_stay_label_volumes() -> None:
    volume = np.zeros((8, 20, 20), np.uint16)
    volume[1:5, 2:9, 2:9] = 1
    one = volume.copy()
    volume[5:8, 10:18, 10:18] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for labels, n in ((volume, 2), (one, 1)):
            (row,) = match(labels, labels[::1], [0.5])
            assert (row.tp, row.fp, row.fn) == (n, 0, 0)
        (row,) = match(volume, np.roll(volume, 1, 0), [0.5])
    assert row.tp == 2
    flat = np.zeros((3, 20, 20), np.uint16)
    flat[0, 2:9, 2:9], flat[2, 8:16, 8:16] = 1, 2
    assert match(flat, flat[::-1], [0.5], planes=False)[0].tp == 0


def test_what_is_said_of_planes_and_of_axes_fits() -> None:
    stack = squares(3)
    assert match(stack, stack, [0.5], planes=True, axes="YX")[0].tp == 3
    for planes, axes in ((True, "ZYX"), (True, "TYX"), (False, "YX")):
        with pytest.raises(DataError, match=f"Axes '{axes}' .* do not fit planes={planes}"):
            match(stack, stack, [0.5], planes=planes, axes=axes)


def test_a_plane_of_several_numbers_is_none_of_one_object() -> None:
    movie = np.zeros((2, 20, 20), np.int32)
    movie[:, 2:6, 2:6], movie[:, 9:15, 9:15] = 1, 2
    for true, predicted, planes, name in ((movie[0], movie, None, "prediction"), (movie, movie, True, "truth")):
        with pytest.raises(DataError, match=f'The {name}: plane 0 holds several numbers.*axes="TYX"'):
            match(true, predicted, planes=planes)


def test_frames_of_volumes_are_no_image() -> None:
    frames = np.random.default_rng(0).integers(0, 5, (2, 3, 8, 8))
    with pytest.raises(DataError, match="one by one"):
        match(frames, frames)


def test_unknown_pixels_count_for_predicted_planes_too() -> None:
    true = squares()
    ignore = true[2] & ~true[1]
    (row,) = match(true[:2], true, [0.5], ignore=ignore)
    assert (row.tp, row.fp, row.fn) == (2, 0, 0)
    assert match(true[:2], true, [0.5])[0].fp == 1


def test_mistakes_of_predicted_planes_are_painted() -> None:
    true = squares()
    predicted = true[:2].copy()
    compared = compare(true, predicted)
    overlay = paint(true, predicted, compared, diagnose(compared, 0.5))
    assert overlay.shape == true.shape[1:]
    assert (overlay[true[2] & ~true[1]] == Mark.MISSED).all()
    assert (overlay[true[0] & ~true[1]] == Mark.FOUND).all()
