"""Going through a sample: what is asked, and the keys and buttons that answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QProgressBar, QVBoxLayout, QWidget

from embedseg_napari.core.estimate.judgement import Answer
from embedseg_napari.core.estimate.sample import SampledObject
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.estimate.marks import JudgeMarks
from embedseg_napari.viewer.held_keys import HeldKeys
from embedseg_napari.viewer.widgets.boxes import Sentence, button

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Labels
    from napari.viewer import Viewer

    from embedseg_napari.core.estimate.judgement import Judgement

STEADY = 4
"""Pixels of the screen that the mouse moves in a click at most."""
LEFT_BUTTON = 1
ASKED = "Does the yellow outline hold one whole object, and little else?"
ASKED_IN_VOLUME = f"{ASKED} Look through its planes."
COUNT = (
    "Click on the middle of each object inside the yellow frame that has no outline, or a wrong one. Then, or if "
    "there is none: Next."
)
COUNT_IN_VOLUME = f"{COUNT} Look through all planes that have the frame."


class JudgeBox(QWidget):
    """A question, buttons and keys, while a sample is judged.

    Parameters
    ----------
    viewer : Viewer
        Where what is judged is shown.
    """

    changed = Signal()
    turned = Signal()
    """Judging begins, or is over."""
    """An answer was given or taken back, or judging began or ended."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.marks = JudgeMarks(viewer)
        self.judgement: Judgement | None = None
        self.missed: list[tuple[float, ...]] = []
        """Missed objects of the current area, (z, y, x) in pixels."""
        self._viewer_keys, self._layer_keys = HeldKeys(), HeldKeys()
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m")
        self.line = Sentence()
        self.note = Sentence()
        self.right = button(
            "Right (R)", "It is one object, whole, and the outline is about where it ends.", self.say_right
        )
        self.wrong = button(
            "Wrong (W)",
            "There is no object, or several, or a part of one; or less than half of what the outline and the object "
            "cover together is covered by both.",
            self.say_wrong,
        )
        self.next = button(
            "Next (N)", "All objects that are missed in this area are marked, or there is none.", self.go_on
        )
        self.unsure = button("Unsure (S)", "Leave it out: nobody could tell.", self.skip)
        self.undo = button("Undo (U)", "Take back the last mark, or the last answer.", self.take_back)
        self.here = button("Go there (G)", "Bring what is judged into view again.", self.look)
        self.keys: dict[str, Callable[[], None]] = {
            "R": self.say_right, "W": self.say_wrong, "N": self.go_on, "S": self.skip, "U": self.take_back,
            "Control-Z": self.take_back, "G": self.look, "A": self.mark_under_cursor,
        }  # fmt: skip
        grid = QGridLayout()
        for number, one in enumerate((self.right, self.wrong, self.next, self.unsure, self.undo, self.here)):
            grid.addWidget(one, number // 2, number % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        layout.addWidget(self.note)
        layout.addLayout(grid)
        self._show()

    @property
    def is_judging(self) -> bool:
        """Whether keys and clicks are answers now."""
        return self.marks.layer is not None

    def begin(self, judgement: Judgement, layer: Labels, axes: str) -> None:
        """Judge the sample of a layer whose array has these axes, from where the judgement stands."""
        self.end()
        self.judgement, self.missed = judgement, []
        self.marks.begin(layer, axes)
        self.turned.emit()
        # Keys of a layer come before those of the viewer: on tracked labels, N and U would correct links.
        self._viewer_keys.hold(self.viewer, self.keys)
        self._layer_keys.hold(layer, self.keys, alone=True)
        self.viewer.mouse_drag_callbacks.append(self._on_press)
        self._go_to_current()

    def end(self) -> None:
        """Judge no more for now; answers stay."""
        if not self.is_judging:
            return
        self.viewer.mouse_drag_callbacks.remove(self._on_press)
        self._layer_keys.release()
        self._viewer_keys.release()
        self.marks.end()
        self.turned.emit()
        self.missed = []
        self._show()
        self.changed.emit()

    # Answers

    def say_right(self) -> None:
        """The object is right."""
        self._answer_object(Answer(right=True))

    def say_wrong(self) -> None:
        """The object is wrong."""
        self._answer_object(Answer(right=False))

    def go_on(self) -> None:
        """All missed objects of the area are marked."""
        if self._is_object is False:
            self._answer(Answer(missed=tuple(self.missed)))
        elif self._is_object:
            self.note.say("This is an object: is it right (R) or wrong (W)?")

    def skip(self) -> None:
        """One cannot tell."""
        self._answer(Answer())

    def take_back(self) -> None:
        """Take back the last mark of this area, or the last answer."""
        if self.judgement is None or not self.is_judging:
            return
        if self.missed:
            self.missed.pop()
            self._show_missed()
            return
        answer = self.judgement.undo()
        self.missed = list((answer and answer.missed) or ())
        self._go_to_current()

    def look(self) -> None:
        """Bring what is judged into view."""
        step = self._step
        if step is not None:
            self.marks.go_to(step)

    def mark(self, position: Any) -> None:
        """Mark a missed object at a place of the world."""
        step = self._step
        if step is None or self._is_object is not False:
            return
        if self.viewer.dims.ndisplay == 3:
            self.note.say("Leave the 3D view first (Ctrl+Y): a click there has no depth.", True)
            return
        frame, point = self.marks.point_at(position)
        if frame != step.frame or not step.holds(point):
            self.note.say("Outside the frame: only objects whose middle lies inside are counted.", True)
            return
        self.missed.append(point)
        self._show_missed()

    def mark_under_cursor(self) -> None:
        """Mark a missed object where the mouse is."""
        self.mark(self.viewer.cursor.position)

    def _answer_object(self, answer: Answer) -> None:
        if self._is_object:
            self._answer(answer)
        elif self._is_object is False:
            self.note.say("This is an area: click on what is missed in it, then Next (N).")

    def _answer(self, answer: Answer) -> None:
        if self.judgement is None or self._step is None:
            return
        self.judgement.answer(answer)
        self.missed = []
        self._go_to_current()

    # What is shown

    @property
    def _step(self) -> Any:
        """What is judged now; None where nothing is."""
        return self.judgement.current if self.judgement is not None and self.is_judging else None

    @property
    def _is_object(self) -> bool | None:
        """Whether it is an object; None where it is neither that nor an area."""
        step = self._step
        return None if step is None else isinstance(step, SampledObject)

    def _go_to_current(self) -> None:
        step = self._step
        if step is None:
            self.marks.rest()
        else:
            self.marks.go_to(step)
            self.marks.show(step, self.missed)
        self._show()
        self.changed.emit()

    def _show_missed(self) -> None:
        step = self._step
        if step is not None:
            self.marks.show_missed(step, self.missed)
        self._show()

    def _show(self) -> None:
        """Say where the judgement stands."""
        judgement, is_object = self.judgement, self._is_object
        self.note.say(f"{count(len(self.missed), 'missed object')} marked." if self.missed else "")
        if judgement is None:
            return
        self.progress.setRange(0, len(judgement.steps))
        self.progress.setValue(len(judgement.answers))
        is_volume = "Z" in judgement.sample.axes
        if is_object:
            self.line.say(ASKED_IN_VOLUME if is_volume else ASKED)
        elif is_object is False:
            self.line.say(COUNT_IN_VOLUME if is_volume else COUNT)
        elif judgement.current is None:
            self.line.say("All of the sample is judged.")
        else:
            self.line.say("Paused.")
        for one, can_be_done in (
            (self.right, is_object is True),
            (self.wrong, is_object is True),
            (self.next, is_object is False),
            (self.unsure, is_object is not None),
            (self.here, is_object is not None),
            (self.undo, self.is_judging and bool(judgement.answers or self.missed)),
        ):
            one.setEnabled(can_be_done)

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Mark what is clicked on; moving the view, or working with another tool, is none."""
        start, is_left = np.asarray(event.pos), event.button == LEFT_BUTTON
        yield
        while event.type == "mouse_move":
            if np.abs(np.asarray(event.pos) - start).max() > STEADY:
                return
            yield
        active = self.viewer.layers.selection.active
        if is_left and str(getattr(active, "mode", "pan_zoom")) == "pan_zoom":
            self.mark(event.position)
