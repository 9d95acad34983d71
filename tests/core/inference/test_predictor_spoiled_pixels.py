"""Images with pixels that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import (
    DataError,
)
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.events import (
    Message,
)
from embedseg_napari.core.model.model import load_model


def test_pixels_that_show_nothing_are_told_once_for_all_frames(equivariant) -> None:
    rng = np.random.default_rng(0)
    movie = rng.normal(100, 5, (3, 64, 64)).astype(np.float32)
    movie[:, 20, 30] = 90_000
    movie[1, 4, 4] = np.nan
    events: list = []
    model = equivariant(2, normalization=NormalizationConfig())
    model.predict(movie, "TYX", on_event=events.append)
    told = [event for event in events if isinstance(event, Message)]
    assert len(told) == 1
    assert told[0].level == "warning"
    assert "1 value that is no finite number, 3 hot or dead pixels" in told[0].text


def test_maps_without_numbers_are_told(equivariant) -> None:
    """As where values in a network grow beyond what a short number holds."""
    model = equivariant(2)
    model.network.register_forward_hook(lambda *hooked: hooked[-1] * float("nan"))
    events: list = []
    assert model.predict(np.zeros((16, 24)), "YX", on_event=events.append).labels.max() == 0
    told = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    assert any("The maps hold no number (NaN) at 384 pixels" in text for text in told)


def test_what_is_masked_is_missing(equivariant) -> None:
    image = np.random.default_rng(0).normal(100, 5, (64, 64))
    hidden = np.zeros(image.shape, bool)
    hidden[10:14, 10:14] = True
    model = equivariant(2, normalization=NormalizationConfig())
    masked = np.ma.MaskedArray(np.where(hidden, 1e9, image), hidden)
    events: list = []
    found = model.predict(masked, "YX", on_event=events.append)
    plain = model.predict(np.where(hidden, np.nan, image), "YX", on_event=lambda _: None)
    np.testing.assert_array_equal(found.maps.seed_map, plain.maps.seed_map)
    assert any("16 values that are no finite numbers" in str(getattr(event, "text", "")) for event in events)


def test_an_image_without_any_number_is_refused(equivariant) -> None:
    with pytest.raises(DataError, match="no finite number"):
        equivariant(2, normalization=NormalizationConfig()).predict(np.full((32, 32), np.nan), "YX")


def test_one_hot_pixel_changes_no_object() -> None:
    model = load_model("nuclei-2d", device="cpu")
    image = nuclei((128, 128), seed=2).image.astype(np.float32)
    clean = model.predict(image, "YX", on_event=lambda _: None).labels
    for factor in (5, 100, 1000):
        spoiled = image.copy()
        spoiled[64, 64] = factor * np.percentile(image, 99.8)
        found = model.predict(spoiled, "YX", on_event=lambda _: None).labels
        assert match(clean, found, (0.9,))[0].ap == 1
