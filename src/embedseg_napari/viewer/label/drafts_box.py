"""Labels of another program, or of a layer, taken as drafts: a list, a button and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from embedseg_napari.core.axes import result_axes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import Message
from embedseg_napari.core.exchange.export import ANNOTATIONS
from embedseg_napari.core.files.formats import readable
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.jobs.drafts import DraftRequest, find_drafts
from embedseg_napari.viewer.labelled_images import turned_labels
from embedseg_napari.viewer.layers import TIME_POINT, is_users_or_found
from embedseg_napari.viewer.widgets.boxes import button
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.worker import report_error, report_message, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.review.queue import ReviewQueue
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.worker import BackgroundRun

FILE = "a file…"
READING = "Reading drafts…"
TIP = (
    "Labels of this image that were made elsewhere: a label image, ROIs of ImageJ, GeoJSON of QuPath, COCO, or a "
    "Labels layer. They are shown to be accepted, corrected or deleted one by one, the most doubtful first; training "
    "learns from what is accepted."
)


class DraftsBox(QWidget):
    """Chooses drafts and reads them in a thread.

    Parameters
    ----------
    layers : AnnotationLayers
        The image that they belong to.
    model : callable
        A model that fits the image, or None: drafts that it does not find are more doubtful.
    device : callable
        Where to compute.
    """

    found = Signal(object)
    """A :class:`ReviewQueue` of the image in front."""

    def __init__(self, layers: AnnotationLayers, model: Callable[[], Path | None], device: Callable[[], str]) -> None:
        super().__init__()
        self.layers, self.model, self.device = layers, model, device
        self.search: BackgroundRun | None = None
        self.source = LayerBox(layers.viewer, Labels, TIP, FILE, is_users_or_found)
        self.load = button("Load drafts", TIP, self.choose)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.load)
        row.addWidget(self.source.native, 1)
        layers.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Offer drafts where there is an annotation."""
        is_busy = self.search is not None and self.search.is_active
        self.load.setEnabled(self.layers.labels is not None and not is_busy)
        self.load.setText(READING if is_busy else "Load drafts")

    def choose(self) -> None:
        """Take the chosen layer, or ask for a file."""
        layer = self.source.layer()
        if layer is not None:
            self.take_layer(layer)
            return
        endings = " ".join(f"*{ending}" for ending in dict.fromkeys((*readable(), *ANNOTATIONS)))
        name, _ = QFileDialog.getOpenFileName(self, "Load drafts", "", f"Labels and outlines ({endings})")
        if name:
            self.take_file(Path(name))

    def take_file(self, path: Path) -> None:
        """Read drafts from a file."""
        self._start(path, path.name)

    def take_layer(self, layer: Labels) -> None:
        """Take the objects of a layer, which is hidden: they are seen as drafts."""
        own = result_axes(self.layers.axes)
        try:
            array = turned_labels(layer, own, "the image")
        except EmbedSegError as error:
            report_error(error)
            return
        layer.visible = False
        self._start(array, layer.name, own if array.ndim == len(own) else "")

    def _start(self, labels: Any, name: str, axes: str = "") -> None:
        image, annotated = self.layers.image, self.layers.labels
        if image is None or annotated is None or (self.search is not None and self.search.is_active):
            return
        frame = image.metadata.get(TIME_POINT)
        request = DraftRequest(
            labels,
            name,
            to_frame(self.layers.picture),
            image.name,
            self.layers.array().copy(),
            axes,
            frame=None if frame is None else int(str(frame).split()[1]),
            model=self.model(),
            device=self.device(),
        )

        def take(queue: ReviewQueue) -> None:
            if self.layers.image == image and self.layers.labels == annotated:
                self.found.emit(queue)

        def tell(event: Any) -> None:
            if isinstance(event, Message):
                report_message(event)

        self.search = run_in_background(
            lambda should_stop: find_drafts(request, should_stop),
            on_event=tell,
            on_result=take,
            on_finished=self.refresh,
        )
        self.refresh()

    def close_down(self) -> None:
        """Read no longer."""
        if self.search is not None:
            self.search.detach()
