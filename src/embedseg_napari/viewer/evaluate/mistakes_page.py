"""The mistakes of an evaluation: a layer that colours them, and a table whose rows lead to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.evaluation.diagnosis import Kind
from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.camera import go_to, screen_pixels, show_whole, to_world
from embedseg_napari.viewer.evaluate.error_overlay import LAYER_NAME, Legend, colormap, mark_names
from embedseg_napari.viewer.evaluate.source import MISTAKES
from embedseg_napari.viewer.evaluate.tables import FindingTable
from embedseg_napari.viewer.layers import ANNOTATION, RESULT
from embedseg_napari.viewer.neighbours import image_below
from embedseg_napari.viewer.pixel_changes import PixelChanges
from embedseg_napari.viewer.result_layers import boxes_around, followed_frame, is_shown, show_labels, show_shapes
from embedseg_napari.viewer.stage import Scene, stage_of
from embedseg_napari.viewer.step_back import SteppedBack
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari.components import LayerList
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.evaluation.diagnosis import Finding
    from embedseg_napari.jobs.evaluate import Evaluation
    from embedseg_napari.viewer.result_layers import Frame

FAINT = 0.15
"""Opacity of what is compared while mistakes are shown over it."""
HERE = f"{LAYER_NAME}: here"
LINE = 2
"""Width in pixels of the screen of that frame, at the zoom of the jump."""
MARGIN = 2
"""Pixels between an object and the frame around it."""


class ComparedLayers:
    """Truth and prediction of an evaluation, whose changes are followed as long as this is kept.

    Parameters
    ----------
    truth, predicted : Labels
        What is compared.
    axes : str
        Those of the prediction.
    layers : LayerList
        Those of the viewer; one of them may say what is fully annotated, which counts where the truth is an annotation.
    """

    def __init__(self, truth: Labels, predicted: Labels, axes: str, layers: LayerList) -> None:
        self.layers = truth, predicted
        self._frame = followed_frame(predicted, axes)
        self.is_old = False
        """Whether labels have changed since."""
        self.on_change: Callable[[], None] = lambda: None
        self._followed = [PixelChanges(self._note_change) for _ in self.layers]
        for changes, layer in zip(self._followed, self.layers, strict=True):
            changes.follow(layer)
        self._image = truth.metadata.get(ANNOTATION)
        for layer in filter(self._is_area, layers):
            layer.events.data.connect(self._note_change)
        layers.events.inserted.connect(self._follow_areas)
        layers.events.removed.connect(self._follow_areas)

    def _is_area(self, layer: Layer) -> bool:
        return isinstance(layer, Shapes) and self._image is not None and layer.metadata.get(ANNOTATION) == self._image

    def _follow_areas(self, event: Any) -> None:
        """A layer came or went."""
        if not self._is_area(event.value):
            return
        if event.type == "inserted":
            event.value.events.data.connect(self._note_change)
        if len(event.value.data):
            self._note_change()

    @property
    def frame(self) -> Frame:
        """Where the prediction lies now: a pixel size may be typed later."""
        return self._frame()

    def _note_change(self, event: object = None) -> None:
        self.is_old = True
        self.on_change()


class MistakesPage(QWidget):
    """What happened to each object of the two layers that are compared.

    Parameters
    ----------
    viewer : Viewer
        Where the mistakes are shown.
    """

    threshold_chosen = Signal(float)
    """IoU at which a true and a predicted object count as a match."""
    noted = Signal(str)
    """A sentence about the layers that were compared."""
    scene_changed = Signal()
    """Mistakes are there, are not any longer, or the user has shown or hidden them."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.overlay: Labels | None = None
        self.shown: Evaluation | None = None
        """The evaluation whose mistakes are shown."""
        self.mark: Shapes | None = None
        """Frame around the mistake that was looked at last."""
        self._faint = SteppedBack(FAINT)
        self.note = Sentence()
        """What is done with other layers meanwhile."""
        self._is_off = False
        """Whether the user has hidden the mistakes."""
        self._compared: ComparedLayers | None = None
        """What they are of."""
        self.threshold = ChoiceBox(
            (f"{value:.2f}" for value in IOU_THRESHOLDS),
            "IoU (intersection over union) at which a true and a predicted object count as a match.",
        )
        label = QLabel("Mistakes at IoU")
        label.setBuddy(self.threshold)
        choice = QHBoxLayout()
        choice.addWidget(label)
        choice.addWidget(self.threshold)
        choice.addStretch(1)
        self.legend, self.objects = Legend(), FindingTable()
        self.objects.setMinimumHeight(180)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 6, 2, 6)
        layout.addLayout(choice)
        layout.addWidget(self.legend)
        layout.addWidget(self.note)
        layout.addWidget(self.objects)
        self.threshold.currentIndexChanged.connect(lambda _: self.threshold_chosen.emit(self.iou()))
        self.legend.shown_changed.connect(self._follow_legend)
        self.objects.finding_chosen.connect(self._go_to)
        viewer.layers.events.removed.connect(self._follow_overlay)

    def iou(self) -> float:
        """The chosen threshold."""
        return float(self.threshold.currentText())

    def choose(self, threshold: float) -> None:
        """Choose a threshold."""
        self.threshold.setCurrentText(f"{threshold:.2f}")

    def compare(self, compared: ComparedLayers) -> None:
        """Take note of the layers whose mistakes are shown next; they may have changed since they were compared."""
        self.forget_layers()
        self._compared = compared
        compared.on_change = self._note_change
        if compared.is_old:
            self._note_change()

    def _layers(self) -> tuple[Labels, ...]:
        """Truth and prediction."""
        return () if self._compared is None else self._compared.layers

    def forget_layers(self) -> None:
        """Follow the layers no longer."""
        if self._compared is not None:
            self._compared.on_change = lambda: None
        self._compared = None
        self._faint.release()
        self.note.hide()
        self._remove_mark()

    def close_down(self) -> None:
        """Follow layers and viewer no longer."""
        self.forget_layers()
        self.viewer.layers.events.removed.disconnect(self._follow_overlay)

    def scene(self) -> Scene | None:
        """The mistakes over what is compared; None where there are none, or the user has hidden them."""
        shown = [layer for layer in (*self._layers(), self.overlay, self.mark) if is_shown(self.viewer, layer)]
        if self.shown is None or self._is_off or self.overlay not in shown:
            return None
        labels = self._layers()[-1] if self._compared else self.overlay
        image = image_below(labels, list(self.viewer.layers)) if labels in shown else None
        return Scene(image, shown, subject=id(self.shown))

    def _follow_overlay(self, event: Any = None) -> None:
        """As long as mistakes lie over it, what is compared is faint, and what would cover it is hidden."""
        overlay, stage = self.overlay, stage_of(self.viewer)
        if self.shown is None or not is_shown(self.viewer, overlay):
            overlay = None
        if not stage.is_changing:
            if overlay is None or getattr(event, "type", "") == "visible":
                # Else some layer was removed, maybe while these have stepped aside.
                self._is_off = overlay is not None and not overlay.visible
            self.scene_changed.emit()
        if overlay is None or not overlay.visible or (self._compared is not None and self._compared.is_old):
            self._faint.release()
            self.note.hide()
            return
        self._faint.hold(layer for layer in self._layers() if is_shown(self.viewer, layer))
        hidden = f", {count(stage.n_hidden, 'other layer')} hidden" if stage.n_hidden else ""
        self.note.setText(f"Meanwhile the layers compared are faint{hidden}; hide {LAYER_NAME} to see all as it was.")
        self.note.show()

    def step_aside(self) -> None:
        """Hide the mistakes while another panel is in front."""
        for layer in (self.overlay, self.mark):
            if is_shown(self.viewer, layer):
                stage_of(self.viewer).set_visible(layer, False)

    def _remove_mark(self) -> None:
        if self.mark is not None and is_shown(self.viewer, self.mark):
            self.viewer.layers.remove(self.mark)
        self.mark = None

    def show_mistakes(self, scores: Evaluation) -> None:
        """Show the mistakes that an evaluation of layers found."""
        errors = scores.errors
        if errors is None or self._compared is None:
            return
        self.shown = scores
        self._remove_mark()
        before = self.overlay
        self.overlay = show_labels(
            self.viewer,
            LAYER_NAME,
            errors.overlay,
            frame=self._compared.frame,
            features={"index": list(range(len(mark_names()))), "what": mark_names()},
            into=self.overlay,
            opacity=0.6,
            metadata={RESULT: MISTAKES},
            colormap=colormap(self.legend.shown()),
        )
        if self.overlay != before:
            self.overlay.events.visible.connect(self._follow_overlay)
        scene = self.scene()
        image = None if scene is None else scene.image
        was_hidden = image is not None and not image.visible
        self._follow_overlay()
        if image is not None and was_hidden and image.visible:
            # The view was that of another image.
            show_whole(self.viewer, image)
        counts = {kind: sum(finding.kind is kind for finding in errors.findings) for kind in Kind}
        self.legend.set_counts(counts)
        self.objects.show_findings(errors.findings, scores.has_frames)
        self._follow_legend()

    def clear(self) -> None:
        """Empty the table: the evaluation was of files."""
        self.shown = None
        self.forget_layers()
        self._follow_overlay()
        self.objects.show_findings(())
        self.legend.set_counts(None)

    def go_to_frame(self, frame: int) -> None:
        """Step to a frame of the layers that were compared."""
        if self._compared is None or "T" not in self._compared.frame.axes:
            return
        labels, axis = self._layers()[-1], self._compared.frame.axes.index("T")
        at = np.zeros(labels.ndim)
        at[axis] = frame
        dims = self.viewer.dims
        dims.set_point(dims.ndim - labels.ndim + axis, float(to_world(self.viewer, labels, at)[axis]))

    def _note_change(self) -> None:
        # The mistakes are those of other labels than the layer has now.
        self._faint.release()
        self.note.hide()
        self.noted.emit("The labels have changed since; evaluate again for new scores.")

    def _follow_legend(self) -> None:
        shown = self.legend.shown()
        self.objects.show_kinds(shown)
        if self.overlay is not None and is_shown(self.viewer, self.overlay):
            self.overlay.colormap = colormap(shown)

    def _go_to(self, finding: Finding) -> None:
        layers = [self.overlay, *self._layers()[::-1]]
        layer = next((layer for layer in layers if is_shown(self.viewer, layer)), None)
        if layer is None:
            self.noted.emit("The layers of this evaluation were removed; open them and evaluate again.")
            return
        assert self._compared is not None
        frame = self._compared.frame
        lower, upper = np.array(finding.lower, float), np.array(finding.upper, float)
        center, low, high = (frame.coordinates(point[None])[0] for point in (np.array(finding.center), lower, upper))
        go_to(self.viewer, layer, center, low, high, is_near=True)
        corners = boxes_around(lower, upper, len(spatial_axes(frame.axes)), MARGIN)
        self.mark = show_shapes(
            self.viewer, HERE, corners, frame=frame, into=self.mark,
            face_color="transparent", edge_color="white", metadata={RESULT: MISTAKES},
        )  # fmt: skip
        self.mark.edge_width = screen_pixels(self.viewer, frame, LINE)
        for compared, ids in zip(self._layers(), (finding.true_ids, finding.predicted_ids), strict=True):
            if ids and is_shown(self.viewer, compared) and compared.ndim == layer.ndim:
                compared.selected_label = ids[0]
