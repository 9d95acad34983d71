"""What each training step learns from: on a CPU drawn when it is needed, for a GPU in threads while it works."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from embedseg_napari.core import device as devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.training.crops.sampler import Batch, CropSampler

STEPS_AHEAD = 8
"""Steps whose batches wait in memory, or are being drawn, while a GPU works on earlier ones."""
MOST_THREADS = 8
"""More of them only wait for each other, in the part that is Python."""


class StepInput(NamedTuple):
    """What one step learns from."""

    seed: int
    """Of PyTorch's random numbers, from which dropout draws."""
    batches: list[Batch]
    """As many as gradients are summed over."""


class BatchesAhead:
    """Draws the batches of one step after the other.

    Every step has random numbers of its own, so that it does not matter when and in which thread they are drawn, and
    a resumed training needs to remember none.

    Parameters
    ----------
    sampler : CropSampler
        Where crops come from.
    device : torch.device
        Where the network is.
    seed : sequence of int
        Of the training.
    batch_size, n_batches : int
        Crops of a batch, and batches of a step.
    share : (int, int)
        Number of this process, and of all that share the training: each has its own crops of batches that are drawn for
        all, as one process with batches that large would draw them.
    """

    def __init__(
        self,
        sampler: CropSampler,
        device: torch.device,
        seed: Sequence[int],
        batch_size: int,
        n_batches: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.sampler, self.device, self.seed = sampler, device, tuple(seed)
        self.n_batches = n_batches
        rank, n = share
        self.drawn, self.mine = n * batch_size, range(rank * batch_size, (rank + 1) * batch_size)
        self._waiting: deque[tuple[int, Future[StepInput]]] = deque()
        self._threads: ThreadPoolExecutor | None = None
        if devices.queues_work(device):
            n_threads = min(MOST_THREADS, max(1, (os.cpu_count() or 1) - 1))
            self._threads = _single_threads(n_threads)

    def take(self, step: int) -> StepInput:
        """What a step learns from, on the device; that of the next steps is drawn meanwhile where work is queued."""
        if self._threads is None:
            rng = self._rng(step)
            seed = int(rng.integers(2**62))
            batches = [self.sampler.cut(self.drawn, rng, self.mine) for _ in range(self.n_batches)]
            return StepInput(seed, [batch.sent(self.device) for batch in batches])
        if self._waiting and self._waiting[0][0] != step:
            self.forget()
        while len(self._waiting) < STEPS_AHEAD:
            later = step + len(self._waiting)
            self._waiting.append((later, self._threads.submit(self._draw, later)))
        found = self._waiting.popleft()[1].result()
        return found._replace(batches=[batch.sent(self.device) for batch in found.batches])

    def _draw(self, step: int) -> StepInput:
        rng = self._rng(step)
        seed = int(rng.integers(2**62))
        batches = [self.sampler.cut(self.drawn, rng, self.mine) for _ in range(self.n_batches)]
        return StepInput(seed, [batch.pinned() if self.device.type == "cuda" else batch for batch in batches])

    def _rng(self, step: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, step])

    def update(self, examples: Sequence[Example]) -> int:
        """Draw from new or changed images from now on; as `CropSampler.update`."""
        self.forget()
        return self.sampler.update(examples)

    def forget(self) -> None:
        """Drop what was drawn ahead, once nothing reads the images any more."""
        for _, future in self._waiting:
            if not future.cancel():
                future.exception()
        self._waiting.clear()

    def close(self) -> None:
        """End the threads."""
        self.forget()
        if self._threads is not None:
            self._threads.shutdown()


def _single_threads(n: int) -> ThreadPoolExecutor:
    """Threads each of which computes alone: together they keep the cores busy, and none waits for helpers."""
    pool, all_started, before = ThreadPoolExecutor(n, "embedseg-crops"), Barrier(n), torch.get_num_threads()

    def alone() -> None:
        torch.set_num_threads(1)
        all_started.wait()

    for future in [pool.submit(alone) for _ in range(n)]:
        future.result()
    # PyTorch hands the last number set on to threads that are to come, of whoever starts them.
    torch.set_num_threads(before)
    return pool
