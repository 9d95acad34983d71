"""Accepted objects of a part of a large image, written into the labels of its store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.files.ngff import names_of_labels
from embedseg_napari.core.stores.labels import labels_place
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.large.annotated import write_accepted
from embedseg_napari.viewer.large.annotated_part import origin_of
from embedseg_napari.viewer.large.source import source_of
from embedseg_napari.viewer.large.store_layer import StoreLayer
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, button
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from embedseg_napari.core.files.picture import PartOf
    from embedseg_napari.core.stores.parts import WrittenPart
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.worker import BackgroundRun

NEW_NAME = "annotated"


class StoreBox(QWidget):
    """A list of label images, a button and a sentence; hidden where the image in front is no part of a store's.

    Parameters
    ----------
    layers : AnnotationLayers
        The annotation.
    """

    def __init__(self, layers: AnnotationLayers) -> None:
        super().__init__()
        self.layers = layers
        self.labels = ChoiceBox(tooltip="Labels in the image's store that the objects become part of.")
        self.write_button = button(
            "Write accepted",
            "Put the accepted objects into the store of the large image, in place: objects there that they cover give "
            "way, and they get numbers beyond the largest.",
            self.write,
        )
        self.said = Sentence()
        row = QHBoxLayout()
        row.addWidget(self.labels, 1)
        row.addWidget(self.write_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.said)
        self._run: BackgroundRun | None = None
        self._of: PartOf | None = None
        self.refresh()

    @property
    def is_busy(self) -> bool:
        """Whether objects are being written."""
        return self._run is not None

    def refresh(self) -> None:
        """Follow the image in front, and what is accepted in it."""
        origin = origin_of(self.layers.image)
        self.setVisible(origin is not None)
        if origin != self._of:
            self._of = origin
            self.said.clear()
            self._list()
        n = len(self.layers.accepted)
        self.write_button.setText(f"Write {count(n, 'accepted object')}" if n else "Write accepted")
        self.write_button.setEnabled(n > 0 and not self.is_busy)
        self.said.setVisible(bool(self.said.text()))

    def write(self) -> None:
        """Write what is accepted."""
        origin, annotation, name = self._of, self.layers.annotation(), self.labels.currentData()
        if origin is None or annotation is None or self.is_busy:
            return
        self.said.say("Writing…")
        labels, ids = annotation.labels, sorted(annotation.accepted_ids)
        self._run = run_in_background(
            lambda should_stop: write_accepted(origin.store, name, origin.start, labels, ids, should_stop),
            on_event=lambda event: self.said.say(f"Looking for the largest number: {event[0]} of {event[1]} blocks."),
            on_result=lambda written: self._written(origin, name, written),
            on_error=lambda error: self.said.say(str(error), is_wrong=True),
            on_finished=self._end,
        )
        self.refresh()

    def close_down(self) -> None:
        """Call nothing back any more."""
        if self._run is not None:
            self._run.detach()

    def _list(self) -> None:
        before = self.labels.currentData()
        with signals_blocked(self.labels):
            self.labels.clear()
            if self._of is None:
                return
            try:
                names = names_of_labels(self._of.store)
            except DataError:
                # Writing says what is wrong with it.
                names = ()
            for name in names:
                self.labels.addItem(f"into {name}", name)
            if NEW_NAME not in names:
                self.labels.addItem(f"into {NEW_NAME} (new)", NEW_NAME)
            self.labels.setCurrentIndex(max(0, self.labels.findData(before)))

    def _written(self, origin: PartOf, name: str, written: WrittenPart | None) -> None:
        if written is None:
            self.said.clear()
            return
        gone = f"; {count(written.n_changed, 'object')} gave way or lost pixels" if written.n_changed else ""
        self.said.say(f"Written into {name}: {count(written.n_new, 'new object')}{gone}.")
        self._list()
        self._show(origin, name)

    def _show(self, origin: PartOf, name: str) -> None:
        """Show the labels that were written to, over the whole image if that is still open."""
        for layer in self.layers.viewer.layers:
            try:
                source = source_of(layer, picture_of(layer).axes) if isinstance(layer, Image) else None
                if source is not None and source.store is not None and source.store.resolve() == origin.store.resolve():
                    labels = StoreLayer(self.layers.viewer, source, f"{layer.name} {name}", 0, self)
                    labels.show(labels_place(origin.store, name))
                    return
            except EmbedSegError as error:
                self.said.say(str(error), is_wrong=True)

    def _end(self) -> None:
        self._run = None
        self.refresh()
