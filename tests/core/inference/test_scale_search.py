from __future__ import annotations

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.data.normalization import prepare
from embedseg_napari.core.data.synthetic import Look, nuclei
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import Advice, Message
from embedseg_napari.core.inference.scale_search import Stable, find_scale
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.runs import never


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("nuclei-3d", device="cpu")


def volume(diameter: float, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    sample = nuclei(
        shape, diameter=diameter, photons=60, coverage=0.25, spacing=(1, 1, 1), seed=seed, look=Look(depth_blur=2)
    )
    return sample.image.astype(np.float32), sample.labels


@pytest.fixture(scope="module")
def small() -> tuple[np.ndarray, np.ndarray]:
    """Nuclei half as wide as the model is used to."""
    return volume(8, (24, 64, 64), seed=3)


def found(model: Model, image: np.ndarray, scale: float = 1.0) -> float:
    settings = model.config.prediction.changed({"scale": scale})
    return find_scale(model, settings, prepare(image[None], model.config.normalization), never).scale


def test_small_objects_are_shown_larger_and_more_of_them_found(model: Model, small) -> None:
    image, truth = small
    events: list[object] = []
    as_is = model.predict(image, "ZYX", find_scale=False, on_event=events.append)
    looked_for = model.predict(image, "ZYX", find_scale=True, on_event=events.append)
    assert looked_for.settings.scale > 1.3
    told = [event.text for event in events if isinstance(event, Message) and not isinstance(event, Advice)]
    assert any(text.startswith(f"Scale {looked_for.settings.scale:.2g} is taken instead of 1") for text in told)
    before, after = (es.match(truth, one.labels, (0.5,))[0].ap for one in (as_is, looked_for))
    assert after > before + 0.3
    again = model.predict(image, "ZYX", scale=looked_for.settings.scale, on_event=events.append)
    np.testing.assert_array_equal(again.labels, looked_for.labels, "what is recorded does the same")


def test_a_scale_that_is_given_is_kept(model: Model, small) -> None:
    looks = model.config.prediction.changed({"find_scale": True})
    assert looks.find_scale
    assert not looks.changed({"scale": 0.9}).find_scale
    assert looks.changed({"scale": 0.9, "find_scale": True}).find_scale
    assert looks.changed({"seed_threshold": 0.5}).find_scale


def test_objects_that_the_model_knows_stay_as_they_are(model: Model) -> None:
    assert found(model, volume(18, (48, 96, 96), seed=4)[0]) == 1


def test_objects_that_fall_to_pieces_are_not_more_objects() -> None:
    # Of cells in phase contrast that two models of few labels were shown 1.4 times as large (docs/choices.md).
    cells, more_cells = Stable(36.2, 61843, 0.311), Stable(51.5, 61528, 0.331)
    assert more_cells.is_better_than(cells, is_larger=True)
    assert not cells.is_better_than(more_cells, is_larger=True)
    whole, pieces = Stable(26.9, 21386, 0.092), Stable(72.2, 18043, 0.054)
    assert not pieces.is_better_than(whole, is_larger=True)
    joined = Stable(24.0, 28000, 0.080)
    assert joined.is_better_than(whole, is_larger=False)
    assert not joined.is_better_than(whole, is_larger=True)


def test_nothing_to_see_leaves_the_scale(model: Model) -> None:
    noise = np.random.default_rng(0).normal(100, 5, (8, 20, 20)).astype(np.float32)
    for image in (np.zeros_like(noise), noise, noise[:2, :9, :9]):
        assert found(model, image, 1.5) == 1.5


def test_a_scale_is_never_tried_beyond_its_limits(model: Model, small) -> None:
    image, _ = small
    assert found(model, image[:2, :6, :6], 10.0) <= 10


def test_looking_can_be_stopped(model: Model, small) -> None:
    with pytest.raises(Stopped):
        model.predict(small[0], "ZYX", find_scale=True, should_stop=lambda: True, on_event=lambda _: None)


@pytest.mark.thorough
def test_a_better_scale_of_a_volume_is_advised_where_none_was_looked_for(model: Model, small) -> None:
    events: list[object] = []
    model.predict(small[0], "ZYX", find_scale=False, advise=True, on_event=events.append)
    advice = next(event for event in events if isinstance(event, Advice))
    assert advice.action.startswith("Use scale ")
    assert advice.changes["scale"] > 1.3
