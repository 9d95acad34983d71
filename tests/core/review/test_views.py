from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.inference.test_time_augmentation import views
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.networks.embedding import decode
from embedseg_napari.core.review.views import chosen_views, disagreeing_views, view_back, view_of

SHAPES = [(16, 24), (8, 16, 24)]


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_come_back_as_the_raw_output_does(shape, rng):
    """The way back for maps and that for raw network output, which the averaging uses, are one."""
    spacing = (1 / 255,) * len(shape)
    for view in views(spacing):
        seen_shape = view_of(view, np.zeros(shape)).shape
        raw = torch.from_numpy(rng.normal(size=(1, 2 * len(shape) + 1, *seen_shape)).astype(np.float32))
        expected, seen = (
            EmbeddingMaps(*(part.numpy() for part in decode(one[0], spacing))) for one in (view.undo(raw), raw)
        )
        found = view_back(view, seen)
        np.testing.assert_allclose(found.offsets, expected.offsets, atol=1e-4)
        np.testing.assert_allclose(found.margins, expected.margins, rtol=1e-5)
        np.testing.assert_allclose(found.seed_map, expected.seed_map, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_image_is_shown_as_the_network_sees_it_in_averaging(shape, rng):
    image = rng.normal(size=(2, *shape)).astype(np.float32)
    for view in views((1.0,) * len(shape)):
        np.testing.assert_array_equal(view_of(view, image), view.apply(torch.from_numpy(image)).numpy())


def test_views_are_others_than_the_image_and_unlike_each_other():
    every = views((1.0, 1.0))
    first, second = chosen_views((1.0, 1.0), 2)
    assert first.source == (1, 0)
    assert first.flipped == (True, True)
    assert second not in (first, every[0])
    assert len(chosen_views((1.0, 1.0), 99)) == 7
    # Where y and x differ in scale, nothing is turned.
    assert {view.source for view in chosen_views((1.0, 1.0, 2.0), 99)} == {(0, 1, 2)}


@pytest.mark.parametrize(("shape", "axes"), [((1, 16, 24), "CYX"), ((16, 24), None), ((8, 16, 24), "ZYX")])
def test_views_of_a_model_lie_on_the_image(untrained, shape, axes, rng):
    ndim = 3 if axes == "ZYX" else 2
    image = rng.integers(0, 255, shape).astype(np.uint8)
    found = disagreeing_views(untrained(ndim), image, axes)
    assert len(found) == 2
    own = untrained(ndim).embed(image, axes)
    for view in found:
        assert view.seed_map.shape == own.seed_map.shape == shape[-ndim:]
        assert not np.array_equal(view.seed_map, own.seed_map)


def test_views_can_be_stopped_and_take_one_image(untrained):
    with pytest.raises(Stopped):
        disagreeing_views(untrained(), np.zeros((16, 24)), should_stop=lambda: True)
    with pytest.raises(DataError, match="frames"):
        disagreeing_views(untrained(), np.zeros((3, 16, 24)), "TYX")
