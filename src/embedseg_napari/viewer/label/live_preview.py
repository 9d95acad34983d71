"""What the network finds in the image that is annotated, while a round trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from embedseg_napari.viewer.camera import leave_no_gap
from embedseg_napari.viewer.preview.keep_button import KeepButton
from embedseg_napari.viewer.preview.layer_by_layer import LayerByLayer
from embedseg_napari.viewer.preview.preview import TrainingView

if TYPE_CHECKING:
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers


class LivePreview(QWidget):
    """The switch, and the button that keeps what was shown.

    Parameters
    ----------
    layers : AnnotationLayers
        The image in front and its annotation, which stays on top.
    """

    def __init__(self, layers: AnnotationLayers) -> None:
        super().__init__()
        self.layers = layers
        # An image that is not in front is not looked at, and of a movie nothing is known but single frames.
        self.view = TrainingView(layers.viewer, takes_held_out=False)
        self.gradually = LayerByLayer(self.view, self, layers.raise_to_top)
        self.preview_on = QCheckBox("Live preview")
        self.preview_on.setChecked(True)
        self.preview_on.setToolTip(
            "Every few seconds, show what the current network finds in the region in view, below your labels."
        )
        self.keep = KeepButton(self.view)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.preview_on, 1)
        row.addWidget(self.keep)
        self.preview_on.toggled.connect(self._switch)

    def begin(self, center: CenterKind) -> None:
        """Get ready for a round; `center` is what pixels learn to point to."""
        self.gradually.finish()
        self._watch(is_trained=True)
        self.view.begin(center)
        if self.layers.image is not None and self.layers.frame is not None:
            # Whoever painted a corner has done so; what is previewed and found is looked at now.
            leave_no_gap(self.view.viewer, self.layers.image)
        self.keep.setEnabled(False)

    def follow(self, *, is_trained: bool) -> None:
        """Another image came to the front while a round trains: nothing of the one before is seen on it.

        Parameters
        ----------
        is_trained : bool
            Whether the network that trains is one for such images.
        """
        self.gradually.cancel()
        self.view.forget_preview()
        self.keep.setEnabled(False)
        self._watch(is_trained=is_trained)

    def _watch(self, *, is_trained: bool) -> None:
        image = self.layers.image if is_trained and self.layers.frame is not None else None
        self.view.watch(image, self.layers.axes, truth=self.layers.labels)

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of the part in view, under the annotation."""
        if self.view.is_expected(event):
            self.gradually.show(event)
            self.keep.setEnabled(True)

    def _switch(self, is_on: bool) -> None:
        self.view.is_on = is_on
