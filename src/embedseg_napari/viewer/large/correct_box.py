"""To correct labels in a store: what is in view opens as an ordinary layer, and is written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.wording import shape_words
from embedseg_napari.viewer.large.open_parts import open_parts_of
from embedseg_napari.viewer.large.part import place_in_view, show_part, store_layer
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.widgets.boxes import Sentence, button, short
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.viewer.large.part import Part, Place
    from embedseg_napari.viewer.worker import BackgroundRun


class CorrectBox(QWidget):
    """Two buttons and a sentence; hidden where no layer shows labels of a store.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are corrected.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.open_parts = open_parts_of(viewer)
        self._run: BackgroundRun | None = None
        self.open_button = button(
            "Correct what is in view",
            "Open this part of the labels as an ordinary layer that can be painted on; the store stays as it is until "
            "it is written back.",
            self.open,
        )
        self.write_button = button(
            "Write back", "Put the part that you changed into the store, in all resolutions.", self.write
        )
        self.said = Sentence()
        row = QHBoxLayout()
        row.addWidget(self.open_button, 1)
        row.addWidget(self.write_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.said)
        self.open_parts.said.connect(self._say)
        self.open_parts.changed.connect(self._show)
        self.open_parts.is_heard = True
        viewer.layers.events.inserted.connect(self._show)
        viewer.layers.events.removed.connect(self._show)
        viewer.layers.selection.events.active.connect(self._show)
        self._show()

    @property
    def is_busy(self) -> bool:
        """Whether something is being read or written."""
        return self._run is not None or self.open_parts.is_busy

    @property
    def part(self) -> Part | None:
        """The part that is written back: the selected one, or else the one that was opened last."""
        active = self.viewer.layers.selection.active
        parts = self.open_parts.parts
        chosen = [part for part in parts if part.layer == active] or parts
        return chosen[-1] if chosen else None

    def open(self) -> None:
        """Open what is in view of the labels of a store."""
        labels = store_layer(self.viewer)
        if labels is None or self.is_busy:
            return

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, tuple[Place, NDArray[Any]]]:
            yield None
            return place, place.read()

        try:
            place = place_in_view(self.viewer, labels)
        except EmbedSegError as error:
            self._fail(error)
            self._show()
            return
        self.said.say("Reading…")
        self._run = run_in_background(
            run, on_result=lambda found: self._take(labels, *found), on_error=self._fail, on_finished=self._end
        )
        self._show()

    def write(self) -> None:
        """Put the part into the store."""
        part = self.part
        if part is not None and not self.is_busy:
            self.open_parts.write(part)

    def close_down(self) -> None:
        """Follow the viewer no longer; what is being written is, and parts stay open."""
        if self._run is not None:
            self._run.detach()
        self.open_parts.is_heard = False
        self.open_parts.said.disconnect(self._say)
        self.open_parts.changed.disconnect(self._show)
        self.viewer.layers.events.inserted.disconnect(self._show)
        self.viewer.layers.events.removed.disconnect(self._show)
        self.viewer.layers.selection.events.active.disconnect(self._show)

    def _take(self, labels: Labels, place: Place, before: NDArray[Any]) -> None:
        if not is_shown(self.viewer, labels):
            self.said.clear()
            return
        part = show_part(self.viewer, labels, place, before)
        self.open_parts.parts.append(part)
        # What is erased would still be seen there.
        labels.visible = False
        self.viewer.layers.selection.active = part.layer
        size = shape_words(part.place.shape)
        cut = "the middle of the view, " if place.is_cut else ""
        self.said.say(f"{short(part.layer.name)} shows {cut}{size} pixels. Paint on it, then write it back.")

    def _say(self, text: str, is_wrong: bool) -> None:
        self.said.say(text, is_wrong)
        self.said.setVisible(bool(text))

    def _fail(self, error: Exception) -> None:
        self.said.say(str(error), is_wrong=True)

    def _end(self) -> None:
        self._run = None
        self._show()

    def _show(self, event: object = None) -> None:
        self.setVisible(bool(self.open_parts.parts) or store_layer(self.viewer) is not None)
        self.open_button.setEnabled(not self.is_busy)
        self.write_button.setEnabled(not self.is_busy)
        self.write_button.setVisible(bool(self.open_parts.parts))
        self.said.setVisible(bool(self.said.text()))
