"""Who works on the blocks: this process, the workers of a cluster, or one of several programs."""

from __future__ import annotations

import contextlib
import math
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import ComputeError, DataError, SettingsError, Stopped
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from embedseg_napari.core.large.grid import BlockGrid
    from embedseg_napari.core.large.run_folder import RunFolder, RunRecord
    from embedseg_napari.core.large.segment_block import FrameReader
    from embedseg_napari.core.model.model import Model

IN_FLIGHT = 2
"""Blocks per worker that are handed out: the next one waits there while the answer to the last is on its way."""
PATIENCE = 60.0
"""Seconds to wait for a scheduler or its first worker."""
TRIES = 3
"""Workers that may die over one block before it is given up."""


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
    folder: RunFolder, waiting: Waiting, device: str, n_workers: int, scheduler: str | None,
    should_stop: Callable[[], bool],
) -> Generator[BlockDone, None, None]:  # fmt: skip
    """Do blocks by workers of Dask, each a process with one model in memory; one task is one block.

    Parameters
    ----------
    n_workers : int
        Of a cluster on this machine; not used with a scheduler.
    scheduler : str, optional
        Address of a running one, or the file it wrote.

    Raises
    ------
    Stopped
        If `should_stop` returned True; what is done stays.
    SettingsError
        If distributed is not installed.
    ComputeError
        If no scheduler or worker is there, or a block ends one worker after the other.
    """
    distributed = require_distributed()
    with _client(distributed, n_workers, scheduler) as client:
        n = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        threads = max(1, (os.cpu_count() or 1) // n_workers) if scheduler is None else None
        ready = distributed.as_completed()

        def hand_out() -> None:
            if waiting:
                ready.add(client.submit(work_remotely, str(folder.path), waiting.take(), device, threads, pure=False))

        n_running = min(len(waiting), IN_FLIGHT * n)
        for _ in range(n_running):
            hand_out()
        while n_running:
            if should_stop():
                raise Stopped("The run was stopped.")
            # A short look at a time: whether to stop is asked meanwhile.
            if not ready.has_ready():
                time.sleep(0.05)
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
            if waiting:
                hand_out()
                n_running += 1
            yield done


_held: dict[str, Any] = {}


def work_remotely(path: str, number: int, device: str, threads: int | None) -> BlockDone:
    """Do a block in a worker, whose first block loads the model and opens the image."""
    from embedseg_napari.core.large.run_folder import RunFolder
    from embedseg_napari.core.runs import never

    folder = RunFolder(Path(path))
    if path not in _held:
        _held.clear()
        _held[path] = _open(folder, device, threads)
    record, region, model = _held[path]
    return _do(folder, record, region, model, number, never)


def _open(folder: RunFolder, device: str, threads: int | None) -> tuple[Any, Any, Any]:
    import torch

    from embedseg_napari.jobs.large.target import open_region
    from embedseg_napari.jobs.segment import cached_model

    if threads is not None:
        torch.set_num_threads(threads)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        import distributed

        # Workers of a local cluster are called 0, 1, ...: one GPU each, in turn.
        name = str(distributed.get_worker().name)
        torch.cuda.set_device(int(name) % torch.cuda.device_count() if name.isdecimal() else 0)
    record = folder.record()
    return record, open_region(record), cached_model(record.model, device)


def require_distributed() -> Any:
    """The library for several workers.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise SettingsError(
            "Several workers need the library distributed: pip install 'embedseg-napari[cluster]'. One worker "
            "(--workers 1), or --part for several programs, works without."
        ) from error
    except ImportError as error:
        raise SettingsError(
            f"The library distributed is there, but cannot be loaded ({error}); install it anew, or take one worker."
        ) from error
    return distributed


@contextmanager
def _client(distributed: Any, n_workers: int, scheduler: str | None) -> Iterator[Any]:
    import dask

    try:
        if scheduler is not None:
            with distributed.Client(
                **({"scheduler_file": scheduler} if Path(scheduler).exists() else {"address": scheduler}),
                timeout=PATIENCE,
            ) as client:
                client.wait_for_workers(1, timeout=PATIENCE)
                yield client
            return
    except (OSError, TimeoutError, ValueError) as error:
        raise ComputeError(
            f"{scheduler}: no scheduler answers there, or it has no workers ({error}); start dask scheduler and dask "
            "worker first."
        ) from error
    threads = str(max(1, (os.cpu_count() or 1) // n_workers))
    settings = {
        # Each worker has its share of the cores. Dask sets these in this process, too, where numba bears no change
        # of its own variable; it computes in one thread anyway.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
        ),
        # Blocks bound the memory; a worker that is paused or restarted on the way gains nothing.
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.terminate": False,
        # It would look at the stack of each worker a hundred times a second.
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.allowed-failures": TRIES,
        # A terminal sends Ctrl-C to workers, too; they leave stopping to this process, which ends them.
        "distributed.worker.preload": ["import signal\n\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"],
    }
    with dask.config.set(settings):
        try:
            cluster = distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # Even without a dashboard it serves its state, by default all at the same port.
                scheduler_kwargs={"dashboard_address": ":0"},
                silence_logs=50,
            )
            client = distributed.Client(cluster)
        except (OSError, RuntimeError) as error:
            raise ComputeError(
                f"The workers did not start ({str(error) or 'in time'}); run it again when the machine is less busy, "
                "or take one worker."
            ) from error
        try:
            yield client
        finally:
            for one in (client, cluster):
                # On a busy machine workers may take longer to end than Dask waits; they end with this process.
                with contextlib.suppress(OSError):
                    one.close()


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


def require_all(folder: RunFolder, record: RunRecord) -> None:
    """Refuse to finish what is not done.

    Raises
    ------
    DataError
        Saying how much is missing.
    """
    n = len(missing_blocks(folder, record))
    if n:
        raise DataError(
            f"{n} of {count(len(record.grid), 'block')} not done yet; run the missing parts (--part), then --finish."
        )
