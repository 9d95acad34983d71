"""What the network finds in the image that is annotated, while a round trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from embedseg_napari.viewer.preview.keep_button import KeepButton
from embedseg_napari.viewer.preview.layer_by_layer import LayerByLayer
from embedseg_napari.viewer.preview.preview import TrainingView

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from embedseg_napari.core.events import PreviewReady


class LivePreview(QWidget):
    """The switch, and the button that keeps what was shown.

    Parameters
    ----------
    viewer : napari viewer
        Where previews are shown.
    on_layer : callable
        Called after each layer: the annotation stays on top.
    """

    def __init__(self, viewer: Viewer, on_layer: Callable[[], object]) -> None:
        super().__init__()
        self.view = TrainingView(viewer)
        self.gradually = LayerByLayer(self.view, self, on_layer)
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

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of the part in view, under the annotation."""
        self.gradually.show(event)
        self.keep.setEnabled(True)

    def _switch(self, is_on: bool) -> None:
        self.view.is_on = is_on
