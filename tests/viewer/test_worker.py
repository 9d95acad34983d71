from __future__ import annotations

import threading
import time

import pytest
from napari.qt.threading import WorkerBase
from napari.utils.notifications import notification_manager

from embedseg_napari.core.errors import ComputeError, DataError, Stopped
from embedseg_napari.core.events import Message, StepFinished, TileFinished
from embedseg_napari.viewer import worker
from embedseg_napari.viewer.worker import RunState, report_error, run_in_background

pytestmark = pytest.mark.usefixtures("qapp")


class Listener:
    """Keeps what a run says, and in which thread."""

    def __init__(self) -> None:
        self.events, self.results, self.errors, self.ends, self.threads = [], [], [], 0, set()

    def note(self, kept, value) -> None:
        self.threads.add(threading.current_thread())
        kept.append(value)

    def end(self) -> None:
        self.ends += 1

    def start(self, run):
        return run_in_background(
            run,
            on_event=lambda event: self.note(self.events, event),
            on_result=lambda result: self.note(self.results, result),
            on_error=lambda error: self.note(self.errors, error),
            on_finished=self.end,
        )


def finish(qtbot, listener, run):
    handle = listener.start(run)
    qtbot.waitUntil(lambda: listener.ends == 1, timeout=20_000)
    return handle


