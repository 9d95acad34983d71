"""Batches drawn ahead in threads are those that would be drawn one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.training.crops.ahead import BatchesAhead
from embedseg_napari.core.training.crops.sampler import CropSampler

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = torch.device("cpu")


@pytest.fixture
def make(blobs: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], BatchesAhead]:
    def of(is_queued: bool) -> BatchesAhead:
        monkeypatch.setattr(devices, "queues_work", lambda device: is_queued)
        examples = from_arrays([blobs(2)])
        return BatchesAhead(CropSampler(examples, (32, 32), TrainingConfig(), CPU), CPU, (3, 0), 2, 2)

    return of


def same(one, other) -> bool:
    return one.seed == other.seed and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.instances, b.instances)
        and all((x == y).all() for x, y in zip(a.centers, b.centers, strict=True))
        for a, b in zip(one.batches, other.batches, strict=True)
    )


def test_threads_and_jumps_change_nothing(make: Callable[[bool], BatchesAhead]) -> None:
    plain = make(False)
    expected = {step: plain.take(step) for step in (0, 1, 2, 40, 3)}
    ahead = make(True)
    try:
        assert all(same(ahead.take(step), expected[step]) for step in expected)
    finally:
        ahead.close()


def test_other_threads_keep_their_number_of_helpers(make: Callable[[bool], BatchesAhead]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        ahead = make(True)
        ahead.take(0)
        ahead.close()
        with ThreadPoolExecutor(1) as other:
            assert (torch.get_num_threads(), other.submit(torch.get_num_threads).result()) == (2, 2)
    finally:
        torch.set_num_threads(before)


def test_changed_labels_are_drawn_from_at_once(make: Callable[[bool], BatchesAhead], blobs: Callable) -> None:
    image, labels = blobs(2)
    changed = from_arrays([(image, labels * (labels != 1))])
    plain, ahead = make(False), make(True)
    try:
        assert same(plain.take(0), ahead.take(0))
        assert plain.update(changed) == ahead.update(changed)
        assert same(plain.take(1), ahead.take(1))
    finally:
        ahead.close()


def test_a_failure_in_a_thread_is_raised_by_the_step_that_needs_it(
    make: Callable[[bool], BatchesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: CropSampler, *arguments: object) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr(CropSampler, "cut", fail)
    ahead = make(True)
    try:
        with pytest.raises(MemoryError):
            ahead.take(0)
    finally:
        ahead.close()
