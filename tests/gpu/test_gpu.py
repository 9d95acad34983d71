"""On an NVIDIA GPU: what a CPU does, the GPU does, and what only a GPU can do wrong is said in a sentence.

    pytest -m gpu

Without one these tests are skipped. `EMBEDSEG_GPU` names another device to take, such as ``cpu``, which tries the tests
themselves; what needs a GPU's memory is skipped then.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import embedseg_napari as es
from embedseg_napari.core import device as devices
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.events import Message
from embedseg_napari.core.losses.reference import reference_loss
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss
from embedseg_napari.core.networks.network import device_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.gpu
STEP = 1 / 255
CROP = {2: (64, 64), 3: (16, 32, 32)}


@pytest.fixture
def device() -> str:
    return os.environ.get("EMBEDSEG_GPU", "cuda")


@pytest.fixture
def little_memory(device: str) -> Iterator[Callable[[float], None]]:
    """Leave the process so many bytes of a GPU's memory beyond what it holds: ``little_memory(2e8)``."""
    if device != "cuda":
        pytest.skip("only a GPU's memory can be bounded")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    yield lambda spare: torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + spare) / total)
    torch.cuda.set_per_process_memory_fraction(1.0)


def settings(ndim: int, **changes: Any) -> TrainingConfig:
    given = {"epochs": 2, "minutes": None, "steps_per_epoch": 3, "batch_size": 2, "crop_size": CROP[ndim]}
    return TrainingConfig.parse({**given, **changes})


