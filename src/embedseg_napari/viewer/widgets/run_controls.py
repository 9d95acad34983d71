"""Start button, Cancel, progress bar and status line: what every kind of run shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton

from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.worker import RunState, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.viewer.worker import BackgroundRun

LOADING = "Loading the model"
STOPPING = "Stopping…"


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
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None] | None = None,
        *,
        is_kept: bool = False,
    ) -> None:
        """Run a generator of events that begins by loading a model; see :func:`run_in_background`.

        Parameters
        ----------
        run, on_event, on_result, on_error
            As there; without `on_error`, :meth:`fail`.
        is_kept : bool
            Whether the run keeps what it has done when it is stopped: then its own end is awaited.
        """
        self._is_kept = is_kept
        self.progress.setRange(0, 0)
        self.progress.setFormat(LOADING)
        self.say(f"{LOADING}…")
        self.current = run_in_background(
            run, on_event=on_event, on_result=on_result, on_error=on_error or self.fail, on_finished=self._end
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
        if self.current is not None:
            self.current.detach()

    def _end(self) -> None:
        self.current = None
        if self.status.text() == STOPPING:
            self.say("Stopped.")
        self._show()
        self.finished.emit()

    def _show(self) -> None:
        self.cancel_button.setEnabled(self.current is not None and self.current.state is RunState.RUNNING)
        self.progress.setVisible(self.current is not None)
        self.changed.emit()
