"""How far networks look, exactly and in effect."""

from __future__ import annotations

import numpy as np
from large_steps import STEP, BlobNetwork, blobs

from embedseg_napari.core.large.field import effective_field, receptive_field
from embedseg_napari.core.networks.architectures import build_network


def test_a_network_with_a_known_field():
    # Two means over 5 pixels and a difference look 5 pixels far, and blocks of 8 no further than their ends.
    assert receptive_field(BlobNetwork(2), 1) == (8, 8)
    assert receptive_field(BlobNetwork(3), 1) == (8, 8, 8)


def test_networks_whatever_their_weights():
    for ndim in (2, 3):
        assert max(receptive_field(build_network("unet", ndim, 1).eval(), 1)) == 184
    assert max(receptive_field(build_network("branched-erfnet", 2, 2).eval(), 2)) > 512


def test_what_counts_is_at_most_what_can_count():
    values = blobs((64, 64), 12).astype(np.float32)[None] / 500
    assert max(effective_field(BlobNetwork(2), values, (STEP, STEP))) <= 8
    flat = np.zeros((1, 64, 64), np.float32)
    assert effective_field(BlobNetwork(2), flat, (STEP, STEP)) == (0, 0)
