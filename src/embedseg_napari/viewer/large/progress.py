"""How far a run over blocks is, on the bar of its panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.events import Message
from embedseg_napari.core.wording import count, duration
from embedseg_napari.jobs.large.run import BlockFinished, BlocksStarted, Finishing

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.viewer.widgets.run_controls import RunControls


class BlockProgress:
    """Shows the events of a run over blocks.

    Parameters
    ----------
    controls : RunControls
        Whose bar and status line tell them.
    say : callable
        Shows a message.
    """

    def __init__(self, controls: RunControls, say: Callable[[Message], None]) -> None:
        self.controls, self.bar, self._say = controls, controls.progress, say
        self._before = 0

    def __call__(self, event: Any) -> None:
        """Show one event."""
        match event:
            case Message():
                self._say(event)
            case BlocksStarted():
                self._before = event.n_blocks - event.n_wanted
                self.bar.setRange(0, event.n_blocks)
                self.bar.setValue(self._before)
                self.bar.setFormat(f"Block {self._before} of {event.n_blocks}")
                before = f"; {event.n_done} of them done before" if event.n_done else ""
                self.controls.say(f"Segmenting {count(event.n_blocks, 'block')}{before}…")
            case BlockFinished():
                done, of = self._before + event.done, self._before + event.n_wanted
                left = f"  ·  {duration(event.seconds_left)} left" if event.done < event.n_wanted else ""
                self.bar.setValue(done)
                self.bar.setFormat(f"Block {done} of {of}{left}")
            case Finishing():
                self.bar.setRange(0, event.of)
                self.bar.setValue(event.done)
                self.bar.setFormat("Writing labels")
