"""Label images that outlines find hard."""

from __future__ import annotations

import numpy as np
import pytest


def hard_shapes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    hole = np.zeros((12, 14), np.int32)
    hole[1:9, 1:9], hole[3:5, 3:5], hole[6, 6] = 5, 0, 9
    pieces = np.zeros((10, 10), np.int32)
    pieces[0:3, 0:3], pieces[6:9, 5:9], pieces[7, 6] = 3, 3, 0
    corners = np.zeros((9, 9), np.int32)
    corners[1:4, 1:4], corners[4:7, 4:7], corners[2, 3] = 2, 2, 0
    island = np.full((11, 11), 7, np.int32)
    island[2:9, 2:9], island[4:7, 4:7], island[5, 5] = 0, 7, 1
    return {
        "holes": hole,
        "pieces": pieces,
        "pieces that touch at a corner": corners,
        "a piece in a hole": island,
        "one pixel": np.pad(np.array([[70_000]], np.int32), 3),
        "everything": np.ones((4, 5), np.int32),
        "touching": np.repeat(np.repeat(np.arange(1, 21).reshape(4, 5), 3, 0), 4, 1),
        "a chessboard": (np.indices((8, 9)).sum(0) % 2).astype(np.int32),
        "noise": rng.integers(0, 4, (40, 50)),
        "unsigned ids": (rng.integers(0, 2, (8, 8)) * np.uint32(4_000_000_000)).astype(np.uint32),
    }


@pytest.fixture(params=hard_shapes())
def hard(request) -> np.ndarray:
    """A label image (Y, X)."""
    return hard_shapes()[request.param]


@pytest.fixture(scope="session")
def many() -> np.ndarray:
    """2,800 objects of 4 x 4 pixels without a corner, numbered up to 70,000."""
    labels = np.repeat(np.repeat(25 * np.arange(1, 2_801).reshape(56, 50), 4, 0), 4, 1)
    labels[::4, ::4] = 0
    return labels