def scene(ndim: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Raw output of a half-trained kind, label images and centres."""
    rng = np.random.default_rng(ndim)
    shape = (40, 48) if ndim == 2 else (8, 24, 24)
    labels, centers = np.zeros((2, *shape), np.int32), []
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    for one in labels:
        for i in range(4):
            one[((at - rng.uniform(0, shape).reshape(-1, *[1] * ndim)) ** 2).sum(0) < rng.uniform(3, 6) ** 2] = i + 1
        centers.append(np.array([np.argwhere(one == i).mean(0) for i in np.unique(one) if i]))
    raw = rng.normal(0, 1, (2, 2 * ndim + 1, *shape)).astype(np.float32)
    raw[:, :ndim] *= 4 * STEP
    raw[:, ndim : 2 * ndim] = np.log(np.log(2) / (5 * STEP) ** 2) / 10 + 0.02 * raw[:, ndim : 2 * ndim]
    return raw, labels, centers


def loss_and_gradient(function: Callable, raw: np.ndarray, labels: np.ndarray, centers: list, device: str, **more: Any):
    given = torch.tensor(raw, device=device, requires_grad=True)
    loss = function(given, torch.tensor(labels, device=device), centers, (STEP,) * (raw.ndim - 2), **more)
    loss.backward()
    assert given.grad is not None
    return float(loss.detach()), given.grad.cpu().double()


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["labels", "planes"])
@pytest.mark.parametrize("with_ignore", [False, True])
def test_loss_and_gradient_are_those_of_the_cpu_and_of_the_paper(
    device: str, ndim: int, kind: str, with_ignore: bool
) -> None:
    raw, labels, centers = scene(ndim)
    instances = labels
    if kind == "planes":
        instances = np.stack([np.stack([one == i for i in range(1, 5)]) for one in labels]).astype(np.int32)
    ignore = torch.zeros(labels.shape, dtype=torch.bool)
    ignore[..., :9] = with_ignore
    value, gradient = loss_and_gradient(
        spatial_embedding_loss, raw, instances, centers, device, ignore=ignore.to(device)
    )
    for function in (spatial_embedding_loss, reference_loss):
        if function is reference_loss or device != "cpu":
            expected, by = loss_and_gradient(function, raw, instances, centers, "cpu", ignore=ignore)
            assert value == pytest.approx(expected, rel=1e-4)
            assert float((gradient - by).norm() / by.norm()) < 2e-3


def test_wrong_centres_are_refused(device: str) -> None:
    raw, labels, centers = scene(2)
    with pytest.raises(ValueError, match="centres"):
        loss_and_gradient(spatial_embedding_loss, raw, labels, [centers[0][:-1], centers[1]], device)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trains_and_predicts_like_a_cpu(
    blobs: Callable, tmp_path: Path, device: str, ndim: int, precision: str
) -> None:
    pairs = [blobs(ndim)]
    result = es.train(
        pairs, settings(ndim, precision=precision, epochs=20), validation=[], output=tmp_path / "m", device=device
    )
    assert device_of(result.model.network).type == device
    losses = [row.loss for row in result.history]
    assert losses[-1] < losses[0]
    assert result.path is not None
    image = pairs[0][0]
    on_gpu, on_cpu = es.load_model(result.path, device), es.load_model(result.path, "cpu")
    for tta in (False, True):
        options = {"precision": "float32", "tta": tta, "tile": CROP[ndim], "tile_overlap": 8}
        one, other = (model.predict(image, "ZYX"[-ndim:], **options) for model in (on_gpu, on_cpu))
        # TensorFloat-32 has ten bits after the point.
        np.testing.assert_allclose(one.maps.seed_map, other.maps.seed_map, atol=0.02)
        assert np.mean(one.labels == other.labels) > 0.9


@pytest.mark.parametrize("changes", [{}, {"preset": "paper"}, {"low_memory": True, "virtual_batches": 2}])
def test_a_resumed_training_goes_on(blobs: Callable, tmp_path: Path, device: str, changes: dict[str, Any]) -> None:
    changes = dict(changes)
    preset = TrainingConfig.preset(changes.pop("preset", "fast"))
    config = TrainingConfig.parse({**preset.model_dump(), **settings(2).model_dump(exclude_defaults=True), **changes})
    stop: list[int] = []

    def note(event: object) -> None:
        stop.append(isinstance(event, es.StepFinished))

    first = es.train(
        [blobs(2)], config, validation=[], output=tmp_path / "m", device=device,
        on_event=note, should_stop=lambda: sum(stop) >= 4,
    )  # fmt: skip
    assert first.stopped
    second = es.train([blobs(2)], config, validation=[], output=tmp_path / "m", device=device, resume=True)
    assert not second.stopped
    assert second.history[-1].step == 6
    assert np.isfinite([row.loss for row in second.history]).all()


def test_two_models_at_once(blobs: Callable, device: str) -> None:
    image, _ = blobs(2)
    models = [es.load_model(name, device) for name in ("nuclei-2d", "cells-phase-2d")]
    alone = [model.predict(image, "YX", progress=False).labels for model in models]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda m: m.predict(image, "YX", progress=False).labels, models * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert np.mean(found == expected) > 0.99


def test_memory_that_runs_out_while_predicting_is_told_and_spared(
    device: str, little_memory: Callable[[float], None]
) -> None:
    model = es.load_model("nuclei-2d", device)
    image = np.random.default_rng(0).normal(100, 20, (1500, 1500)).astype(np.float32)
    expected = model.embed(image, "YX").seed_map
    torch.cuda.empty_cache()
    little_memory(3e8)
    events: list[object] = []
    found = model.predict(image, "YX", on_event=events.append, progress=False)
    assert any(isinstance(event, Message) and "Memory ran out" in event.text for event in events)
    assert np.mean(np.abs(found.maps.seed_map - expected)) < 0.01


def test_memory_that_runs_out_while_training_is_one_sentence(
    blobs: Callable, device: str, little_memory: Callable[[float], None]
) -> None:
    little_memory(5e7)
    with pytest.raises(ComputeError, match="ran out of memory"):
        es.train([blobs(2, size=256)], settings(2, crop_size=(256, 256), batch_size=64), validation=[], device=device)


def test_a_device_that_is_not_there_is_a_sentence_and_auto_takes_what_there_is() -> None:
    with pytest.raises(ComputeError, match=r"from cuda:0|No cuda device"):
        devices.choose_device("cuda:97")
    assert devices.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert devices.choose_device("cpu").type == "cpu"
