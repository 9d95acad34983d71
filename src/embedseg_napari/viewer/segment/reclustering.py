"""Collecting objects anew while sliders move: off the GUI's thread, one at a time, the latest values win."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.results import Result
    from embedseg_napari.viewer.worker import BackgroundRun


class Reclustering(QObject):
    """Keeps one thread busy with the latest request and drops those in between."""

    ready = Signal(object, object)
    """The `Result` that was asked for, and its new `Segmentation`."""
    settled = Signal()
    """No request is waiting any more."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run: BackgroundRun | None = None
        self._next: tuple[Result, dict[str, Any]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being worked on."""
        return self._run is not None

    def request(self, result: Result, values: dict[str, Any]) -> None:
        """Collect the objects of a result's maps with other thresholds."""
        self._next = (result, values)
        if self._run is None:
            self._start()

    def cancel(self) -> None:
        """Forget all requests."""
        self._next = None
        if self._run is not None:
            self._run.detach()
            self._run = None

    def _start(self) -> None:
        if self._next is None:
            return
        (result, values), self._next = self._next, None

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, Segmentation]:
            yield None
            return result.segmentation.recluster(**values, should_stop=should_stop)

        self._run = run_in_background(
            run, on_result=lambda segmentation: self.ready.emit(result, segmentation), on_finished=self._end
        )

    def _end(self) -> None:
        self._run = None
        if self._next is not None:
            self._start()
        else:
            self.settled.emit()
