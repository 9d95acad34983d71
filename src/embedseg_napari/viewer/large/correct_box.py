"""To correct labels in a store: what is in view opens as an ordinary layer, and is written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.wording import count, shape_words
from embedseg_napari.viewer.large.part import place_in_view, show_part, store_layer
from embedseg_napari.viewer.large.store_layer import layer_of
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.widgets.boxes import Sentence, button, short
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.stores.parts import WrittenPart
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
        self.parts: list[Part] = []
        """Those that are open, the latest last."""
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
        viewer.layers.events.inserted.connect(self._show)
        viewer.layers.events.removed.connect(self._show)
        viewer.layers.selection.events.active.connect(self._show)
        self._show()

    @property
    def is_busy(self) -> bool:
        """Whether something is being read or written."""
        return self._run is not None

    @property
    def part(self) -> Part | None:
        """The part that is written back: the selected one, or else the one that was opened last."""
        active = self.viewer.layers.selection.active
        chosen = [part for part in self.parts if part.layer == active] or self.parts
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
        if part is None or self.is_busy:
            return
        if not part.has_changes:
            self.said.say("Nothing was changed in this part.")
            self._show()
            return
        after = np.array(part.layer.data)
        self.said.say("Writing…")
        self._run = run_in_background(
            lambda should_stop: part.write(after, should_stop),
            on_event=self._tell,
            on_result=lambda written: self._written(part, after, written),
            on_error=self._fail,
            on_finished=self._end,
        )
        self._show()

    def close_down(self) -> None:
        """Follow the viewer no longer; what is being written is."""
        if self._run is not None:
            self._run.detach()
        self.viewer.layers.events.inserted.disconnect(self._show)
        self.viewer.layers.events.removed.disconnect(self._show)
        self.viewer.layers.selection.events.active.disconnect(self._show)

    def _take(self, labels: Labels, place: Place, before: NDArray[Any]) -> None:
        if not is_shown(self.viewer, labels):
            self.said.clear()
            return
        part = show_part(self.viewer, labels, place, before)
        self.parts.append(part)
        # What is erased would still be seen there.
        labels.visible = False
        self.viewer.layers.selection.active = part.layer
        size = shape_words(part.place.shape)
        cut = "the middle of the view, " if place.is_cut else ""
        self.said.say(f"{short(part.layer.name)} shows {cut}{size} pixels. Paint on it, then write it back.")

    def _tell(self, event: Any) -> None:
        done, of = event
        self.said.say(f"Looking for the largest number: {done} of {count(of, 'block')}.")

    def _written(self, part: Part, after: NDArray[Any], written: WrittenPart | None) -> None:
        if written is None:
            self.said.clear()
            return
        part.before = written.labels.reshape(after.shape)
        if is_shown(self.viewer, part.layer):
            # What was painted while it was being written is kept, and not in the store yet.
            now = np.array(part.layer.data)
            is_newer = now != after
            shown = part.before.copy()
            shown[is_newer] = now[is_newer]
            part.layer.data = shown
        labels = layer_of(self.viewer, part.place.store.folder)
        if labels is not None:
            labels.refresh(extent=False)
        text = f"Written: {count(written.n_changed, 'object')} changed, {written.n_new} new."
        if written.n_reaching_out:
            text += f" Beyond this part nothing was changed, where {written.n_reaching_out} of them go on."
        if labels is not None and len(labels.features):
            text += " The table of objects is still that of the run."
        self.said.say(text)

    def _fail(self, error: Exception) -> None:
        self.said.say(str(error), is_wrong=True)

    def _end(self) -> None:
        self._run = None
        self._show()

    def _show(self, event: object = None) -> None:
        gone = [part for part in self.parts if not is_shown(self.viewer, part.layer)]
        self.parts = [part for part in self.parts if part not in gone]
        for part in gone:
            labels = layer_of(self.viewer, part.place.store.folder)
            if labels is not None and all(one.place.store != part.place.store for one in self.parts):
                labels.visible = True
        self.setVisible(bool(self.parts) or store_layer(self.viewer) is not None)
        self.open_button.setEnabled(not self.is_busy)
        self.write_button.setEnabled(not self.is_busy)
        self.write_button.setVisible(bool(self.parts))
        self.said.setVisible(bool(self.said.text()))
