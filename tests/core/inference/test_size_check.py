from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig, ObjectSizes
from embedseg_napari.core.inference.size_check import compare_sizes, scale_advice, usual_width


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
def test_other_sizes_are_told_with_the_scale_that_helps(ndim: int) -> None:
    labels = squares(40) if ndim == 2 else np.stack([squares(40)] * 3)
    message = compare_sizes(config(20, ndim=ndim), [labels], 1.0)
    assert message is not None
    assert message.level == "warning"
    assert "about 40 pixels wide" in message.text
    assert "try the scale 0.5" in message.text
    assert compare_sizes(config(20, ndim=ndim), [labels], 0.5) is None


def test_sizes_within_what_was_learned_are_not_told() -> None:
    assert compare_sizes(config(25), [squares(40)], 1.0) is None
    assert compare_sizes(config(20, std=15), [squares(60)], 1.0) is None
    assert compare_sizes(config(24, std=15), [squares(8)], 1.0) is None
    assert compare_sizes(ModelConfig(), [squares(40)], 1.0) is None
    assert compare_sizes(config(20), [np.zeros((9, 9), np.int32)], 1.0) is None


def test_small_objects_are_told_too() -> None:
    message = compare_sizes(config(40), [squares(10)], 1.0)
    assert message is not None
    assert "try the scale 4," in message.text


def test_advice_that_cannot_be_followed_is_not_given() -> None:
    message = compare_sizes(config(1), [squares(40)], 1.0)
    assert message is not None
    assert "scale" not in message.text
    assert compare_sizes(config(0), [squares(40)], 1.0) is None
    assert scale_advice(1.0) == ""
