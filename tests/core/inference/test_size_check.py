from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from embedseg_napari.core.config import ModelConfig, ObjectSizes
from embedseg_napari.core.data.normalization import Prepared, prepare
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.inference.size_check import Suggestion, certainty, size_message, suggest_scale, usual_width
from embedseg_napari.core.model.model import Model, load_model


@pytest.fixture(scope="module")
def nuclei_model() -> Model:
    return load_model("nuclei-2d", device="cpu")


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
    message = size_message(config(20, ndim=ndim), [labels], 1.0)
    assert message is not None
    assert message.level == "warning"
    assert "about 40 pixels wide" in message.text
    assert "scale" not in message.text
    assert size_message(config(20, ndim=ndim), [labels], 0.5) is None


def test_sizes_within_what_was_learned_are_not_told() -> None:
    assert size_message(config(25), [squares(40)], 1.0) is None
    assert size_message(config(20, std=15), [squares(60)], 1.0) is None
    assert size_message(config(24, std=15), [squares(8)], 1.0) is None
    assert size_message(ModelConfig(), [squares(40)], 1.0) is None
    assert size_message(config(20), [np.zeros((9, 9), np.int32)], 1.0) is None
    assert size_message(config(0), [squares(40)], 1.0) is None


def test_a_scale_that_was_tried_is_named() -> None:
    message = size_message(ModelConfig(), [], 1.0, suggestion=Suggestion(2.8, 0.61, 0.03))
    assert message is not None
    assert "sure of 3 % as it is and of 61 % at the scale 2.8" in message.text
    assert "try the scale 2.8." in message.text


@pytest.mark.parametrize(
    ("spacing", "scale", "told"),
    [((1.0, 0.3, 0.3), 1.0, False), ((2.0, 0.3, 0.3), 1.0, True), ((2.0, 0.6, 0.6), 2.0, False), (None, 1.0, False)],
)
def test_voxel_size_is_a_fact_and_no_advice(spacing: tuple[float, ...] | None, scale: float, told: bool) -> None:
    model = config(20, ndim=3).model_copy(update={"spacing": (1.0, 0.3, 0.3), "spacing_unit": "um"})
    message = size_message(model, [], scale, spacing)
    assert (message is not None) == told
    if message is not None:
        assert "trained on pixels of 1 x 0.3 x 0.3 um, these are 2 x 0.3 x 0.3." in message.text
        assert "scale" not in message.text


def test_certainty_is_the_clear_part_of_what_may_be_object() -> None:
    seeds = np.zeros((100, 100), np.float32)
    assert certainty(seeds) == 0
    seeds[:20] = 0.95
    assert certainty(seeds) > 0.99
    seeds[20:40] = 0.5
    assert certainty(seeds) == pytest.approx(0.5, abs=0.01)


def suggestion(model: Model, image: np.ndarray) -> Suggestion | None:
    ready = prepare(image[None], model.config.normalization)
    return suggest_scale(model, model.config.prediction, ready, lambda: False)


def test_a_bundled_model_asks_for_large_nuclei_to_be_shrunk_and_leaves_fitting_ones(nuclei_model: Model) -> None:
    image = nuclei((160, 160), diameter=20, seed=1).image.astype(np.float32)
    assert suggestion(nuclei_model, image) is None
    large = resize(image, (720, 720), order=1).astype(np.float32)
    found = suggestion(nuclei_model, large)
    assert found is not None
    assert found.scale < 0.8
    assert found.certainty > found.certainty_now


def test_nothing_is_suggested_for_noise_or_an_empty_image(nuclei_model: Model) -> None:
    assert suggestion(nuclei_model, np.zeros((64, 64), np.float32)) is None
    assert suggestion(nuclei_model, np.random.default_rng(0).normal(size=(128, 96)).astype(np.float32)) is None


def test_the_part_that_is_tried_is_bounded(pass_through) -> None:
    model = pass_through(2)
    raw = np.random.default_rng(0).random((5, 700, 1100)).astype(np.float32)
    assert suggest_scale(model, model.config.prediction, Prepared.as_given(raw), lambda: False) is None
    assert max(shape[-1] * shape[-2] for shape in model.network.shapes) <= 1 << 21
