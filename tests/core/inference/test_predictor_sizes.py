"""Pixel sizes, scales and tiles."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from embedseg_napari.core.config import ObjectSizes
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import (
    DataError,
    SettingsError,
)
from embedseg_napari.core.events import (
    Message,
)
from embedseg_napari.core.model.model import load_model


def test_far_pixel_sizes_are_told(equivariant) -> None:
    model = equivariant(2, spacing=(0.5, 0.5), spacing_unit="µm")

    def warnings(spacing: tuple[float, ...] | None) -> list[str]:
        events: list = []
        model.predict(np.zeros((16, 16)), "YX", spacing=spacing, on_event=events.append)
        return [event.text for event in events if isinstance(event, Message)]

    assert "0.5 x 0.5 µm" in warnings((0.1, 0.1))[0]
    assert warnings((0.45, 0.5)) == warnings(None) == []


@pytest.mark.parametrize("ndim", [2, 3])
def test_maps_are_on_the_images_own_pixels_at_any_network_scale(pass_through, ndim: int) -> None:
    # One large ball: at half the size the network's offsets are half as long, on the image's pixels they are whole.
    shape, step = (32, 32, 48)[-ndim:], 1 / 1023
    center = np.array([(n - 1) / 2 for n in shape]).reshape(-1, *[1] * ndim)
    offsets = np.broadcast_to(center, (ndim, *shape)) - np.indices(shape)
    raw = np.concatenate([np.arctanh(offsets * step / 2), np.zeros((ndim, *shape)), np.ones((1, *shape))])
    maps = pass_through(ndim, reference_scale=0.5).embed(raw.astype(np.float32))
    inner = (slice(None), *(slice(4, -4),) * ndim)
    np.testing.assert_allclose(maps.offsets[inner], offsets[inner], atol=0.1)
    np.testing.assert_allclose(maps.margins, 2 * np.sqrt(np.log(2)) / step, rtol=1e-4)


def test_a_scale_acts_as_that_of_the_model(equivariant) -> None:
    image = np.random.default_rng(0).random((40, 56)).astype(np.float32)
    small, other = equivariant(2), equivariant(2, reference_scale=0.5)
    asked = small.predict(image, "YX", scale=0.5).maps
    stored = other.predict(image, "YX").maps
    np.testing.assert_array_equal(asked.seed_map, stored.seed_map)
    assert asked.seed_map.shape == image.shape
    with pytest.raises(SettingsError, match="scale"):
        small.predict(image, "YX", scale=0.0)


def test_a_scale_that_makes_up_for_the_pixel_size_is_not_warned_of(equivariant) -> None:
    model = equivariant(2, spacing=(0.5, 0.5), spacing_unit="µm")
    events: list = []
    model.predict(np.zeros((16, 16)), "YX", spacing=(0.25, 0.25), scale=0.5, on_event=events.append)
    assert not [event for event in events if isinstance(event, Message)]


def test_objects_of_another_size_are_told(blobs, pass_through, perfect_raw) -> None:
    _, labels = blobs(2)
    sizes = ObjectSizes(n_objects=9, mean=(40.0, 40.0), std=(2.0, 2.0))
    events: list = []
    pass_through(2, object_sizes=sizes).predict(perfect_raw(labels), on_event=events.append)
    text = " ".join(event.text for event in events if isinstance(event, Message))
    assert "those the model learned 40 ± 2" in text


def test_tile_of_the_wrong_length_is_a_sentence(equivariant) -> None:
    with pytest.raises(SettingsError, match="works in 3D"):
        equivariant(3).predict(np.zeros((8, 16, 16)), tile=(64, 64))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0,), (0.0, 1.0), (float("nan"), 1.0), ("a", "b"), 0.5])
def test_a_pixel_size_of_other_axes_is_refused(equivariant, spacing) -> None:
    with pytest.raises(DataError, match=r"pacing.*(axes YX|positive)"):
        equivariant(2).predict(np.zeros((16, 16)), "YX", spacing=spacing)


def test_better_scales_are_looked_for_only_when_asked() -> None:
    image = resize(nuclei((160, 160), seed=1).image.astype(np.float32), (720, 720), order=1)
    model = load_model("nuclei-2d", device="cpu")
    texts = []
    for advise in (False, True):
        events: list = []
        model.predict(image, "YX", advise=advise, on_event=events.append)
        texts.append(" ".join(event.text for event in events if isinstance(event, Message)))
    assert "try the scale" not in texts[0]
    assert "try the scale 0." in texts[1]


def test_an_image_is_not_enlarged_beyond_all_memory(equivariant) -> None:
    with pytest.raises(SettingsError, match="enlarge the image of 3000 x 3000 pixels to 60000 x 60000"):
        equivariant(2).predict(np.zeros((3000, 3000), np.uint8), scale=20)
