"""Lovasz weights of many instances in one sort."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedseg_napari.core.losses.lovasz import lovasz_weights
from embedseg_napari.core.losses.reference import jaccard_growth


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=5), st.integers(0, 10**6))
def test_equals_the_growth_of_the_jaccard_loss(sizes, seed):
    rng = np.random.default_rng(seed)
    errors, member, segment = [], [], []
    for index, (inside, outside) in enumerate(sizes):
        errors += rng.permutation(1000)[: inside + outside].tolist()
        member += [True] * inside + [False] * outside
        segment += [index] * (inside + outside)
    order = rng.permutation(len(errors))
    e = torch.tensor(np.array(errors, np.float32)[order] / 500)
    m, s = torch.tensor(np.array(member)[order]), torch.tensor(np.array(segment)[order])
    weights = lovasz_weights(e, m, s, torch.bincount(s[m], minlength=len(sizes)))
    for index in range(len(sizes)):
        mine = torch.nonzero(s == index).ravel()
        falling = mine[torch.argsort(e[mine], descending=True)]
        torch.testing.assert_close(weights[falling].double(), jaccard_growth(m[falling]), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(weights[falling].sum(), torch.tensor(1.0), atol=1e-5, rtol=0)
