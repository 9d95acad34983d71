"""The way of a GPU over an image, on a CPU: the same maps, objects and events as tile by tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from embedseg_napari.core import device as devices
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import ClusteringStarted, FrameFinished, Message, TileFinished
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.runs import drain

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take the way of a GPU from now on."""
    return lambda: monkeypatch.setattr(devices, "queues_work", lambda device: True)


def picture(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, 0.3, shape).astype(np.float32)


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize(
    ("ndim", "shape", "tile"), [(2, (150, 203), (64, 48)), (2, (40, 30), None), (3, (20, 60, 45), (16, 32, 24))]
)
def test_maps_are_the_same(equivariant, queue, rng, ndim, shape, tile, tta) -> None:
    image, model = picture(rng, *shape), equivariant(ndim)
    options = {"tile": tile, "tile_overlap": 8, "tta": tta}
    expected = model.predict(image, "ZYX"[-ndim:], **options)
    queue()
    found = model.predict(image, "ZYX"[-ndim:], **options)
    assert (found.labels == expected.labels).all()
    for name in ("offsets", "margins", "seed_map"):
        np.testing.assert_allclose(getattr(found.maps, name), getattr(expected.maps, name), rtol=1e-5, atol=1e-4)


def test_maps_that_come_in_several_parts_are_whole(equivariant, queue, rng) -> None:
    image, model = picture(rng, 2200, 2000), equivariant(2)
    expected = model.embed(image)
    queue()
    found = model.embed(image)
    for name in ("offsets", "margins", "seed_map"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-4)


def test_several_tiles_go_through_the_network_at_once(pass_through, queue, rng) -> None:
    queue()
    model = pass_through(2)
    model.predict(picture(rng, 5, 200, 200), "CYX", tile=64, tile_overlap=0)
    shapes = model.network.shapes
    assert len(shapes) == 1
    assert shapes[0][0] > 1


def test_frames_overlap_and_none_is_lost(equivariant, queue, rng) -> None:
    images, model = picture(rng, 4, 40, 48), equivariant(2)
    expected = model.predict(images, "TYX")
    queue()
    events: list = []
    found = drain(Predictor(model, PredictionConfig()).run(images, "TYX"), events.append)
    assert (found.labels == expected.labels).all()
    for kind in (TileFinished, ClusteringStarted, FrameFinished):
        assert [event.frame for event in events if isinstance(event, kind)] == [0, 1, 2, 3]


class Limited(nn.Module):
    """Runs out of memory above so many pixels in a batch."""

    def __init__(self, network: nn.Module, pixels: int) -> None:
        super().__init__()
        self.network, self.pixels, self.ndim = network, pixels, network.ndim

    def forward(self, x: Tensor) -> Tensor:
        if x[:, 0].numel() > self.pixels:
            raise RuntimeError("CUDA out of memory.")
        return self.network(x)


@pytest.mark.parametrize(
    ("tile", "pixels", "words"),
    [(64, 2 * 64 * 64, "2 tiles at once"), (128, 64 * 64, "smaller tiles of 64 x 64 pixels")],
)
def test_memory_that_runs_out_is_told_and_spared(equivariant, queue, rng, tile: int, pixels: int, words: str) -> None:
    image, model = picture(rng, 130, 130), equivariant(2)
    expected = model.embed(image)
    queue()
    model.network = Limited(model.network, pixels)
    events: list = []
    found = model.predict(image, tile=tile, tile_overlap=16, on_event=events.append)
    warnings = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    assert words in warnings[-1]
    assert all("Memory ran out" in text for text in warnings)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found.maps.offsets[inner], expected.offsets[inner], atol=1e-3)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_stop_is_heard(equivariant, queue, frames: int) -> None:
    queue()
    seen: list = []
    run = Predictor(equivariant(2), PredictionConfig(tta=True)).run(
        np.zeros((frames, 40, 48)), "TYX", lambda: len(seen) > 2
    )
    with pytest.raises(Stopped):
        drain(run, seen.append)


def test_inference_mode_does_not_leak(equivariant, queue) -> None:
    queue()
    for _ in Predictor(equivariant(2)).run(np.zeros((2, 16, 16)), "TYX"):
        assert not torch.is_inference_mode_enabled()


def test_without_room_for_the_sums_the_host_holds_them(equivariant, queue, rng, monkeypatch) -> None:
    image, model = picture(rng, 100, 90), equivariant(2)
    expected = model.embed(image)
    queue()
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000.0)
    assert (model.embed(image).offsets == expected.offsets).all()
