"""Waiting for workers, and who hears a Ctrl-C meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import pytest

from embedseg_napari.jobs.large import cluster


class Silent:
    """A client of a scheduler that has no workers."""

    tries = 0
    is_closed = False

    def wait_for_workers(self, n: int, timeout: float) -> None:
        self.tries += 1
        assert timeout < cluster.PATIENCE
        raise TimeoutError("no workers")

    def close(self) -> None:
        self.is_closed = True


def test_a_run_that_is_over_waits_for_no_scheduler() -> None:
    is_over, asked = Event(), []
    is_over.set()

    def unheard(address: str, timeout: float, **_) -> None:
        asked.append(address)
        assert timeout < cluster.PATIENCE
        raise TimeoutError("nobody answers")

    with pytest.raises(TimeoutError, match="nobody answers"):
        cluster._client_of(SimpleNamespace(Client=unheard), "tcp://far:1", is_over)
    assert asked == ["tcp://far:1"]


def test_a_run_that_is_over_waits_for_no_worker_and_leaves_its_client() -> None:
    is_over, client = Event(), Silent()
    is_over.set()
    with pytest.raises(TimeoutError, match="no workers"):
        cluster._client_of(SimpleNamespace(Client=lambda *_, **__: client), "tcp://far:1", is_over)
    assert (client.tries, client.is_closed) == (1, True)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no masks of signals")
def test_processes_that_workers_start_in_hear_no_interrupt() -> None:
    look = "import signal\nprint(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    def started() -> str:
        cluster._leave_interrupts_to_others()
        return subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.strip()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(started).result() == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
