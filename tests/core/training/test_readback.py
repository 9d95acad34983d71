"""Losses are handed out in order once they are there, and none is lost."""

from __future__ import annotations

import pytest
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.errors import LossError
from embedseg_napari.core.training.readback import MOST_WAITING, LossReader


class Late(devices.Arrival):
    """A copy that is complete when the test says so."""

    is_there = False
    n_waits = 0

    def query(self) -> bool:
        return self.is_there

    def synchronize(self) -> None:
        self.n_waits += 1
        self.is_there = True


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> tuple[LossReader, list[Late]]:
    monkeypatch.setattr(devices, "queues_work", lambda device: True)
    made: list[Late] = []

    def make() -> Late:
        made.append(Late())
        return made[-1]

    return LossReader(torch.device("cpu"), make), made


def losses(value: float, n_batches: int = 1) -> torch.Tensor:
    return torch.full((n_batches, 4), value)


def test_on_a_cpu_a_loss_is_there_at_once() -> None:
    reader = LossReader(torch.device("cpu"))
    reader.put(0, torch.tensor([[1.0, 2, 3, 4], [3.0, 4, 5, 6]]))
    assert reader.take() == [[2.0, 3.0, 4.0, 5.0]]


def test_what_has_not_arrived_is_not_waited_for_until_it_is_asked_for(late: tuple[LossReader, list[Late]]) -> None:
    reader, made = late
    for step in range(3):
        reader.put(step, losses(step))
    assert reader.take() == []
    made[0].is_there = made[2].is_there = True
    assert [row[0] for row in reader.take()] == [0.0]
    assert reader.n_waiting == 2
    assert [row[0] for row in reader.take(wait=True)] == [1.0, 2.0]


def test_the_host_does_not_run_far_ahead(late: tuple[LossReader, list[Late]]) -> None:
    reader, made = late
    for step in range(MOST_WAITING + 2):
        reader.put(step, losses(step))
    assert len(reader.take()) == 2
    assert [arrival.n_waits for arrival in made[:3]] == [1, 1, 0]


def test_a_loss_that_is_no_number_names_its_step(late: tuple[LossReader, list[Late]]) -> None:
    reader, _ = late
    reader.put(7, losses(float("nan")))
    reader.put(8, losses(1.0))
    assert reader.take() == []
    with pytest.raises(LossError, match="nan at step 7"):
        reader.take(wait=True)
