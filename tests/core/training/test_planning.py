"""What training decides by itself."""

from __future__ import annotations

import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.training import planning


@pytest.mark.parametrize(("ndim", "precision"), [(2, "bfloat16"), (3, "float32")])
def test_volumes_are_not_trained_in_bfloat16_on_a_cpu(blobs, monkeypatch, ndim, precision):
    monkeypatch.setattr(planning, "supports_bfloat16", lambda device: True)
    plan = planning.plan_training(TrainingConfig(), from_arrays([blobs(ndim)]), device="cpu")
    assert plan.precision == precision
