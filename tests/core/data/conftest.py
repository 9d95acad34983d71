"""Images that go with the masks of `pair_steps`."""

from __future__ import annotations

import numpy as np
import pytest
from pair_steps import SHAPES


@pytest.fixture
def image():
    return {ndim: np.random.default_rng(0).integers(0, 200, shape).astype(np.uint16) for ndim, shape in SHAPES.items()}
