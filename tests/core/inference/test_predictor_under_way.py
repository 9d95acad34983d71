"""Predictions that are stopped, run out of memory or fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from embedseg_napari.core.errors import (
    ComputeError,
    Stopped,
)
from embedseg_napari.core.events import (
    ClusteringStarted,
    Message,
    TileFinished,
)
from embedseg_napari.core.inference import predictor as predictor_module
from embedseg_napari.core.inference.predictor import Predictor


def test_stop_between_tiles(equivariant) -> None:
    events: list = []

    def should_stop() -> bool:
        return sum(isinstance(event, TileFinished) for event in events) == 3

    with pytest.raises(Stopped):
        equivariant(2).predict(np.zeros((64, 64)), tile=16, on_event=events.append, should_stop=should_stop)
    assert sum(isinstance(event, TileFinished) for event in events) == 3


def test_stop_while_clustering(blobs, pass_through, perfect_raw) -> None:
    events: list = []

    def should_stop() -> bool:
        return any(isinstance(event, ClusteringStarted) for event in events)

    with pytest.raises(Stopped):
        pass_through(2).predict(perfect_raw(blobs(2)[1]), on_event=events.append, should_stop=should_stop)


def test_inference_mode_does_not_leak_out_of_the_generator(equivariant) -> None:
    for _ in Predictor(equivariant(2)).run(np.zeros((16, 16)), "YX"):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


class Limited(nn.Module):
    """Runs out of memory above so many pixels."""

    def __init__(self, network: nn.Module, pixels: int, text: str = "CUDA out of memory.") -> None:
        super().__init__()
        self.network, self.pixels, self.text, self.ndim = network, pixels, text, network.ndim

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0].numel() > self.pixels:
            raise RuntimeError(self.text)
        return self.network(x)


def test_smaller_tiles_where_memory_runs_out(equivariant, rng: np.random.Generator) -> None:
    image = rng.normal(0, 0.3, (256, 200)).astype(np.float32)
    model = equivariant(2)
    expected = model.embed(image)
    model.network = Limited(model.network, 128 * 128)
    events: list = []
    found = model.predict(image, on_event=events.append)
    messages = [event for event in events if isinstance(event, Message) and event.level == "warning"]
    assert messages
    assert "smaller tiles" in messages[0].text
    np.testing.assert_allclose(found.maps.offsets, expected.offsets, atol=1e-3)


def test_no_memory_at_all_is_a_sentence(equivariant) -> None:
    model = equivariant(2)
    model.network = Limited(model.network, 0)
    with pytest.raises(ComputeError, match="close other programs"):
        model.predict(np.zeros((300, 300)))


def test_other_failures_of_the_device_are_a_sentence(equivariant) -> None:
    model = equivariant(2)
    model.network = Limited(model.network, 0, "CUDNN_STATUS_NOT_SUPPORTED")
    with pytest.raises(ComputeError, match="CUDNN_STATUS_NOT_SUPPORTED"):
        model.predict(np.zeros((30, 30)))


def test_precision_falls_back_and_says_so(equivariant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "supports_precision", lambda device, precision: precision == "float32")
    events: list = []
    equivariant(2).predict(np.zeros((16, 16)), "YX", precision="bfloat16", on_event=events.append)
    assert any(isinstance(event, Message) and "float32" in event.text for event in events)
