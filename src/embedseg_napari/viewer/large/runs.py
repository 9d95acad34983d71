"""Runs over blocks, started from the Segment panel: what they show while they go on, and what is said of their end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from embedseg_napari.core.errors import AlreadyExists
from embedseg_napari.core.events import Message
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.large.plan import DEFAULT_NAME, LargeJob
from embedseg_napari.jobs.large.run import (
    BlockFinished,
    BlocksShown,
    BlocksStarted,
    Finishing,
    predict_large,
    seam_words,
)
from embedseg_napari.viewer.camera import looked_at
from embedseg_napari.viewer.large.progress import BlockProgress
from embedseg_napari.viewer.large.store_layer import MOST_ROWS, StoreLayer, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import pandas as pd
    from napari.layers import Image
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.jobs.large.run import LargeResult
    from embedseg_napari.viewer.large.place_box import PlaceBox
    from embedseg_napari.viewer.large.source import Source
    from embedseg_napari.viewer.widgets.run_controls import RunControls

LOOK = 200
"""Milliseconds between two looks at where the camera is."""


class BlockRuns(QObject):
    """Segments large images, one at a time.

    Parameters
    ----------
    viewer : napari viewer
        Where labels are shown.
    controls : RunControls
        Of the panel.
    place : PlaceBox
        Where labels go.
    say : callable
        Shows a message of the run.
    """

    begun = Signal(object)
    """The Labels layer of a run, which is filled from now on, or was before."""
    shown = Signal(object)
    """The Labels layer of a run that is through."""

    def __init__(
        self, viewer: Viewer, controls: RunControls, place: PlaceBox, say: Callable[[Message], None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self.viewer, self.controls, self.place, self._say = viewer, controls, place, say
        self.source: Source | None = None
        """What is segmented now."""
        self._labels: StoreLayer | None = None
        self._near: tuple[float, ...] | None = None
        self._job: LargeJob | None = None
        self._began = 0.0
        self._camera = QTimer(self)
        self._camera.setInterval(LOOK)
        self._camera.timeout.connect(self._look)

    def start(self, source: Source, model: Path, device: str, changes: dict[str, Any], channel: Channel) -> None:
        """Segment an image, or go on with it."""
        place = self.place
        target = place.target()
        assert target is not None
        self.source, self._began = source, time.monotonic()
        job = LargeJob(
            None,
            model,
            device,
            changes,
            channel=channel,
            level=place.resolution(),
            output=place.output(),
            name=target.name or DEFAULT_NAME,
            overwrite=place.permission(),
            near=lambda: self._near,
            preview=True,
        )
        self._job = job
        self._labels = StoreLayer(
            self.viewer, source, f"{source.layer.name} {target.name or 'labels'}", job.level, parent=self
        )
        self._look()
        self._camera.start()
        # What lies there is being gone on with.
        place.state.clear()
        place.state.hide()
        self._progress = BlockProgress(self.controls, self._say)
        self.controls.start(
            lambda should_stop: _run(source, job, should_stop), self._take, self._end, self._fail, is_kept=True
        )

    @property
    def layer(self) -> Image | None:
        """The image that is segmented now."""
        return None if self.source is None else self.source.layer

    def close_down(self) -> None:
        """Show nothing any more."""
        self._camera.stop()
        if self._labels is not None:
            self._labels.stop()

    def over(self) -> None:
        """The run of the panel is over, however it ended."""
        self.close_down()
        if self.source is not None:
            self.source = None
            self.place.look_again()

    def _look(self) -> None:
        source = self.source
        if source is None or source.layer not in self.viewer.layers:
            return
        assert self._job is not None
        place = zip(source.axes, looked_at(self.viewer, source.layer), source.factors(self._job.level), strict=False)
        at = {letter: value / factor for letter, value, factor in place}
        self._near = tuple(at[letter] for letter in source.space)

    def _take(self, event: Any) -> None:
        assert self._labels is not None
        self._progress(event)
        match event:
            case BlocksStarted():
                self._show(event.labels)
            case BlockFinished() if not event.is_background:
                self._labels.look_soon()
            case BlocksShown() | Finishing():
                self._labels.look_soon()

    def _show(self, folder: Path) -> None:
        assert self._labels is not None
        self._labels.show(folder)
        self.begun.emit(self._labels.layer)

    def _end(self, ended: tuple[LargeResult, pd.DataFrame | None]) -> None:
        result, table = ended
        labels = self._labels
        assert labels is not None
        if result.stopped:
            left = (
                f"{result.n_missing} of {count(result.n_blocks, 'block')} left" if result.n_missing else "labels left"
            )
            labels.refresh()
            self.controls.say(f"Stopped: {left}; what is done stays, and Segment goes on from there.")
            return
        if labels.layer is None:
            self._show(result.labels)
        labels.refresh()
        labels.take_table(table)
        left_out = f", {result.n_left_out} left out by size or border" if result.n_left_out else ""
        spent = time.monotonic() - self._began
        self.controls.say(f"{count(result.n_objects, 'object')}{left_out} in {spent:.1f} s.")
        if result.n_background:
            self._say(
                Message(
                    f"{count(result.n_background, 'block')} of {result.n_blocks} skipped as nothing but background."
                )
            )
        self._say(Message(seam_words(result)))
        if result.table is not None:
            where = f"The table of objects is {result.table}."
            if result.n_objects > MOST_ROWS:
                where += f" It is too long for the layer, which takes {MOST_ROWS} rows."
            self._say(Message(where))
        self.shown.emit(labels.layer)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, AlreadyExists):
            # What can be done about it is asked here.
            found = f"{str(error).rpartition(';')[0] or error}."
            self.place.ask(found)
            self.controls.say("Nothing was changed; labels are there already.", is_wrong=True)
            return
        self.controls.fail(error)


def _run(
    source: Source, job: LargeJob, should_stop: Callable[[], bool]
) -> Generator[Any, None, tuple[LargeResult, pd.DataFrame | None]]:
    result = yield from predict_large(source.job(job), should_stop)
    return result, read_table(result.table, result.n_objects) if result.is_finished else None
