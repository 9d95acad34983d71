"""Links corrected by hand: two objects are chosen by a click, and linked, divided or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import AnnotationError, EmbedSegError
from embedseg_napari.core.tracking.corrections import CorrectedTracks
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.camera import to_pixel, value_at
from embedseg_napari.viewer.held_keys import HeldKeys
from embedseg_napari.viewer.widgets.boxes import Sentence, button

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.layers import Labels

    from embedseg_napari.core.tracking.tracks import Tracks
    from embedseg_napari.viewer.track.track_layers import TrackLayers

STEADY = 4
"""Pixels of the screen that the mouse moves in a click at most."""
HINT = "Click on an object, step to another frame, and click on the one that it becomes."


class CorrectBox(QWidget):
    """Buttons and keys that correct links.

    Parameters
    ----------
    layers : TrackLayers
        Where tracks are shown.
    """

    changed = Signal()
    """Tracks were corrected, or a correction undone."""

    def __init__(self, layers: TrackLayers) -> None:
        super().__init__()
        self.layers = layers
        self.corrected: CorrectedTracks | None = None
        self.chosen: list[int] = []
        """Rows of the objects, the one that was clicked on last at the end; two at most."""
        self._followed: Labels | None = None
        self._keys, self._is_front = HeldKeys(), True
        self._at = -1
        """The loose end that was shown last."""
        self.link_button = button(
            "Link (L)", "The earlier of the two chosen objects becomes the later one, and nothing else.", self.link
        )
        self.divide_button = button(
            "Divide (D)",
            "The later of the two chosen objects is a daughter of the earlier one, beside what that becomes already.",
            self.divide,
        )
        self.cut_button = button("Cut (C)", "A track begins with the object that was chosen last.", self.cut)
        self.undo_button = button("Undo (U)", "Take back the last correction.", self.undo)
        self.next_button = button(
            "Next (N)",
            "Go to the next object that comes from nowhere after the first frame, or becomes nothing before the last.",
            self.go_on,
        )
        self.keys: dict[str, Callable[[], None]] = {
            "L": self.link, "D": self.divide, "C": self.cut, "U": self.undo, "Control-Z": self.undo,
            "N": self.go_on, "Escape": lambda: self.choose([]),
        }  # fmt: skip
        self.line = Sentence(HINT)
        grid = QGridLayout()
        for number, one in enumerate((self.link_button, self.divide_button, self.cut_button, self.undo_button)):
            grid.addWidget(one, number // 2, number % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        grid.addWidget(self.next_button, 2, 0, 1, 2)
        layout.addLayout(grid)

    def take(self, tracks: Tracks, corrections: Sequence[dict[str, Any]] = ()) -> int:
        """Correct new tracks, whose layers are shown.

        Corrections of earlier tracks of the same labels are made again; returns how many are not, because their objects
        are no longer there or are linked in another way.
        """
        self.corrected, self._at = CorrectedTracks(tracks), -1
        n_lost = 0
        for one in corrections:
            try:
                self.corrected.replay([one])
            except AnnotationError:
                n_lost += 1
        if self.corrected.n_steps:
            self.layers.update(self.corrected.tracks)
        self._follow(self.layers.labels)
        self.choose([])
        return n_lost

    def drop(self) -> None:
        """Correct nothing any more."""
        self.corrected, self.chosen = None, []
        self._follow(None)

    def take_front(self, is_front: bool) -> None:
        """Leave keys and clicks to other panels while they are in front."""
        self._is_front = is_front
        self._follow(None if self.corrected is None else self.layers.labels)
        self.layers.show_marks(is_front)

    def choose(self, rows: list[int]) -> None:
        """Choose objects, by their rows."""
        self.chosen = rows[-2:]
        self.layers.mark(self.chosen)
        self._show()

    def link(self) -> None:
        """Link the two chosen objects."""
        self._change("link", 2)

    def divide(self) -> None:
        """Make the later object a daughter of the earlier one."""
        self._change("divide", 2)

    def cut(self) -> None:
        """Let a track begin with the object chosen last."""
        self._change("cut", 1)

    def undo(self) -> None:
        """Take back the last correction."""
        self._change("undo", 0)

    def go_on(self) -> None:
        """Choose the next loose end after the object that was chosen last, and bring it into view."""
        if self.corrected is None:
            return
        ends = self.corrected.tracks.loose_ends().tolist()
        if not ends:
            self.line.say("No loose ends: tracks begin and end in the first frame, the last one, or a division.")
            return
        self._at = next((row for row in ends if row > self._at), ends[0])
        self.choose([self._at])
        self.layers.go_to(self._at)

    def _change(self, name: str, n: int) -> None:
        # Keys come here also while the labels are no longer those that were linked.
        if self.corrected is None or not self.isEnabled():
            return
        if len(self.chosen) < n:
            self.line.say(
                "Choose two objects of different frames first." if n == 2 else "Choose an object first.", True
            )
            return
        try:
            getattr(self.corrected, name)(*self.chosen[-n:] if n else ())
            self.layers.update(self.corrected.tracks)
        except EmbedSegError as error:
            self.line.say(str(error), True)
            return
        self.choose([])
        self.changed.emit()

    def _show(self) -> None:
        corrected = self.corrected
        if corrected is None:
            return
        tracks = corrected.tracks
        within = self.layers.within
        first = 0 if within is None else within.start.get("T", 0)
        words = [f"track {tracks.track[row]} in frame {tracks.frame[row] + first}" for row in self.chosen]
        done = f" {count(corrected.n_steps, 'correction')} made." if corrected.n_steps else ""
        self.line.say(f"Chosen: {' and '.join(words)}." if words else HINT + done)
        self.link_button.setEnabled(len(words) == 2)
        self.divide_button.setEnabled(len(words) == 2)
        self.cut_button.setEnabled(bool(words))
        self.undo_button.setEnabled(corrected.n_steps > 0)

    def _follow(self, layer: Labels | None) -> None:
        if self._followed is not None:
            self._followed.mouse_drag_callbacks.remove(self._on_press)
            self._keys.release()
        self._followed = layer if self._is_front else None
        if self._followed is not None:
            self._followed.mouse_drag_callbacks.append(self._on_press)
            self._keys.hold(self._followed, self.keys)

    def _on_press(self, layer: Labels, event: Any) -> Iterator[None]:
        """Choose the object under a click; moving the view is none."""
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            if np.abs(np.asarray(event.pos) - start).max() > STEADY:
                return
            yield
        self.click(event.position, event.view_direction, event.dims_displayed)

    def click(self, position: Any, direction: Any = None, displayed: Any = None) -> None:
        """Choose the object at a place of the world, seen from a direction in 3D."""
        layer, corrected = self._followed, self.corrected
        if layer is None or corrected is None:
            return
        number = value_at(self.layers.viewer, layer, position, direction, displayed)
        frame = round(float(to_pixel(self.layers.viewer, layer, position)[0]))
        row = corrected.tracks.row_in_track(frame, int(number)) if number else None
        if row is None:
            self.choose([])
        elif row not in self.chosen:
            self.choose([*self.chosen, row])
