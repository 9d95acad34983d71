from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig, ObjectSizes
from embedseg_napari.core.inference.size_check import size_facts, usual_width


def squares(side: int, n: int = 6) -> np.ndarray:
    labels = np.zeros((side + 4, n * (side + 2) + 2), np.int32)
    for number in range(n):
        labels[2 : 2 + side, 2 + number * (side + 2) : 2 + number * (side + 2) + side] = number + 1
    return labels


def config(mean: float, std: float = 0.0, ndim: int = 2) -> ModelConfig:
    sizes = ObjectSizes(n_objects=9, mean=(mean,) * ndim, std=(std,) * ndim)
    return ModelConfig(ndim=ndim, grid_spacing=(0.01,) * ndim, object_sizes=sizes)


def test_the_width_is_the_median_of_whole_objects() -> None:
    assert usual_width(squares(12)) == pytest.approx(12)
    assert usual_width(squares(12)[2:]) is None
    assert usual_width(squares(12, 4)) is None
    assert usual_width(np.stack([squares(7)] * 2)) == pytest.approx(7)


@pytest.mark.parametrize("ndim", [2, 3])
def test_other_sizes_are_told_without_a_scale_that_nobody_tried(ndim: int) -> None:
    labels = squares(40) if ndim == 2 else np.stack([squares(40)] * 3)
    (fact,) = size_facts(config(20, ndim=ndim), [usual_width(labels)], 1.0)
    assert "about 40 pixels wide" in fact
    assert "scale" not in fact
    assert not size_facts(config(20, ndim=ndim), [usual_width(labels)], 0.5)


def test_sizes_within_what_was_learned_are_not_told() -> None:
    assert not size_facts(config(25), [usual_width(squares(40))], 1.0)
    assert not size_facts(config(20, std=15), [usual_width(squares(60))], 1.0)
    assert not size_facts(config(24, std=15), [usual_width(squares(8))], 1.0)
    assert not size_facts(ModelConfig(), [usual_width(squares(40))], 1.0)
    assert not size_facts(config(20), [usual_width(np.zeros((9, 9), np.int32))], 1.0)
    assert not size_facts(config(0), [usual_width(squares(40))], 1.0)


@pytest.mark.parametrize(
    ("spacing", "scale", "told"),
    [((1.0, 0.3, 0.3), 1.0, False), ((2.0, 0.3, 0.3), 1.0, True), ((2.0, 0.6, 0.6), 2.0, False), (None, 1.0, False)],
)
def test_voxel_size_is_a_fact_and_no_advice(spacing: tuple[float, ...] | None, scale: float, told: bool) -> None:
    model = config(20, ndim=3).model_copy(update={"spacing": (1.0, 0.3, 0.3), "spacing_unit": "um"})
    facts = size_facts(model, [], scale, spacing)
    assert facts == ["The model was trained on pixels of 1 x 0.3 x 0.3 µm, these are 2 x 0.3 x 0.3."][: int(told)]


def test_pixels_are_told_as_the_network_sees_them() -> None:
    model = config(20).model_copy(update={"spacing": (0.5, 0.5), "spacing_unit": "um"})
    (fact,) = size_facts(model, [], 0.25, (0.5, 0.5))
    assert fact == "The model was trained on pixels of 0.5 x 0.5 µm, these, resized by 0.25, are 2 x 2."
