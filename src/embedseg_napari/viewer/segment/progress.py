"""How far a segmentation is, on the bar of its panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.events import ClusteringStarted, FrameFinished, Message, PredictionStarted, TileFinished
from embedseg_napari.jobs.segment import ModelLoaded
from embedseg_napari.viewer.widgets.time_left import TimeLeft

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.viewer.widgets.run_controls import RunControls


class SegmentProgress:
    """Shows the events of :func:`segment_job.segment`.

    Parameters
    ----------
    controls : RunControls
        Whose bar and status line tell them.
    say : callable
        Shows a message.
    """

    def __init__(self, controls: RunControls, say: Callable[[Message], None]) -> None:
        self.controls, self.bar, self._say = controls, controls.progress, say
        self._n_tiles = self._n_frames = 1
        self._time_left = TimeLeft()

    def __call__(self, event: Any) -> None:
        """Show one event."""
        match event:
            case Message():
                self._say(event)
            case ModelLoaded():
                self.controls.say(f"Segmenting on {event.device}…")
            case PredictionStarted():
                self._n_tiles, self._n_frames = event.n_tiles, event.n_frames
                self._time_left.begin()
                self.bar.setRange(0, event.n_tiles * event.n_frames)
                self.bar.setValue(0)
                self._show_tile(0, 0)
            case TileFinished():
                self._show_tile(event.frame, event.tile)
            case ClusteringStarted():
                self.bar.setFormat(f"{self._frame_text(event.frame)}Collecting objects")
            case FrameFinished():
                self.bar.setValue((event.frame + 1) * self._n_tiles)

    def _show_tile(self, frame: int, tile: int) -> None:
        done = frame * self._n_tiles + tile
        left = self._time_left.text(done / (self._n_tiles * self._n_frames))
        self.bar.setValue(done)
        self.bar.setFormat(f"{self._frame_text(frame)}Tile {tile} of {self._n_tiles}{left}")

    def _frame_text(self, frame: int) -> str:
        return f"Frame {frame + 1} of {self._n_frames}: " if self._n_frames > 1 else ""
