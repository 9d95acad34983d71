"""Memory that is freed during a computation serves the next array, and goes back to the system after its end."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedseg_napari.core import freed_memory
from embedseg_napari.core.freed_memory import freed_memory_kept, keeps_freed_memory

if TYPE_CHECKING:
    from collections.abc import Generator

SIZE = 256 << 20


def resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def use_memory() -> None:
    """Fill a large array and free it."""
    np.empty(SIZE, np.uint8).fill(1)


def goes_back(before: int) -> bool:
    """Whether the process soon holds hardly more than it did."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if resident() < before + SIZE / 2:
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(autouse=True)
def before(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes held at the start of a test; nobody lingers in it."""
    if sys.platform != "linux":
        pytest.skip("only glibc's allocator is told")
    monkeypatch.setattr(freed_memory, "LINGER", 0.05)
    with freed_memory_kept():
        # What earlier tests have left goes back first.
        pass
    time.sleep(0.3)
    start = resident()
    with freed_memory_kept():
        use_memory()
        is_kept = resident() > start + SIZE / 2
    if not is_kept:
        pytest.skip("this allocator is not told")
    assert goes_back(start)
    return resident()


def test_memory_is_kept_until_the_last_of_several_has_ended(before: int) -> None:
    with freed_memory_kept():
        with freed_memory_kept():
            use_memory()
        time.sleep(0.2)
        assert resident() > before + SIZE / 2
    assert goes_back(before)


def test_the_next_that_begins_at_once_finds_it(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "LINGER", 0.5)
    with freed_memory_kept():
        use_memory()
    with freed_memory_kept():
        time.sleep(0.8)
        assert resident() > before + SIZE / 2
    assert goes_back(before)


def test_a_generator_that_is_given_up_gives_memory_back(before: int) -> None:
    @keeps_freed_memory
    def work(n: int) -> Generator[int, None, str]:
        yield n
        use_memory()
        yield n + 1
        return "done"

    going = work(3)
    assert [next(going), next(going)] == [3, 4]
    time.sleep(0.2)
    assert resident() > before + SIZE / 2
    going.close()
    assert goes_back(before)


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


def test_a_generator_that_is_given_up_may_be_collected_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    @keeps_freed_memory
    def work() -> Generator[int, None, None]:
        yield 1

    class Collecting:
        def cancel(self) -> None:
            gc.collect()

    gc.disable()
    try:
        ring: list[object] = [work()]
        next(ring[0])  # type: ignore[call-overload]
        ring.append(ring)
        del ring
        monkeypatch.setattr(freed_memory._USERS, "at_end", Collecting())
        thread = threading.Thread(target=freed_memory.free_afterwards, args=[Holder()], daemon=True)
        thread.start()
        thread.join(10)
    finally:
        gc.enable()
    assert not thread.is_alive()
    assert freed_memory._USERS.n == 0


@pytest.mark.parametrize(
    "end",
    [
        "begun = work(); next(begun)",
        "threading.Thread(target=lambda: (threading.main_thread().join(), [*work()], print('computed'))).start()",
    ],
)
def test_a_process_ends_though_nobody_has_ended_a_generator(end: str) -> None:
    program = f"""
import threading
from embedseg_napari.core.freed_memory import keeps_freed_memory

@keeps_freed_memory
def work():
    yield 1

{end}
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    assert ("computed" in found.stdout) == ("Thread" in end)


class Holder:
    """Something that keeps memory of its own."""

    n_given_back = 0

    def free_memory(self) -> None:
        self.n_given_back += 1


def test_what_keeps_memory_of_its_own_gives_it_back_after_the_last_has_ended(before: int) -> None:
    one = Holder()
    with freed_memory_kept():
        freed_memory.free_afterwards(one)
        freed_memory.free_afterwards(one)
        time.sleep(0.2)
        assert one.n_given_back == 0
    until = time.monotonic() + 10
    while one.n_given_back == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert one.n_given_back == 1
    with freed_memory_kept():
        pass
    time.sleep(0.2)
    assert one.n_given_back == 1, "it is asked only after it was used again"
    freed_memory.free_afterwards(one)
    until = time.monotonic() + 10
    while one.n_given_back == 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert one.n_given_back == 2, "also where nothing else is kept"
