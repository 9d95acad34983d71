"""Limits that can be worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from embedseg_napari.core.estimate.intervals import Interval, found_share, missed_objects, right_objects


@pytest.mark.parametrize(("n_right", "n_judged", "n_found"), [(0, 5, 40), (27, 30, 100), (30, 30, 31), (7, 20, 5000)])
def test_right_objects_are_all_that_the_sample_does_not_speak_against(n_right, n_judged, n_found):
    possible = np.arange(n_right, n_found - (n_judged - n_right) + 1)
    drawn = stats.hypergeom(n_found, possible, n_judged)
    kept = possible[(drawn.sf(n_right - 1) > 0.025) & (drawn.cdf(n_right) > 0.025)]
    assert right_objects(n_right, n_judged, n_found) == (n_right / n_judged * n_found, kept[0], kept[-1])


def test_right_objects_of_many_have_the_limits_of_clopper_and_pearson():
    found = right_objects(27, 30, 10**7).over(10**7)
    exact = stats.binomtest(27, 30).proportion_ci(0.95, "exact")
    assert found == pytest.approx((0.9, exact.low, exact.high), abs=1e-4)


def test_all_that_is_judged_leaves_no_doubt():
    assert right_objects(9, 12, 12) == (9, 9, 9)
    assert missed_objects([0, 2, 1], 1.0) == (3, 3, 3)


def test_nothing_that_is_judged_says_nothing():
    assert right_objects(0, 0, 12) is None
    assert missed_objects([], 0.0) is None
    assert found_share(None, missed_objects([1], 0.5), 1) is None
    assert found_share(right_objects(3, 3, 9), None, 0) is None


def test_areas_without_missed_objects_leave_an_upper_limit_that_more_of_them_lower():
    limits = [missed_objects([0] * n, n / 400) for n in (10, 30, 100)]
    assert all((one.value, one.low) == (0, 0) for one in limits)
    assert limits[0].high > limits[1].high > limits[2].high > 0


def test_missed_objects_in_clumps_are_less_sure_than_as_many_by_themselves():
    spread, clumped = missed_objects([1] * 8 + [0] * 22, 0.1), missed_objects([8] + [0] * 29, 0.1)
    assert spread.value == clumped.value == pytest.approx(80)
    assert clumped.high - clumped.low > 1.5 * (spread.high - spread.low)
    assert clumped.low >= 8, "what was counted is there"


@pytest.mark.parametrize("clump", [1, 2])
def test_limits_hold_the_number_of_missed_objects_in_19_of_20_draws(rng, clump):
    held = []
    for _ in range(400):
        areas = clump * rng.poisson(0.3, 200)
        one = missed_objects(rng.choice(areas, 30, replace=False), 30 / 200)
        held.append(one.low <= areas.sum() <= one.high)
    assert np.mean(held) >= 0.95


def test_recall_lies_between_what_the_limits_allow():
    right, missed = Interval(90, 80, 95), Interval(20, 8, 40)
    found = found_share(right, missed, 4)
    assert found.value == pytest.approx(90 / 110)
    assert 80 / 120 < found.low < 90 / 130 + 1e-9, "not as wide as both limits at once, but as the wider one alone"
    assert 90 / 98 - 1e-9 < found.high < 95 / 103
    assert found_share(right, missed, 8).high == pytest.approx(95 / 103), "eight are certainly missed"


@pytest.mark.parametrize(
    ("right", "missed", "expected"),
    [
        (Interval(9, 9, 9), Interval(1, 1, 1), (0.9, 0.9, 0.9)),
        (Interval(5, 0, 10), Interval(0, 0, 4), (1.0, 0.0, 1.0)),
        (Interval(0, 0, 0), Interval(3, 3, 3), (0.0, 0.0, 0.0)),
        (Interval(0, 0, 0), Interval(0, 0, 0), None),
    ],
)
def test_recall_at_the_edges(right, missed, expected):
    assert found_share(right, missed, int(missed.low)) == (expected if expected is None else pytest.approx(expected))
