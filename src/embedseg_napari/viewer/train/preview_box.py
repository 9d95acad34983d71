"""What is previewed while a model trains: an image, and if wanted the embeddings of a few pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.true_objects import MOST_OBJECTS, N_PIXELS
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.preview.keep_button import KeepButton
from embedseg_napari.viewer.preview.layer_by_layer import LayerByLayer
from embedseg_napari.viewer.preview.placement import trained_images
from embedseg_napari.viewer.preview.preview import TrainingView
from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.widgets.layer_box import LayerBox

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.jobs.preflight import Findings
    from embedseg_napari.viewer.train.pair_list import PairList

HELD_OUT = "a held-out or training image"
"""What is previewed where no layer is: a training image where none is held out."""
FOLLOW_MILLISECONDS = 700
"""How often the preview takes up where the viewer looks."""


class PreviewBox(QWidget):
    """Two switches, the list of images, and a sentence about what is seen or why there is nothing.

    Parameters
    ----------
    viewer : napari viewer
        Whose images can be previewed, and which shows the previews.
    pairs : PairList
        Images that are trained on, with their labels.
    """

    def __init__(self, viewer: napari.viewer.Viewer, pairs: PairList) -> None:
        super().__init__()
        self.pairs = pairs
        self.view = TrainingView(viewer)
        self.gradually = LayerByLayer(self.view, self)
        self.learns_from_layers = True
        self.fault = ""
        """Why the chosen image cannot be previewed."""
        self._proposed: Layer | None = None
        """What was chosen unasked; None stands for an image of the data set."""
        self._kind: tuple[int, int] | None = None
        """Spatial dimensions and channels of the network that trains, where they are known."""
        self._channel: OneChannel | None = None
        """The only channel of its images that it sees, or the mean of all."""
        self._watched: Layer | None = None
        """What was chosen last."""
        self.preview_on = QCheckBox("Live preview")
        self.preview_on.setChecked(True)
        self.preview_on.setToolTip(
            "Every few seconds, show what the current network makes of the part of the image in view: predicted "
            "labels, seeds and seed map. Takes at most a twentieth of the time."
        )
        self.image = LayerBox(viewer, Image, "Image to preview; the part in view is predicted.", HELD_OUT)
        self.embeddings_on = QCheckBox("Embeddings of a few pixels")
        self.embeddings_on.setToolTip(
            f"From the next preview on, show how the network learns: {N_PIXELS} pixels of each labelled object (plus "
            "signs), where they point now (dots, with a line between the two), the centre they shall point to "
            "(diamond), and the object's margin (ellipse): pixels that point into it are taken for the object's. "
            f"At most {MOST_OBJECTS} objects, those nearest to the middle of the view. The labels are only shown "
            "beside the prediction; it does not know them."
        )
        self.keep = KeepButton(self.view)
        self.hint = Sentence()
        self.hint.hide()
        first = QHBoxLayout()
        first.addWidget(self.preview_on)
        first.addWidget(self.image.native, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        second = QHBoxLayout()
        second.addWidget(self.embeddings_on, 1)
        second.addWidget(self.keep)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addWidget(self.hint)
        self.follow = QTimer(self)
        self.follow.setInterval(FOLLOW_MILLISECONDS)
        self.follow.timeout.connect(self._look)
        self.image.changed.connect(self._watch)
        self.preview_on.toggled.connect(self._switch_preview)
        self.embeddings_on.toggled.connect(self._switch_embeddings)
        self._watch()

    def begin(
        self,
        config: TrainingConfig,
        *,
        learns_from_layers: bool,
        findings: Findings | None = None,
        channel: OneChannel | None = None,
    ) -> None:
        """Get ready for a training; unless another image was chosen, one of those it is about is previewed.

        Parameters
        ----------
        config : TrainingConfig
            Its settings.
        learns_from_layers : bool
            Whether it learns from the pairs of layers.
        findings : Findings, optional
            What is known of the images that it learns from.
        channel : int or "mean", optional
            The only channel of them that it learns from, or the mean of all.
        """
        self.gradually.finish()
        self._kind = None if findings is None or not findings.ndim else (findings.ndim, findings.n_channels)
        self.learns_from_layers, self._channel = learns_from_layers, channel
        if self.image.layer() in (None, self._proposed):
            self._proposed = self.pairs.rows[0].image.layer() if learns_from_layers else None
            self.image.choose(self._proposed)
        self._watch()
        trained = {}
        if learns_from_layers:
            rows = self.pairs.rows
            trained = trained_images((row.pair(), row.image.layer(), row.reading()[0]) for row in rows)
        self.view.begin(config.center, trained)
        self.keep.setEnabled(False)
        self.follow.start()
        self._update_hint()

    def end(self) -> None:
        """Follow the viewer's eye no longer, and take the preview away unless it is all there is to see."""
        self.follow.stop()
        self._kind = self._channel = None
        if self.view.is_of_held_out:
            # It stays until the next training.
            self.gradually.finish()
        else:
            self.gradually.end()

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of the image."""
        if self.view.is_expected(event):
            self.gradually.show(event)
            self.keep.setEnabled(True)
        self._update_hint()

    def _look(self) -> None:
        self.view.update_part()
        self._update_hint()

    def _watch(self) -> None:
        layer = self.image.layer()
        if self.follow.isActive() and layer != self._watched:
            self.gradually.cancel()
            self.view.forget_preview()
            self.keep.setEnabled(False)
        self._watched = layer
        # The pairs say nothing of what is learned from a folder.
        rows = self.pairs.rows if self.learns_from_layers else []
        row = next((row for row in rows if row.image.layer() == layer), None)
        self.fault = ""
        try:
            if layer is None or not isinstance(layer, Image):
                self.view.watch(None)
            elif row is not None and row.labels.layer() is not None:
                self.view.watch(layer, *row.reading(), row.labels.layer())
            else:
                self._watch_unknown(layer)
        except DataError as error:
            self.view.watch(None)
            self.fault = str(error)
        self._update_hint()

    def _watch_unknown(self, layer: Image) -> None:
        """Preview an image that is not trained on, if the network can see it."""
        ndim, n_channels = self._kind or (None, 1)
        picture = picture_of(layer, ndim, n_channels)
        sizes = dict(zip(picture.axes, picture.array.shape, strict=True))
        is_flat = ndim == 2 and sizes.get("Z") == 1
        n = sizes.get("C", 1)
        channel = self._channel
        if n == 1 or (isinstance(channel, int) and channel >= n):
            channel = None
        if self._kind is not None and channel is None and n != n_channels:
            what = f"{layer.name} has {count(n, 'channel')}, and the network that trains sees {n_channels}"
        elif ndim == 2 and "Z" in sizes and not is_flat:
            what = f"{layer.name} is a volume, and the network that trains sees single planes"
        elif ndim == 3 and "Z" not in sizes:
            what = f"{layer.name} has no depth, and the network that trains sees volumes"
        else:
            self.view.watch(layer, picture.axes, channel, is_flat=is_flat)
            return
        raise DataError(f"{what}: {HELD_OUT} is previewed instead.")

    def _switch_preview(self, is_on: bool) -> None:
        self.view.is_on = is_on
        if not is_on:
            self.gradually.cancel()
            self.view.end()
        self._update_hint()

    def _switch_embeddings(self, is_on: bool) -> None:
        self.view.embeddings.switch(is_on)
        self._update_hint()

    def _update_hint(self) -> None:
        self.hint.setVisible(self.embeddings_on.isChecked() or bool(self.fault))
        self.hint.say(self.fault or self.view.embedding_hint(), is_wrong=bool(self.fault))
