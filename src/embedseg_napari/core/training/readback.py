"""The losses of steps, read without stopping a GPU that still works on later ones."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from embedseg_napari.core import device as devices
from embedseg_napari.core.errors import LossError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

MOST_WAITING = 8
"""Steps that the host may be ahead of the device; then it waits for the oldest."""


class _Waiting(NamedTuple):
    step: int
    values: Tensor
    arrival: devices.Arrival


class LossReader:
    """Copies the losses of each step to the host and hands them out once they are there, in order.

    Parameters
    ----------
    device : torch.device
        Where losses are computed.
    make_arrival : callable, optional
        Returns what tells whether a copy is complete, such as an event of CUDA.
    """

    def __init__(self, device: torch.device, make_arrival: Callable[[], devices.Arrival] | None = None) -> None:
        self.device = device
        self.make_arrival = make_arrival or partial(devices.make_event, device)
        self._waiting: deque[_Waiting] = deque()

    @property
    def n_waiting(self) -> int:
        """Steps whose losses were not handed out yet."""
        return len(self._waiting)

    def put(self, step: int, losses: Tensor) -> None:
        """Begin to copy a step's losses, shape (batches, 4), each batch's loss and its three terms."""
        host = losses
        arrival = self.make_arrival()
        if devices.queues_work(self.device):
            host = devices.host_memory(losses.shape, losses.dtype, self.device)
            host.copy_(losses, non_blocking=self.device.type == "cuda")
        arrival.record()
        self._waiting.append(_Waiting(step, host, arrival))

    def take(self, wait: bool = False) -> list[list[float]]:
        """The losses that have arrived since, step by step, each the mean over the step's batches.

        Parameters
        ----------
        wait : bool
            Whether all are waited for.

        Raises
        ------
        LossError
            If a loss is no number.
        """
        found = []
        while self._waiting:
            step, values, arrival = self._waiting[0]
            if not arrival.query():
                if not wait and len(self._waiting) <= MOST_WAITING:
                    break
                arrival.synchronize()
            self._waiting.popleft()
            rows = values.tolist()
            losses = [0.0] * values.shape[1]
            for row in rows:
                losses = [a + b / len(rows) for a, b in zip(losses, row, strict=True)]
            if not math.isfinite(losses[0]):
                raise LossError(
                    f"The loss became {losses[0]} at step {step}; train with a lower learning rate, or in float32."
                )
            found.append(losses)
        return found
