"""A GPU is kept busy: a training step asks it for nothing, and launches no more than it must."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from device_work import DeviceWork

from embedseg_napari.core import device as devices
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss_terms
from embedseg_napari.core.training.planning import plan_training
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.training_set import TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("slim_network")

CROP = {2: (32, 32), 3: (8, 16, 16)}
LOSS_LAUNCHES = 220
"""Of value and gradient, whatever the number of objects: 191 and 192 when this was written, 430 and more before."""

STEP_LAUNCHES = {2: 480, 3: 670}
"""Of a batch, network and loss together."""


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the way of a GPU on this CPU."""
    monkeypatch.setattr(devices, "queues_work", lambda device: True)


@pytest.fixture
def make_run(blobs: Callable) -> Iterator[Callable[..., TrainingRun]]:
    runs = []

    def make(ndim: int = 2, **changes: object) -> TrainingRun:
        config = TrainingConfig.parse(
            {"epochs": 1, "minutes": None, "crop_size": CROP[ndim], "batch_size": 2, "precision": "float32", **changes}
        )
        examples = from_arrays([blobs(ndim)])
        plan = plan_training(config, examples, device="cpu")
        runs.append(TrainingRun(config, plan, TrainingSet(config, examples, []), time.monotonic(), None, None))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["labels", "planes"])
def test_the_loss_needs_no_number_from_the_device(ndim: int, kind: str) -> None:
    # Tensors on `meta` have a shape and no values: whoever asks for one, or for a size that depends on it, fails.
    shape = CROP[ndim]
    raw = torch.zeros((2, 2 * ndim + 1, *shape), device="meta", requires_grad=True)
    instances = torch.zeros((2, 3, *shape) if kind == "planes" else (2, *shape), dtype=torch.int32, device="meta")
    centers = [np.ones((3, ndim)), np.ones((1, ndim))]
    ignore = torch.zeros((2, *shape), dtype=torch.bool, device="meta")
    with DeviceWork() as work:
        terms = spatial_embedding_loss_terms(
            raw, instances, centers, (0.01,) * ndim, ignore=ignore, wait=False, check=False
        )
        terms.total.backward()
    assert raw.grad is not None
    assert raw.grad.shape == raw.shape
    assert work.n_launches <= LOSS_LAUNCHES
    assert not work.waits


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("virtual_batches", [1, 2])
def test_a_step_waits_for_nothing(
    make_run: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch, ndim: int, virtual_batches: int
) -> None:
    run = make_run(ndim, virtual_batches=virtual_batches)
    run.step(0.1)
    here, fetched = threading.current_thread(), []
    for name in ("cpu", "numpy", "__array__"):
        before = getattr(torch.Tensor, name)

        def fetch(tensor: torch.Tensor, *args: object, name: str = name, before: Callable = before) -> object:
            # Other threads cut the crops of later steps, on the host.
            if threading.current_thread() is here:
                fetched.append(name)
            return before(tensor, *args)

        monkeypatch.setattr(torch.Tensor, name, fetch)
    with DeviceWork() as work:
        run.step(0.1)
    monkeypatch.undo()
    assert not work.waits
    assert not fetched
    assert work.n_launches <= 40 + STEP_LAUNCHES[ndim] * virtual_batches


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_way_of_a_gpu_trains_the_same(
    make_run: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch, ndim: int
) -> None:
    rows = []
    for is_queued in (False, True):
        monkeypatch.setattr(devices, "queues_work", lambda device, is_queued=is_queued: is_queued)
        run = make_run(ndim)
        first, *others = [run.step(0.1) for _ in range(3)]
        row = run.end_epoch(True, lambda: False)
        assert row is not None
        assert row.loss == pytest.approx(np.mean([e.loss for e in (first, *others)]), rel=1e-6)
        rows.append([row.loss, row.loss_instance, row.loss_variance, row.loss_seed])
    assert rows[1] == pytest.approx(rows[0], rel=2e-3)
