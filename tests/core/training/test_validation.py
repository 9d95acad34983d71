"""Which of several states of a training the held-out images can tell apart."""

from __future__ import annotations

import pytest

from embedseg_napari.core.training.validation import Scores


@pytest.mark.parametrize(
    ("each", "record", "is_as_good"),
    [
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], True),
        # One image lost much, the others gained: chance.
        ([0.2, 0.7, 0.8, 0.6], [0.6, 0.6, 0.7, 0.5], True),
        # All lost a little: sure.
        ([0.55, 0.54, 0.56, 0.55], [0.6, 0.6, 0.6, 0.6], False),
        ([0.7, 0.5], [0.5, 0.5], True),
        ([0.59], [0.6], False),
        ([0.6], [0.6], True),
    ],
)
def test_a_loss_counts_only_where_it_is_larger_than_its_standard_error(each, record, is_as_good):
    assert Scores(0.0, sum(each) / len(each), tuple(each)).is_as_good_as(record) is is_as_good
