"""Intervals at 95 % for what a random sample says of a whole: right objects, missed objects, and the share found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special, stats

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 0.05
"""How often an interval may miss the truth."""
LEAST_CLUMP = 2.5
"""Missed objects that the worst area holds at least, as far as clumps go: some more than an area has objects."""


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def over(self, whole: float) -> Interval:
        """The same as a part of a whole."""
        return Interval(self.value / whole, self.low / whole, self.high / whole)


def right_objects(n_right: int, n_judged: int, n_found: int) -> Interval | None:
    """How many of all found objects are right, from a random sample drawn without replacement.

    The limits are the exact ones for a sample from a finite whole: those numbers of right objects with which a sample
    as good, or as bad, as this one comes about in 2.5 % of the draws (hypergeometric; Wright, *Exact Confidence Bounds
    when Sampling from Small Finite Universes*, 1991; in the limit of a large whole that of Clopper and Pearson, 1934).
    Where all are judged they fall together.

    Parameters
    ----------
    n_right : int
        Of the objects judged.
    n_judged : int
        Size of the sample.
    n_found : int
        Objects in all.

    Returns
    -------
    Interval or None
        Numbers of objects; None where there are some and none was judged.
    """
    if n_judged == 0:
        return Interval(0, 0, 0) if n_found == 0 else None
    least, most = n_right, n_found - (n_judged - n_right)

    def bisect(is_high: bool) -> int:
        """The last number of right objects that the sample does not speak against."""
        inside, outside = (least, most + 1) if is_high else (most, least - 1)
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            share = (
                stats.hypergeom.cdf(n_right, n_found, middle, n_judged)
                if is_high
                else stats.hypergeom.sf(n_right - 1, n_found, middle, n_judged)
            )
            inside, outside = (middle, outside) if share > ALPHA / 2 else (inside, middle)
        return inside

    return Interval(n_right / n_judged * n_found, bisect(False), bisect(True))


def missed_objects(counts: Sequence[int], share: float) -> Interval | None:
    """How many objects are missed in all, from what was counted in random areas that do not overlap.

    The estimate is the ratio estimator: objects counted by the part of the image looked at (Cochran, *Sampling
    Techniques*, 1977, ch. 6). An object belongs to the area that its middle lies in (the associated point rule of
    stereology; Miles 1978, Baddeley and Jensen 2005), so that borders neither count it twice nor leave it out.

    The limits are those of Clopper and Pearson for the number of trials: each missed object was seen with the
    probability `share`. Missed objects come in clumps, which makes the sample worth less, as in a survey by clusters:
    the count is divided by the design effect, and the limits multiplied by it, with the quantile of Student's t for the
    few areas (Kish, *Survey Sampling*, 1965; Korn and Graubard, Survey Methodology 24, 1998). The design effect is the
    variance of the counts by their mean, at least 1. A few areas tell it too small where no clump was hit, so one more
    area counts for it, as bad as the worst one that was seen and with at least `LEAST_CLUMP` missed objects. Where
    nothing was found missing there is an upper limit all the same; where all was looked at the limits fall together.

    Parameters
    ----------
    counts : sequence of int
        Missed objects in each area that was judged.
    share : float
        Part of the whole, in pixels, that these areas are.

    Returns
    -------
    Interval or None
        Numbers of objects; None where no area was judged.
    """
    if len(counts) == 0:
        return None
    n = int(sum(counts))
    if share >= 1:
        return Interval(n, n, n)
    pretended = np.append(counts, max(LEAST_CLUMP, *counts))
    few = (stats.t.ppf(ALPHA / 2, len(counts)) / stats.norm.ppf(ALPHA / 2)) ** 2
    effect = max(1.0, float(pretended.var(ddof=1) / pretended.mean())) * few
    seen = n / effect
    # P(seen or more of K) and P(seen or fewer of K), solved for K: incomplete beta functions, also for fractions.
    low = 0.0 if n == 0 else (seen - 1 + special.btdtrib(seen, ALPHA / 2, share)) * effect
    high = (seen + special.btdtria(ALPHA / 2, seen + 1, 1 - share)) * effect
    return Interval(n / share, max(n, math.floor(low)), math.ceil(high))


def found_share(right: Interval | None, missed: Interval | None, n_seen: int) -> Interval | None:
    """Recall: the share of all true objects that are found, right / (right + missed).

    The two come from samples drawn independently of each other. The limits of their ratio follow from their own ones
    by the method of variance estimates recovery (MOVER-R; Donner and Zou, Statistical Methods in Medical Research 21,
    2012), which needs neither to be normal nor symmetric. Missed objects that were seen are certain: where the lower
    limit is their number, the ratio is allowed all that the limits allow.

    Parameters
    ----------
    right, missed : Interval or None
        Numbers of objects.
    n_seen : int
        Missed objects that were counted.

    Returns
    -------
    Interval or None
        Between 0 and 1; None where one of the two is unknown, or there is nothing to find.
    """
    if right is None or missed is None or right.value + missed.value == 0:
        return None
    both = right.value * missed.value
    # Missed by right, ratio at which missed - ratio * right may just be 0: the roots of a quadratic equation.
    below, above = missed.low * (2 * missed.value - missed.low), missed.high * (2 * missed.value - missed.high)
    least, most = right.low * (2 * right.value - right.low), right.high * (2 * right.value - right.high)
    root = math.sqrt(max(both**2 - above * least, 0))
    high = (both + root) / least if least > 0 else math.inf if missed.high > 0 else 0.0
    root = both + math.sqrt(max(both**2 - below * most, 0))
    low = below / root if root > 0 else 0.0
    if missed.low <= n_seen:
        low = missed.low / right.high if right.high > 0 else math.inf if missed.low > 0 else 0.0
    return Interval(right.value / (right.value + missed.value), 1 / (1 + high), 1 / (1 + low))
