from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.events import PredictionStarted
from embedseg_napari.core.inference.test_time_augmentation import views
from embedseg_napari.core.model.model import load_model

GRID = (1 / 1023,) * 3


@pytest.mark.parametrize(("ndim", "n"), [(2, 8), (3, 16)])
def test_views_are_a_group_that_keeps_z_apart(ndim: int, n: int) -> None:
    every = views(GRID[:ndim])
    image = torch.arange(4.0**ndim).reshape((4,) * ndim)
    shown = {tuple(view.apply(image).flatten().tolist()) for view in every}
    assert len(every) == len(shown) == n
    assert torch.equal(every[0].apply(image), image)
    # A view of a view is one of the views.
    assert {tuple(a.apply(b.apply(image)).flatten().tolist()) for a in every for b in every} == shown
    if ndim == 3:
        planes = {tuple(plane.flatten().sort().values.tolist()) for plane in image}
        assert all({tuple(p.flatten().sort().values.tolist()) for p in v.apply(image)} == planes for v in every)


def test_quarter_turns_need_one_spacing_in_the_plane() -> None:
    assert len(views((0.001, 0.002))) == 4
    assert len(views((0.003, 0.001, 0.001))) == 16
    assert len(views((0.001, 0.001, 0.002))) == 8


@pytest.mark.parametrize("ndim", [2, 3])
def test_offsets_turn_with_the_image(ndim: int) -> None:
    # Every pixel points to one pixel; in each view it points to where that pixel is shown.
    shape = (5, 6, 7)[-ndim:]
    target = (1, 4, 2)[-ndim:]
    for view in views(GRID[:ndim]):
        marked = torch.zeros(shape)
        marked[target] = 1
        shown = view.apply(marked)
        place = torch.nonzero(shown)[0]
        index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shown.shape), indexing="ij"))
        offsets = (place.reshape(-1, *[1] * ndim) - index).float()
        bandwidths = torch.stack([torch.full(shown.shape, float(axis)) for axis in view.source])
        back = view.undo(torch.cat([offsets, bandwidths, shown[None]])[None])[0]
        own = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"))
        expected = torch.tensor(target).reshape(-1, *[1] * ndim) - own
        assert torch.equal(back[:ndim], expected.float())
        assert all((back[ndim + axis] == axis).all() for axis in range(ndim))
        assert torch.equal(back[-1], marked)


@pytest.mark.parametrize("ndim", [2, 3])
def test_averaging_an_equivariant_network_changes_nothing(equivariant, rng: np.random.Generator, ndim: int) -> None:
    image = rng.normal(0, 0.3, (8, 24, 32)[-ndim:]).astype(np.float32)
    model = equivariant(ndim)
    plain, averaged = model.embed(image), model.embed(image, tta=True)
    for name in ("offsets", "margins", "seed_map"):
        np.testing.assert_allclose(getattr(averaged, name), getattr(plain, name), rtol=1e-5, atol=1e-5)
    assert np.abs(plain.offsets).max() > 1


def test_views_are_averaged_as_stored_with_the_model_unless_it_is_said(equivariant) -> None:
    model = equivariant(2)
    model.config = model.config.model_copy(update={"prediction": PredictionConfig(tta=True)})
    for given, n_views in ((None, 8), (True, 8), (False, 1)):
        events: list[object] = []
        model.predict(np.ones((16, 16), np.float32), "YX", tta=given, on_event=events.append)
        assert [event.n_tiles for event in events if isinstance(event, PredictionStarted)] == [n_views]


@pytest.mark.parametrize("ndim", [2, 3])
def test_reproduces_the_original_program(golden, ndim: int) -> None:
    model = load_model(golden(f"legacy_{ndim}d.pth"), device="cpu")
    numbers = np.load(golden(f"tta_{ndim}d.npz"))
    maps = model.embed(numbers["input"], "CZYX" if ndim == 3 else "CYX", tta=True, normalize=False)
    raw = numbers["raw"].astype(np.float64)
    expected = {
        "offsets": np.tanh(raw[ndim - 1 :: -1]) * 1023,
        "margins": np.sqrt(np.log(2) / np.exp(10 * raw[2 * ndim - 1 : ndim - 1 : -1])) * 1023,
        "seed_map": 1 / (1 + np.exp(-raw[-1])),
    }
    for name, value in expected.items():
        assert np.linalg.norm(getattr(maps, name) - value) < 1e-3 * np.linalg.norm(value), name
