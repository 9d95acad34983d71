"""When a round may be called better or worse."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.evaluation.before_after import BeforeAfter, judge

NONE = BeforeAfter(np.zeros(0), np.zeros(0))


def objects(n, before, now):
    """So many of `n` objects are found."""
    return BeforeAfter(np.where(np.arange(n) < before, 0.8, 0.2), np.where(np.arange(n) < now, 0.8, 0.2))


@pytest.mark.parametrize(
    ("held_out", "learned", "verdict"),
    [
        (NONE, NONE, "unknown"),
        (objects(9, 9, 0), NONE, "unknown"),
        (NONE, objects(9, 9, 0), "unknown"),
        (objects(5, 5, 2), objects(5, 5, 2), "worse"),
        (NONE, objects(12, 12, 8), "worse"),
        (objects(20, 18, 10), objects(30, 25, 30), "worse"),
        # What was learned from speaks for no model.
        (objects(4, 0, 4), objects(30, 10, 30), "unknown"),
        (objects(20, 10, 18), objects(30, 20, 30), "better"),
        (objects(20, 15, 15), objects(30, 20, 30), "alike"),
        # One object is chance.
        (objects(12, 12, 11), NONE, "alike"),
        (NONE, objects(12, 12, 11), "unknown"),
    ],
)
def test_as_far_as_the_objects_can_tell(held_out, learned, verdict):
    assert judge(held_out, learned) == verdict
