"""Start button, Cancel, progress bar and status line: what every kind of run shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton

from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.worker import RunState, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from embedseg_napari.viewer.worker import BackgroundRun

LOADING = "Loading the model"
STOPPING = "Stopping…"
PAUSE = 10
"""Milliseconds between two steps with a result, in which the canvas is drawn and the user is heard."""


class RunControls(QObject):
    """One run at a time: started, watched, stopped.

    The panel lays out the widgets and decides when a run may start.

    Parameters
    ----------
    title : str
        Text of the start button.
    cancel_tip : str
        Says what is left after a stop.
    patience : float, optional
        Seconds that Cancel waits for the thread; see :meth:`BackgroundRun.stop`.
    """

    changed = Signal()
    """A run was started, is being stopped, or is over."""
    finished = Signal()
    """A run is over, however it ended; after `changed`."""

    def __init__(
        self, title: str, cancel_tip: str, patience: float | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.current: BackgroundRun | None = None
        self._patience, self._is_kept = patience, False
        self.run_button = QPushButton(title)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(cancel_tip)
        self.cancel_button.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.hide()
        self.status = Sentence()
        self._steps: Iterator[None] | None = None
        """What is left to do with the result."""
        self._is_over = False
        """Whether the thread is done."""
        self._next_step = QTimer(self)
        self._next_step.setInterval(PAUSE)
        self._next_step.timeout.connect(self._go_on)

    def buttons(self) -> QHBoxLayout:
        """Start and Cancel, side by side."""
        row = QHBoxLayout()
        row.addWidget(self.run_button, 1)
        row.addWidget(self.cancel_button)
        return row

    def start(
        self,
        run: Callable[[Callable[[], bool]], Generator[Any, None, Any]],
        on_event: Callable[[Any], None],
        on_result: Callable[[Any], Iterator[None] | None],
        on_error: Callable[[Exception], None] | None = None,
        *,
        is_kept: bool = False,
    ) -> None:
        """Run a generator of events that begins by loading a model; see :func:`run_in_background`.

        Parameters
        ----------
        run, on_event, on_error
            As there; without `on_error`, :meth:`fail`.
        on_result : callable
            Where it returns an iterator, it is gone through a step at a time before the run is over, so that the viewer
            answers in between.
        is_kept : bool
            Whether the run keeps what it has done when it is stopped: then its own end is awaited.
        """
        self._is_kept, self._is_over = is_kept, False
        self.progress.setRange(0, 0)
        self.progress.setFormat(LOADING)
        self.say(f"{LOADING}…")
        self.current = run_in_background(
            run,
            on_event=on_event,
            on_result=lambda result: self._take_steps(on_result(result)),
            on_error=on_error or self.fail,
            on_finished=self._take_finish,
        )
        self._show()

    def cancel(self) -> None:
        """Stop the run."""
        if self.current is not None:
            self.say(STOPPING)
            self.current.stop(None if self._is_kept else self._patience)
            self._show()

    def say(self, text: str, is_wrong: bool = False) -> None:
        """Show a sentence."""
        self.status.say(text, is_wrong)

    def fail(self, error: Exception) -> None:
        """Show what went wrong, here and as a notification."""
        self.say(str(error), is_wrong=True)
        report_error(error)

    def close_down(self) -> None:
        """End the run; it does not call back any more."""
        self._next_step.stop()
        if self.current is not None:
            self.current.detach()

    def _take_steps(self, steps: Iterator[None] | None) -> None:
        self._steps = steps
        if steps is not None:
            self._next_step.start()

    def _go_on(self) -> None:
        try:
            assert self._steps is not None
            next(self._steps)
        except StopIteration:
            self._end_steps()
        except Exception as error:  # noqa: BLE001 (told to the user, whatever it is; the run must end)
            self._end_steps()
            self.fail(error)

    def _end_steps(self) -> None:
        self._next_step.stop()
        self._steps = None
        if self._is_over:
            self._end()

    def _take_finish(self) -> None:
        self._is_over = True
        if self._steps is None:
            self._end()

    def _end(self) -> None:
        # Events that were on their way may have said something else meanwhile.
        was_stopped = self.current is not None and self.current.state is RunState.IDLE and not self._is_kept
        self.current = None
        if was_stopped or self.status.text() == STOPPING:
            self.say("Stopped.")
        self._show()
        self.finished.emit()

    def _show(self) -> None:
        self.cancel_button.setEnabled(self.current is not None and self.current.state is RunState.RUNNING)
        self.progress.setVisible(self.current is not None)
        self.changed.emit()
