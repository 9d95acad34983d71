"""Truth without objects in some frames is told, with what can be done about it."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.evaluation.label_pair import LabelPair
from embedseg_napari.core.evaluation.truth_check import TruthCheck


def said(check: TruthCheck, **movies: str) -> str:
    """What is odd about movies, one digit a frame: its number of objects."""
    for name, frames in movies.items():
        for t, n in enumerate(frames):
            true = np.zeros((4, 20), np.int32)
            true[1:3, 1 : 1 + 2 * int(n)] = np.repeat(np.arange(1, int(n) + 1), 2)
            check.look((name.replace("_", " "), "The prediction"), LabelPair("", true, true, None, 2, t))
    return " ".join(check.warnings())


def test_empty_frames_of_layers_are_named_and_the_advice_is_for_layers() -> None:
    text = said(TruthCheck(is_of_layers=True), The_truth="00300200")
    assert "The truth holds no object in 6 frames (0, 1, 3, ...): whatever was found there counts as wrong" in text
    assert "Thresholds leaves such frames out" in text
    assert "ignore/" not in text
    assert "in 1 frame (1): " in said(TruthCheck(is_of_layers=True), The_truth="30")
    assert said(TruthCheck(is_of_layers=True), The_truth="33") == ""


def test_empty_frames_of_files_are_named_with_their_file() -> None:
    assert "no object in 3 frames (0, 1, 3) of a.tif: whatever" in said(TruthCheck(), **{"a.tif": "00303"})
    text = said(TruthCheck(), **{"a.tif": "330", "b.tif": "003"})
    assert "no object in 3 frames, the first of them frame 2 of a.tif: whatever" in text
    assert "mark them as unknown in ignore/" in text
    assert "Thresholds" not in text


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_object_that_is_known_on_some_planes_is_whole(axis: int, planes: bool) -> None:
    ball = sum((np.indices((20, 20, 20)) - 8) ** 2) < 50
    ignore = np.ones(ball.shape, bool)
    np.moveaxis(ignore, axis, 0)[[2, 5, 8, 11, 14]] = False
    # A plane across the others on which it is not: of none is nothing known.
    np.moveaxis(ignore, axis - 1, 0)[18] = False
    true = ball[None] if planes else ball.astype(np.int32)
    check = TruthCheck()
    check.look(("a.tif", "b.tif"), LabelPair("", true, ball.astype(np.int32), ignore, 3))
    assert check.warnings() == []
