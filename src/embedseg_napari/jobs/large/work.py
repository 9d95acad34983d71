"""Who works on the blocks: this process, the workers of a cluster, or one of several programs."""

from __future__ import annotations

import math
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import ComputeError, DataError, SettingsError, Stopped
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.large.cluster import PAUSE, model_in_worker, require_distributed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from embedseg_napari.core.large.grid import BlockGrid
    from embedseg_napari.core.large.run_folder import RunFolder, RunRecord
    from embedseg_napari.core.large.segment_block import FrameReader
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.large.cluster import Workers

IN_FLIGHT = 2
"""Blocks per worker that are handed out: the next one waits there while the answer to the last is on its way."""


@dataclass(frozen=True, slots=True)
class BlockDone:
    """One more block is on the disk."""

    number: int
    n_objects: int
    """That start in it; small ones among them may be left out in the end."""
    is_background: bool
    seconds: float
    """That it took whoever worked on it."""


class Waiting:
    """Blocks that nobody works on yet.

    Parameters
    ----------
    numbers : sequence of int
        The largest are taken first, so that workers are through at about the same time; else in this order.
    grid : BlockGrid
        Where they are.
    near : callable, optional
        Gives a place in pixels (z, y, x), or None; the block nearest to it at that moment is taken first.
    """

    def __init__(
        self, numbers: Sequence[int], grid: BlockGrid, near: Callable[[], Sequence[float] | None] | None = None
    ) -> None:
        self.numbers = sorted(numbers, key=lambda number: -math.prod(grid.block(number).window.shape))
        self.grid, self.near = grid, near

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self) -> int:
        """The next one."""
        place = None if self.near is None else self.near()
        if place is None:
            return self.numbers.pop(0)

        def distance(index: int) -> float:
            core = self.grid.block(self.numbers[index]).core
            return sum(max(a - at, at - b, 0) ** 2 for a, b, at in zip(core.start, core.stop, place, strict=True))

        return self.numbers.pop(min(range(len(self.numbers)), key=distance))


def work_here(
    folder: RunFolder, record: RunRecord, region: FrameReader, model: Model, waiting: Waiting,
    should_stop: Callable[[], bool],
) -> Generator[BlockDone, None, None]:  # fmt: skip
    """Do blocks one after the other in this process.

    Raises
    ------
    Stopped
        If `should_stop` returned True; what is done stays.
    """
    from embedseg_napari.jobs.segment import interruptible

    with interruptible(model, should_stop):
        while waiting:
            if should_stop():
                raise Stopped("The run was stopped.")
            number = waiting.take()
            # Another program may have done it meanwhile.
            if not folder.has(number):
                yield _do(folder, record, region, model, number, should_stop)


def _do(
    folder: RunFolder, record: RunRecord, region: FrameReader, model: Model, number: int,
    should_stop: Callable[[], bool],
) -> BlockDone:  # fmt: skip
    from embedseg_napari.core.large.segment_block import segment_block

    began = time.monotonic()
    result = segment_block(region, model, record, number, should_stop)
    folder.save(number, result)
    n_objects = int(result.rows["is_own"].sum())
    return BlockDone(number, n_objects, result.is_background, time.monotonic() - began)


def work_on_cluster(
    workers: Workers, folder: RunFolder, record: RunRecord, waiting: Waiting, model: str, device: str,
    should_stop: Callable[[], bool],
) -> Generator[BlockDone, None, None]:  # fmt: skip
    """Do blocks by workers of Dask, each a process with one model in memory; one task is one block.

    `model` is the signature of the model, which each worker loads for itself.

    Raises
    ------
    Stopped
        If `should_stop` returned True; what is done stays.
    ComputeError
        If no scheduler or worker is there, or a block ends one worker after the other.
    DataError
        If the run is no longer there, or the file of the model is another one by now.
    """
    client = workers.client(should_stop)
    distributed = require_distributed()
    n = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    ready = distributed.as_completed(loop=client.loop)
    # The run may have been begun where image and model had other places.
    known = str(folder.path), folder.token, record.image, record.model, model, device, workers.threads

    def hand_out() -> None:
        if waiting:
            ready.add(client.submit(work_remotely, *known, waiting.take(), pure=False))

    n_running = min(len(waiting), IN_FLIGHT * n)
    for _ in range(n_running):
        hand_out()
    while n_running:
        if should_stop():
            raise Stopped("The run was stopped.")
        # A short look at a time: whether to stop is asked meanwhile.
        if not ready.has_ready():
            time.sleep(PAUSE)
            continue
        future = next(ready)
        n_running -= 1
        try:
            done = future.result()
        except distributed.KilledWorker as error:
            raise ComputeError(
                "One worker after the other ended over the same block, most likely for want of memory; take "
                "smaller blocks or fewer workers, and run it again to go on."
            ) from error
        except CancelledError as error:
            raise ComputeError(
                "The scheduler is no longer there; see to it that it runs, and run it again to go on."
            ) from error
        if waiting:
            hand_out()
            n_running += 1
        yield done


_held: dict[tuple[Any, ...], Any] = {}


def work_remotely(
    path: str, token: str, image: str, model: str, known: str, device: str, threads: int | None, number: int
) -> BlockDone:
    """Do a block in a worker, whose first block of a run opens the image."""
    from embedseg_napari.core.large.run_folder import RunFolder
    from embedseg_napari.core.runs import never
    from embedseg_napari.jobs.folder.earlier_run import signature
    from embedseg_napari.jobs.large.target import open_region

    folder, key = RunFolder(Path(path), token), (path, token, image, model, known, device)
    if key not in _held:
        _held.clear()
        if not folder.is_there:
            raise folder.gone()
        record, loaded = folder.record(), model_in_worker(model, device, threads)
        if signature(loaded) != known:
            raise DataError(f"{model}: was changed since this run was started; run it again.")
        _held[key] = record, open_region(record, image), loaded
    record, region, loaded = _held[key]
    return _do(folder, record, region, loaded, number, never)


def shared(numbers: Sequence[int], part: tuple[int, int] | None) -> list[int]:
    """The blocks of one part of several, in turn: neighbours take about as long.

    Raises
    ------
    SettingsError
        If there is no such part.
    """
    if part is None:
        return list(numbers)
    which, of = part
    if not 1 <= which <= of:
        raise SettingsError(f"part {which}/{of}: parts are counted from 1, such as 1/{max(of, 1)}.")
    return list(numbers)[which - 1 :: of]


def missing_blocks(folder: RunFolder, record: RunRecord) -> list[int]:
    """Blocks that are not done yet."""
    return [number for number in range(len(record.grid)) if not folder.has(number)]


def require_all(n_missing: int, record: RunRecord) -> None:
    """Refuse to finish what is not done.

    Raises
    ------
    DataError
        Saying how much is missing.
    """
    if n_missing:
        raise DataError(
            f"{n_missing} of {count(len(record.grid), 'block')} not done yet; run the missing parts (--part), then "
            "--finish."
        )
