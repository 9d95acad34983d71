"""Whether the numbers of a mask are objects, where only some planes of a volume are known."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.data.mask_kinds import count_pieces, require_objects
from embedseg_napari.core.errors import DataError


def volume(axis: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Balls beside each other, known on planes across an axis, and on a plane across these on which there is none."""
    z, y, x = np.indices((20, 20, 20 * n))
    labels = np.zeros(z.shape, np.int32)
    for index in range(n):
        labels[(z - 8) ** 2 + (y - 8) ** 2 + (x - 8 - 20 * index) ** 2 < 50] = index + 1
    unknown = np.ones(labels.shape, bool)
    unknown[2:15:3] = unknown[:, 18] = False
    labels[unknown] = 0
    return np.moveaxis(labels, 0, axis), np.moveaxis(unknown, 0, axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pieces_are_counted_object_by_object(axis: int) -> None:
    labels, unknown = volume(axis, 3)
    assert (count_pieces(labels, "a").n_large, count_pieces(labels, "a").n_split) == (15, 3)
    found = count_pieces(labels, "a", unknown)
    assert (found.n, found.n_large, found.n_split, found.largest) == (3, 3, 0, 1)
    assert found.sizes.tolist() == np.bincount(labels.ravel())[1:].tolist()
    # A number on two of the balls is in two pieces still.
    labels[labels == 3] = 1
    found = count_pieces(labels, "a", unknown)
    assert (found.n, found.n_large, found.n_split) == (2, 3, 1)


def test_truth_to_score_by_is_no_binary_mask_where_few_planes_are_known() -> None:
    labels, unknown = volume(1, 1)
    assert require_objects([(labels, "a", False, unknown)]) == []
    assert require_objects([(labels[None] > 0, "a", True, unknown)]) == []
    with pytest.raises(DataError, match="5 separate pieces"):
        require_objects([(labels, "a", False, None)])
