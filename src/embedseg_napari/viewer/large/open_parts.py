"""The parts of labels in stores that are open in a viewer, and what is being written back, whatever panel is open."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from embedseg_napari.core.stores.parts import numbers_now
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.large.store_layer import layer_of
from embedseg_napari.viewer.result_layers import is_shown, replace_pixels
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.stores.parts import WrittenPart
    from embedseg_napari.viewer.large.part import Part
    from embedseg_napari.viewer.worker import BackgroundRun


class OpenParts(QObject):
    """The parts of one viewer; a panel that closes neither forgets them nor stops what is being written.

    Parameters
    ----------
    viewer : weak reference to a napari viewer
        Where they are open.
    """

    changed = Signal()
    """A part is gone, or something begins or ends to be written."""
    said = Signal(str, bool)
    """A sentence, and whether something is wrong."""

    def __init__(self, viewer: weakref.ReferenceType[Viewer]) -> None:
        super().__init__()
        self.viewer = viewer
        self.parts: list[Part] = []
        """The latest last."""
        self.is_heard = False
        """Whether a panel shows what is said."""
        self._run: BackgroundRun | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being written."""
        return self._run is not None

    def write(self, part: Part) -> None:
        """Put a part into its store."""
        if self.is_busy:
            return
        if not part.has_changes:
            self.said.emit("Nothing was changed in this part.", False)
            return
        after = np.array(part.layer.data)
        self.said.emit("Writing…", False)
        self._run = run_in_background(
            lambda should_stop: part.write(after, should_stop),
            on_event=self._tell,
            on_result=lambda written: self._written(part, after, written),
            on_error=self._fail,
            on_finished=self._end,
        )
        self.changed.emit()

    def take_removed(self, event: object = None) -> None:
        """Forget parts whose layers are gone; labels of which none is open any more are seen again."""
        viewer = self.viewer()
        if viewer is None:
            return
        gone = [part for part in self.parts if not is_shown(viewer, part.layer)]
        self.parts = [part for part in self.parts if part not in gone]
        for part in gone:
            labels = layer_of(viewer, part.place.store.folder)
            if labels is not None and all(one.place.store != part.place.store for one in self.parts):
                labels.visible = True
        if gone:
            self.changed.emit()

    def _tell(self, event: Any) -> None:
        done, of = event
        self.said.emit(f"Looking for the largest number: {done} of {count(of, 'block')}.", False)

    def _written(self, part: Part, after: NDArray[Any], written: WrittenPart | None) -> None:
        viewer = self.viewer()
        if written is None or viewer is None:
            self.said.emit("", False)
            return
        part.before = written.labels.reshape(after.shape)
        if is_shown(viewer, part.layer) and not np.array_equal(part.before, after):
            # What was painted while it was being written is kept, and not in the store yet.
            layer, now = part.layer, np.array(part.layer.data)
            is_newer = now != after
            *newer, selected = numbers_now([*now[is_newer], layer.selected_label], after, part.before)
            shown = part.before.copy()
            shown[is_newer] = newer
            replace_pixels(layer, shown)
            layer.selected_label = selected
        labels = layer_of(viewer, part.place.store.folder)
        if labels is not None:
            labels.refresh(extent=False)
        text = f"Written: {count(written.n_changed, 'object')} changed, {written.n_new} new."
        if written.n_reaching_out:
            text += f" Beyond this part nothing was changed, where {written.n_reaching_out} of them go on."
        if labels is not None and len(labels.features):
            text += " The table of objects is still that of the run."
        self.said.emit(text, False)

    def _fail(self, error: Exception) -> None:
        if not self.is_heard:
            show_error(str(error))
        self.said.emit(str(error), True)

    def _end(self) -> None:
        self._run = None
        self.changed.emit()


_open: weakref.WeakKeyDictionary[Viewer, OpenParts] = weakref.WeakKeyDictionary()


def open_parts_of(viewer: Viewer) -> OpenParts:
    """The parts that are open in a viewer."""
    # Plugins get a new proxy of the viewer each time.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _open:
        _open[viewer] = OpenParts(weakref.ref(viewer))
        viewer.layers.events.removed.connect(_open[viewer].take_removed)
    return _open[viewer]
