from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.evaluation.summary import pool


def images(rng: np.random.Generator, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    out = []
    for _ in range(n):
        true = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((5, 5), int)).astype(np.int32)
        true[rng.random(true.shape) < 0.2] = 0
        out.append((true, np.where(rng.random(true.shape) < 0.25, 0, true)))
    return out


def test_one_image_stays_as_it_is(rng: np.random.Generator) -> None:
    rows = match(*images(rng, 1)[0])
    for pooled, row in zip(pool([rows]), rows, strict=True):
        assert (pooled.tp, pooled.fp, pooled.fn, pooled.ap, pooled.f1) == (row.tp, row.fp, row.fn, row.ap, row.f1)
        assert pooled.pq == pytest.approx(row.pq)


def test_ap_is_the_mean_over_images_and_the_rest_of_all_objects(rng: np.random.Generator) -> None:
    pairs = images(rng, 2)
    pairs[1][1][:10] = 0
    tables = [match(*pair) for pair in pairs]
    # Side by side, the two images are one image with the objects of both.
    whole = match(
        np.hstack([true + 100 * i * (true > 0) for i, (true, _) in enumerate(pairs)]),
        np.hstack([predicted + 100 * i * (predicted > 0) for i, (_, predicted) in enumerate(pairs)]),
    )
    for pooled, row, a, b in zip(pool(tables), whole, *tables, strict=True):
        assert pooled.ap == pytest.approx((a.ap + b.ap) / 2)
        for name in ("tp", "fp", "fn", "precision", "recall", "f1", "pq"):
            assert getattr(pooled, name) == pytest.approx(getattr(row, name))


def test_empty_images_are_no_mistake() -> None:
    empty = np.zeros((4, 4), np.int32)
    row = pool([match(empty, empty), match(empty, empty)])[0]
    assert (row.ap, row.precision, row.recall, row.f1, row.pq) == (1, 1, 1, 1, 1)
