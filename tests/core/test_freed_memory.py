"""Memory that is freed during a computation serves the next array, and goes back to the system at its end."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedseg_napari.core.freed_memory import freed_memory_kept, keeps_freed_memory

if TYPE_CHECKING:
    from collections.abc import Generator

MEGABYTES = 256


def faults() -> int:
    """Pages that the system hands out for a large array."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(MEGABYTES << 20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.fixture(autouse=True)
def _pages_are_counted() -> None:
    if sys.platform != "linux":
        pytest.skip("only glibc's allocator is told")
    faults()
    if faults() < MEGABYTES:
        pytest.skip("this system or its allocator hands out large arrays at once")


def test_a_second_array_takes_the_pages_of_the_first() -> None:
    with freed_memory_kept():
        first = faults()
        assert faults() < first / 10
    assert faults() > first / 2


def test_memory_is_kept_until_the_last_of_several_ends() -> None:
    with freed_memory_kept():
        with freed_memory_kept():
            first = faults()
        assert faults() < first / 10


def test_a_generator_that_is_given_up_gives_memory_back() -> None:
    @keeps_freed_memory
    def work(n: int) -> Generator[int, None, str]:
        yield n
        yield faults()
        return "done"

    going = work(3)
    assert next(going) == 3
    first = next(going)
    assert faults() < first / 10
    going.close()
    assert faults() > first / 2


def test_a_generator_keeps_its_value() -> None:
    @keeps_freed_memory
    def work() -> Generator[int, None, str]:
        yield 1
        return "done"

    going = work()
    next(going)
    with pytest.raises(StopIteration) as end:
        next(going)
    assert end.value.value == "done"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_it_has_not() -> None:
    is_over = threading.Event()

    def compute() -> None:
        while not is_over.is_set():
            with freed_memory_kept():
                pass

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if not child:
                # Ends a child that waits.
                signal.alarm(5)
                with freed_memory_kept():
                    os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        is_over.set()
        thread.join()
