"""The only door to threads: a run of the core, its events brought to the viewer.

A run is a generator of events. It advances in a thread of napari's `thread_worker`; only the callbacks given here run
in the GUI's thread, and only they may touch layers and widgets.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker, thread_worker
from napari.utils.notifications import ErrorNotification, notification_manager, show_error, show_info, show_warning
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QMainWindow

from embedseg_napari.core.errors import ComputeError, EmbedSegError, Stopped
from embedseg_napari.core.events import Message, StepFinished, TileFinished
from embedseg_napari.core.tracking.run import FrameLinked
from embedseg_napari.core.turns import short_turns
from embedseg_napari.jobs.large.run import Finishing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Run = Callable[[Callable[[], bool]], Generator[Any, None, Any]]

logger = logging.getLogger(__name__)

FREQUENT = (StepFinished, TileFinished, Finishing, FrameLinked)
"""Events of which only some are shown."""
LEAST_INTERVAL = 0.05
"""Seconds between two events of the frequent kinds; Qt's queue is unbounded, and nobody reads faster."""
LAST_WAIT = 30.0
"""Seconds that leaving Python waits at most for runs to end; a training saves its model meanwhile."""


class RunState(StrEnum):
    """Where a run stands; buttons follow it."""

    IDLE = "idle"
    """Not started, or stopped before it had a result."""
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
    DONE = "done"


class BackgroundRun(QObject):
    """One run in a thread; made by :func:`run_in_background`, never reused."""

    state_changed = Signal(object)
    """The new `RunState`."""
    finished = Signal()
    """After the last callback, however the run ended."""

    def __init__(
        self,
        on_event: Callable[[Any], None] | None,
        on_result: Callable[[Any], None] | None,
        on_error: Callable[[Exception], None] | None,
        on_finished: Callable[[], None] | None,
    ) -> None:
        super().__init__()
        self._on_event, self._on_result = on_event, on_result
        self._on_error, self._on_finished = on_error, on_finished
        self._stop, self._go_on = threading.Event(), threading.Event()
        self._go_on.set()
        self._state = RunState.IDLE
        self._is_over = False
        self._told: set[str] = set()
        """Errors that were shown."""

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._state

    @property
    def is_active(self) -> bool:
        """Whether the run still goes on, be it towards its stop."""
        return self._state in (RunState.RUNNING, RunState.STOPPING)

    @property
    def is_paused(self) -> bool:
        """Whether the run waits for :meth:`resume`."""
        return self.is_active and not self._go_on.is_set()

    def stop(self, patience: float | None = None) -> None:
        """Ask the run to stop; it ends by itself at the next place where it looks.

        Parameters
        ----------
        patience : float, optional
            Seconds after which the panel is given back although the thread has not come to such a place yet, for
            instance while it imports a large library; what it says later is dropped. Without it the run's own end is
            awaited, and its result delivered.
        """
        self._stop.set()
        self._go_on.set()
        if self._state is RunState.RUNNING:
            self._set_state(RunState.STOPPING)
        if patience is not None and self.is_active:
            QTimer.singleShot(int(patience * 1000), self._give_up)

    def pause(self) -> None:
        """Let the run wait at its next event."""
        if self._state is RunState.RUNNING:
            self._go_on.clear()

    def resume(self) -> None:
        """Let a paused run go on."""
        self._go_on.set()

    def detach(self) -> None:
        """Stop the run and never call back again: for panels that are being closed."""
        self._on_event = self._on_result = self._on_error = self._on_finished = None
        self.stop()

    def _start(self, run: Run) -> None:
        _alive.add(self)
        self._set_state(RunState.RUNNING)
        begin = thread_worker(_forward, start_thread=False, ignore_errors=True, worker_class=_Worker)
        worker = begin(run, self._stop, self._go_on)
        worker.yielded.connect(self._take_event)
        worker.returned.connect(self._take_end)
        worker.finished.connect(self._end)
        worker.start()

    def _set_state(self, state: RunState) -> None:
        self._state = state
        self.state_changed.emit(state)

    def _take_event(self, event: Any) -> None:
        if not self._is_over and self._on_event is not None:
            self._guarded(self._on_event, event)

    def _take_end(self, end: _End) -> None:
        if self._is_over:
            return
        if end.error is not None:
            self._take_error(end.error)
        else:
            self._take_result(end.result)

    def _take_result(self, result: Any) -> None:
        self._set_state(RunState.DONE)
        if self._on_result is not None:
            self._guarded(self._on_result, result)

    def _take_error(self, error: Exception) -> None:
        self._set_state(RunState.IDLE if isinstance(error, Stopped) else RunState.FAILED)
        if self._on_error is not None and not isinstance(error, Stopped):
            self._guarded(self._on_error, error)

    def _guarded(self, callback: Callable[[Any], None], value: Any) -> None:
        """An error while showing something must neither end the run nor be lost; it may come with every event."""
        try:
            callback(value)
        except Exception as error:  # noqa: BLE001 (told to the user, whatever it is)
            words = f"{type(error).__name__}: {error}"
            if words not in self._told:
                self._told.add(words)
                report_error(error)

    def _give_up(self) -> None:
        if self.is_active:
            self._set_state(RunState.IDLE)
            self._end()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self.is_active:
            # The worker ended without a word, as it does where napari itself was asked to end it.
            self._set_state(RunState.IDLE)
        _alive.discard(self)
        if self._on_finished is not None:
            self._on_finished()
        self.finished.emit()


