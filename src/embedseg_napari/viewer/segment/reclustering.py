"""Collecting objects anew while sliders move: off the GUI's thread, the latest values of each result win."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.results import Result
    from embedseg_napari.viewer.worker import BackgroundRun


class Reclustering(QObject):
    """Keeps one thread busy with the latest request for each result and drops those in between."""

    ready = Signal(object, object)
    """The `Result` that was asked for, and its new `Segmentation`."""
    settled = Signal()
    """No request is waiting any more."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run: BackgroundRun | None = None
        self._result: Result | None = None
        """The one that is worked on."""
        self._waiting: dict[Result, dict[str, Any]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a request is being worked on."""
        return self._run is not None

    def request(self, result: Result, values: dict[str, Any]) -> None:
        """Collect the objects of a result's maps with other thresholds."""
        self._waiting[result] = values
        if self._run is None:
            self._start()

    def cancel(self, results: Collection[Result] | None = None) -> None:
        """Forget all requests, or those for some results."""
        self._waiting = (
            {} if results is None else {one: self._waiting[one] for one in self._waiting if one not in results}
        )
        if self._run is not None and (results is None or self._result in results):
            self._run.detach()
            self._run = None
            self._start()

    def _start(self) -> None:
        if not self._waiting:
            return
        result = self._result = next(iter(self._waiting))
        values = self._waiting.pop(result)

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, Segmentation]:
            yield None
            return result.segmentation.recluster(**values, should_stop=should_stop)

        self._run = run_in_background(
            run, on_result=lambda segmentation: self.ready.emit(result, segmentation), on_finished=self._end
        )

    def _end(self) -> None:
        self._run = None
        if self._waiting:
            self._start()
        else:
            self.settled.emit()
