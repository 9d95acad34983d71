"""Workers of Dask, which start and end while this process does other things."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import ComputeError, SettingsError, Stopped
from embedseg_napari.core.files.documents import parse_json, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embedseg_napari.core.config.limits import RunEngine
    from embedseg_napari.core.model.model import Model

PATIENCE = 60.0
"""Seconds to wait for a scheduler or its first worker."""
ONE_TRY = 3.0
"""The same without a look at whether the run is over."""
PAUSE = 0.05
"""Seconds between two looks at whether workers are there, and whether to stop."""
TRIES = 3
"""Workers that may die over one block before it is given up."""


class Workers:
    """Workers that are on their way: processes of this machine, or those of a running scheduler.

    Each loads the model as soon as it is there, before its first block.

    Parameters
    ----------
    thread : ThreadPoolExecutor
        Of one thread, in which they are started and ended.
    model : str
        Name or file.
    device : str
        As in a job.
    n_workers : int
        Of a cluster on this machine; not used with a scheduler.
    scheduler : str, optional
        Address of a running one, or the file it wrote.
    """

    def __init__(
        self, thread: ThreadPoolExecutor, model: str, device: str, n_workers: int, scheduler: str | None
    ) -> None:
        self.threads = max(1, (os.cpu_count() or 1) // n_workers) if scheduler is None else None
        """Of each; None where they are not of this machine."""
        self._thread, self._ends, self._is_over = thread, ExitStack(), Event()
        self._known = model, device, self.threads
        self._client = thread.submit(self._start, n_workers, scheduler)

    def client(self, should_stop: Callable[[], bool]) -> Any:
        """Wait for them, and return what hands out work to them.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        ComputeError
            If no scheduler or worker is there.
        """
        while not self._client.done():
            if should_stop():
                raise Stopped("The run was stopped.")
            time.sleep(PAUSE)
        return self._client.result()

    def why_not(self, engine: RunEngine, precision: str, should_stop: Callable[[], bool]) -> str:
        """Say why one of them cannot run the network by an engine; empty if all can.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        ComputeError
            If no scheduler or worker is there.
        """
        client = self.client(should_stop)
        answers = [
            client.submit(try_in_worker, *self._known, engine, precision, workers=[one], pure=False)
            for one in client.scheduler_info(n_workers=-1)["workers"]
        ]
        while not all(answer.done() for answer in answers):
            if should_stop():
                raise Stopped("The run was stopped.")
            time.sleep(PAUSE)
        return next(filter(None, (answer.result() for answer in answers)), "")

    def end(self) -> None:
        """Let them go, without waiting for that."""
        self._is_over.set()
        self._thread.submit(self._ends.close)

    def _start(self, n_workers: int, scheduler: str | None) -> Any:
        import distributed

        _leave_interrupts_to_others()
        client = self._ends.enter_context(
            _local(distributed, n_workers) if scheduler is None else _running(distributed, scheduler, self._is_over)
        )
        # Nobody waits for these; what fails there does so again at the first block, and is told then.
        self._loading = [
            client.submit(load_model_in_worker, *self._known, workers=[one], pure=False)
            for one in client.scheduler_info(n_workers=-1)["workers"]
        ]
        return client


@contextmanager
def workers_beside(model: str, device: str, n_workers: int, scheduler: str | None) -> Iterator[Workers]:
    """Start workers, see `Workers`; at the end, they are gone.

    Raises
    ------
    SettingsError
        If distributed is not installed.
    """
    # Not in the thread: two that import at the same time may see each other's modules half made.
    require_distributed()
    with ThreadPoolExecutor(1, "embedseg-workers") as thread:
        workers = Workers(thread, model, device, n_workers, scheduler)
        try:
            yield workers
        finally:
            workers.end()


def load_model_in_worker(model: str, device: str, threads: int | None) -> None:
    """Import PyTorch and load a model, before the first block is there."""
    model_in_worker(model, device, threads)


def try_in_worker(model: str, device: str, threads: int | None, engine: RunEngine, precision: str) -> str:
    """Say why a worker cannot run the network by an engine; empty if it can."""
    from embedseg_napari.core.inference.openvino_engine import engine_begun

    loaded = model_in_worker(model, device, threads)
    try:
        engine_begun(engine, loaded.network, loaded.config.n_channels, precision, loaded.config.calibration)
    except ComputeError as error:
        return str(error)
    return ""


def model_in_worker(model: str, device: str, threads: int | None) -> Model:
    """The model of a worker, which uses its share of the machine."""
    import torch

    from embedseg_napari.jobs.segment import cached_model

    if threads is not None:
        torch.set_num_threads(threads)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        import distributed

        # Workers of a local cluster are called 0, 1, ...: one GPU each, in turn.
        name = str(distributed.get_worker().name)
        torch.cuda.set_device(int(name) % torch.cuda.device_count() if name.isdecimal() else 0)
    return cached_model(model, device)


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


def _leave_interrupts_to_others() -> None:
    """Take no Ctrl-C in this thread, nor in the processes that it starts, which a terminal sends it to as well."""
    if hasattr(signal, "pthread_sigmask"):
        # Where it is not there yet, starting it would take the mask away again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextmanager
def _running(distributed: Any, scheduler: str, is_over: Event) -> Iterator[Any]:
    try:
        client = _client_of(distributed, scheduler, is_over)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ComputeError(
            f"{scheduler or 'No address'}: no scheduler answers there, or it has no workers ({error}); start dask "
            "scheduler and dask worker first, and give the address, such as tcp://HOST:8786, or the file that it wrote."
        ) from error
    with client:
        yield client


def _client_of(distributed: Any, scheduler: str, is_over: Event) -> Any:
    """Wait for a scheduler and its first worker, as long as there is patience and the run is not over."""
    until, client = time.monotonic() + PATIENCE, None
    while True:
        try:
            if client is None:
                address = scheduler
                if scheduler.endswith(".json") or Path(scheduler).is_file():
                    # One that was just started writes its file a moment later.
                    address = str(parse_json(read_text(Path(scheduler)))["address"])
                client = distributed.Client(address, timeout=min(ONE_TRY, PATIENCE), set_as_default=False)
            client.wait_for_workers(1, timeout=min(ONE_TRY, PATIENCE))
            return client
        except OSError:
            if is_over.wait(PAUSE) or time.monotonic() > until:
                if client is not None:
                    client.close()
                raise


@contextmanager
def _local(distributed: Any, n_workers: int) -> Iterator[Any]:
    import dask

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
        # Where there are no masks of signals, workers leave stopping to this process, too, once they are there.
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
            # What else a person computes with Dask in this process is computed where it was.
            client = distributed.Client(cluster, set_as_default=False)
        except (OSError, RuntimeError) as error:
            raise ComputeError(
                f"The workers did not start ({str(error) or 'in time'}); run it again when the machine is less busy, "
                'take one worker, or, in a script, start it below if __name__ == "__main__".'
            ) from error
        try:
            yield client
        finally:
            for one in (client, cluster):
                # On a busy machine workers may take longer to end than Dask waits; they end with this process.
                with contextlib.suppress(OSError):
                    one.close()