def test_events_and_result_arrive_in_the_thread_of_the_viewer(qtbot):
    worked_in = []

    def run(should_stop):
        worked_in.append(threading.current_thread())
        yield Message("one")
        yield Message("two")
        return 7

    listener = Listener()
    handle = finish(qtbot, listener, run)
    assert [event.text for event in listener.events] == ["one", "two"]
    assert listener.results == [7]
    assert not listener.errors
    assert handle.state is RunState.DONE
    assert listener.threads == {threading.main_thread()}
    assert worked_in != [threading.main_thread()]


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (RuntimeError("CUDA out of memory"), ComputeError, "Memory ran out"),
        (RuntimeError("cuDNN error"), ComputeError, "cuDNN error"),
        (MemoryError(), ComputeError, "Memory ran out"),
        (DataError("no image"), DataError, "no image"),
        (KeyError("x"), KeyError, "x"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_no_error_is_lost(qtbot, raised, kind, text, at_once):
    def run(should_stop):
        if not at_once:
            yield Message("begun")
        raise raised
        yield

    def not_even_a_generator(should_stop):
        raise raised

    listener = Listener()
    handle = finish(qtbot, listener, not_even_a_generator if at_once else run)
    assert handle.state is RunState.FAILED
    assert isinstance(listener.errors[0], kind)
    assert text in str(listener.errors[0])
    assert not listener.results


def test_a_stop_is_seen_by_the_run_and_its_result_still_delivered(qtbot):
    def run(should_stop):
        while not should_stop():
            yield StepFinished(0, 0, 0, 0, 0, 0, 0, 0)
        return "kept"

    listener = Listener()
    handle = listener.start(run)
    qtbot.waitUntil(lambda: bool(listener.events), timeout=20_000)
    handle.stop()
    assert handle.state is RunState.STOPPING
    qtbot.waitUntil(lambda: listener.ends == 1, timeout=20_000)
    assert listener.results == ["kept"]


def test_a_stopped_prediction_is_no_error(qtbot):
    def run(should_stop):
        yield Message("begun")
        raise Stopped("stopped")

    listener = Listener()
    handle = finish(qtbot, listener, run)
    assert handle.state is RunState.IDLE
    assert not listener.errors
    assert not listener.results


def test_a_thread_that_does_not_look_is_left_to_itself(qtbot):
    release, left = threading.Event(), threading.Event()

    def run(should_stop):
        yield Message("importing something large")
        release.wait(30)
        left.set()
        return "too late"

    listener = Listener()
    handle = listener.start(run)
    qtbot.waitUntil(lambda: bool(listener.events), timeout=20_000)
    handle.stop(patience=0.05)
    qtbot.waitUntil(lambda: listener.ends == 1, timeout=20_000)
    assert handle.state is RunState.IDLE
    release.set()
    assert left.wait(20)
    assert not listener.results
    assert listener.ends == 1


def test_pause_and_resume(qtbot):
    passed = []

    def run(should_stop):
        for i in range(3):
            passed.append(i)
            yield Message(str(i))

    listener = Listener()

    def run_after_pause(should_stop):
        ready.wait(30)
        yield from run(should_stop)

    ready = threading.Event()
    handle = listener.start(run_after_pause)
    handle.pause()
    ready.set()
    qtbot.waitUntil(lambda: len(listener.events) == 1, timeout=20_000)
    assert handle.is_paused
    assert passed == [0]
    handle.resume()
    qtbot.waitUntil(lambda: listener.ends == 1, timeout=20_000)
    assert passed == [0, 1, 2]


def test_only_frequent_events_are_thinned_out_and_the_last_tile_is_not(qtbot, monkeypatch):
    monkeypatch.setattr(worker, "LEAST_INTERVAL", 1000.0)

    def run(should_stop):
        for i in range(1, 101):
            yield TileFinished(0, i, 100)
            if i % 50 == 0:
                yield Message(str(i))

    listener = Listener()
    finish(qtbot, listener, run)
    tiles = [event.tile for event in listener.events if isinstance(event, TileFinished)]
    assert tiles[-1] == 100
    assert len(tiles) <= 2
    assert [event.text for event in listener.events if isinstance(event, Message)] == ["50", "100"]


def test_a_closed_panel_hears_nothing_more(qtbot):
    release = threading.Event()

    def run(should_stop):
        release.wait(30)
        yield Message("late")

    listener = Listener()
    handle = listener.start(run)
    handle.detach()
    with qtbot.waitSignal(handle.finished, timeout=20_000):
        release.set()
    assert not listener.events
    assert not listener.ends


@pytest.mark.parametrize("times", [1, 5])
def test_an_error_while_showing_events_is_told_once_and_ends_nothing(qtbot, times):
    shown, seen, results, ends = [], [], [], []
    notification_manager.notification_ready.connect(shown.append)

    def broken(event):
        seen.append(event.text)
        if len(seen) <= times:
            raise ValueError("cannot be shown")

    def run(should_stop):
        for i in range(5):
            yield Message(str(i))
        # Events reach the viewer in its own time; what they led to must be seen here.
        has_shown.wait(20)
        return "stopped" if should_stop() else "done"

    has_shown = threading.Event()
    try:
        run_in_background(run, on_event=broken, on_result=results.append, on_finished=lambda: ends.append(1))
        qtbot.waitUntil(lambda: len(seen) == 5, timeout=20_000)
        has_shown.set()
        qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    finally:
        notification_manager.notification_ready.disconnect(shown.append)
    assert results == ["done"]
    assert len([notice for notice in shown if "cannot be shown" in notice.message]) == 1


def test_our_own_errors_are_shown_as_they_are(qtbot):
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    try:
        report_error(DataError("This file is damaged; save it anew."))
    finally:
        notification_manager.notification_ready.disconnect(shown.append)
    assert [notice.message for notice in shown] == ["This file is damaged; save it anew."]


def waits_and_saves(should_stop):
    """Stand in for a training: it has a result only once it was stopped."""
    yield Message("begun")
    while not should_stop():
        yield StepFinished(0, 0, 0, 0, 0, 0, 0, 0)
    return "saved"


def test_a_run_comes_to_its_own_end_where_napari_ends_all_workers(qtbot):
    listener = Listener()
    handle = listener.start(waits_and_saves)
    # Napari calls it when its last window was closed; it would drop the generator, and what it had learnt.
    WorkerBase.await_workers(60_000)
    qtbot.waitUntil(lambda: not handle.is_active)
    assert listener.results == ["saved"]


def test_leaving_python_waits_for_what_runs(qapp):
    listener = Listener()
    handle = listener.start(waits_and_saves)
    worker.end_all()
    assert not handle.is_active
    assert listener.results == ["saved"]
    assert listener.ends == 1


def test_leaving_python_does_not_wait_for_ever(qapp, qtbot):
    gate = threading.Event()

    def stuck(should_stop):
        yield Message("begun")
        gate.wait()

    handle = Listener().start(stuck)
    worker.end_all(0.05)
    assert handle.is_active
    gate.set()
    qtbot.waitUntil(lambda: not handle.is_active)


def test_a_second_window_that_closes_ends_no_run_of_the_first(make_napari_viewer_proxy, qtbot):
    _, second = (make_napari_viewer_proxy(show=True) for _ in range(2))
    ticks = []

    def run(should_stop):
        while not should_stop():
            time.sleep(0.01)
            yield "tick"

    # The second window is the one that napari takes to be at work.
    background = run_in_background(run, on_event=ticks.append)
    qtbot.waitUntil(lambda: len(ticks) > 2, timeout=20000)
    second.window.close()
    n = len(ticks)
    qtbot.waitUntil(lambda: len(ticks) > n + 5, timeout=20000)
    assert background.state is RunState.RUNNING
    with qtbot.waitSignal(background.finished, timeout=20000):
        background.stop()