_alive: set[BackgroundRun] = set()
"""Qt holds only weak references to the receivers of a worker's signals."""


class _Worker(GeneratorWorker):
    """A worker that comes to its own end where it is told to quit, as napari tells it before it closes.

    Its base would drop the generator where it stands, and an unsaved training with it.
    """

    def __init__(
        self, func: Callable[..., Any], run: Run, stop: threading.Event, go_on: threading.Event, **kwargs: Any
    ) -> None:
        super().__init__(func, run, stop, go_on, **kwargs)
        self._stop_event, self._go_on_event = stop, go_on

    def quit(self) -> None:
        """Ask the run to stop where the last window closes.

        Napari asks the runs that began while a window was the active one, whose panel ever they are of. Where others
        stay open, a panel that closes stops its own runs.
        """
        if sum(isinstance(one, QMainWindow) and one.isVisible() for one in QApplication.topLevelWidgets()) <= 1:
            self._stop_event.set()
            self._go_on_event.set()


@atexit.register
def end_all(seconds: float = LAST_WAIT) -> None:
    """Stop all runs and wait for their end: threads that still run when Python ends are lost, and so is their work."""
    for run in tuple(_alive):
        run.stop()
    end = time.monotonic() + seconds
    while _alive and QCoreApplication.instance() is not None and time.monotonic() < end:
        # Ends, and the results that came with them, arrive as events; the viewer's own loop is over.
        QCoreApplication.processEvents()
        time.sleep(0.02)


def run_in_background(
    run: Run,
    *,
    on_event: Callable[[Any], None] | None = None,
    on_result: Callable[[Any], None] | None = None,
    on_error: Callable[[Exception], None] | None = None,
    on_finished: Callable[[], None] | None = None,
) -> BackgroundRun:
    """Run a generator of events in a thread.

    Parameters
    ----------
    run : callable
        Called in the thread with `should_stop`; returns the generator. Slow imports belong into it.
    on_event : callable, optional
        Called in the GUI's thread with each event, about 20 per second of the frequent kinds.
    on_result : callable, optional
        Called with the generator's value, also after a stop if there is one.
    on_error : callable, optional
        Called with the exception that ended the run; default: a notification. Not called where the run ended with
        `Stopped`.
    on_finished : callable, optional
        Called last, however the run ended.

    Returns
    -------
    BackgroundRun
        To stop, pause or watch it.
    """
    handle = BackgroundRun(on_event, on_result, on_error or report_error, on_finished)
    handle._start(run)
    return handle


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ended."""

    result: Any = None
    error: Exception | None = None


def _forward(run: Run, stop: threading.Event, go_on: threading.Event) -> Generator[Any, None, _End]:
    """Advance the run in the worker's thread.

    Errors are brought over as values: the worker takes a RuntimeError of a generator, such as CUDA's out of memory, for
    a sign that Qt deleted it, and says nothing.
    """
    try:
        # Napari imports them with the first layers that it adds, in the GUI's thread: the viewer would stand still.
        for name in ("pandas", "skimage.color.colorconv"):
            importlib.import_module(name)
        with short_turns():
            return _End((yield from _thin_out(run(stop.is_set), go_on)))
    except (RuntimeError, MemoryError) as error:
        failure = ComputeError(_compute_sentence(error))
        failure.__cause__ = error
        return _End(error=failure)
    except Exception as error:  # noqa: BLE001 (told to the user by `report_error`)
        return _End(error=error)


def _thin_out(generator: Generator[Any, None, Any], go_on: threading.Event) -> Generator[Any, None, Any]:
    """Leave out events that nobody could see, and wait while the run is paused."""
    last = 0.0
    try:
        while True:
            try:
                event = next(generator)
            except StopIteration as end:
                return end.value
            if not isinstance(event, FREQUENT) or _is_last(event) or time.monotonic() - last >= LEAST_INTERVAL:
                last = time.monotonic()
                yield event
            go_on.wait()
    finally:
        generator.close()


def _is_last(event: Any) -> bool:
    return isinstance(event, TileFinished) and event.tile == event.n_tiles


def _compute_sentence(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError) or "memory" in text.lower():
        return f"Memory ran out; choose a smaller part of the image, close other programs, or use device cpu. ({text})"
    return f"The computation failed: {text}. Try device cpu; if that fails too, please report it."


def report_error(error: Exception) -> None:
    """Tell the user about an error: our own sentences as they are, anything else with its traceback."""
    logger.error("%s", error, exc_info=error)
    if isinstance(error, EmbedSegError):
        show_error(str(error))
        return
    notice = ErrorNotification(error)
    notice.message = f"Unexpected error: {str(error) or type(error).__name__}. Please report it with the details."
    notification_manager.dispatch(notice)


def report_message(message: Message) -> None:
    """Show a message of the core as a notification."""
    (show_warning if message.level == "warning" else show_info)(message.text)
