"""What the network sees, as layers: offsets as arrows; a clicked object's margin and the pixels that voted for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from embedseg_napari.viewer.camera import value_at
from embedseg_napari.viewer.layers import FOUND, RESULT
from embedseg_napari.viewer.preview.embeddings import ellipse
from embedseg_napari.viewer.result_layers import THROUGH, is_shown, show_points, show_vectors

if TYPE_CHECKING:
    from napari.layers import Points, Shapes, Vectors
    from napari.viewer import Viewer

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.results import ResultLayers

MOST_ARROWS = 4000
MOST_VOTES = 4000


class EmbeddingView(QWidget):
    """Two switches; the layers come and go with them."""

    def __init__(self, viewer: Viewer, results: ResultLayers) -> None:
        super().__init__()
        self.viewer, self.results = viewer, results
        self.arrows_box = QCheckBox("Offsets as arrows")
        self.arrows_box.setToolTip("From pixels of objects to where the network predicts their centre.")
        self.click_box = QCheckBox("Margin and votes of a clicked object")
        self.click_box.setToolTip(
            "Click an object to see the ellipse within which embeddings belong to it, and the pixels that point "
            "into it."
        )
        self.hint = QLabel("")
        self.hint.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        for widget in (self.arrows_box, self.click_box, self.hint):
            layout.addWidget(widget)
        self.arrows: Vectors | None = None
        self.margin: Shapes | None = None
        self.votes: Points | None = None
        self.arrows_box.toggled.connect(self._switch_arrows)
        self.click_box.toggled.connect(self._switch_click)
        viewer.mouse_drag_callbacks.append(self._on_click)

    def close_down(self) -> None:
        """Follow the viewer no longer."""
        if self._on_click in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_click)

    def refresh(self) -> None:
        """Follow a new segmentation."""
        self._switch_arrows(self.arrows_box.isChecked())
        self._remove(self.margin, self.votes)

    def _switch_arrows(self, is_on: bool) -> None:
        if not is_on or not self.results.has_maps() or not is_shown(self.viewer, self.results.labels):
            self._remove(self.arrows)
            self.hint.setText("Segment an image first." if is_on and not self.results.has_maps() else "")
            return
        assert self.results.segmentation is not None
        assert self.results.selection is not None
        self.hint.setText("")
        starts, steps = arrows(self.results.segmentation)
        frame = self.results.selection.frame()
        self.arrows = show_vectors(
            self.viewer,
            f"{self.results.selection.layer.name} offsets",
            starts,
            steps,
            frame=frame,
            into=self.arrows,
            edge_color="#4dd0e1",
            edge_width=0.4,
            opacity=0.7,
        )

    def _switch_click(self, is_on: bool) -> None:
        self.hint.setText("Click an object in the viewer." if is_on else "")
        if not is_on:
            self._remove(self.margin, self.votes)

    def _on_click(self, viewer: Any, event: Any) -> Any:
        labels = self.results.labels
        if not self.click_box.isChecked() or not self.results.has_maps() or not is_shown(self.viewer, labels):
            return
        assert labels is not None
        # A drag moves the image; only a press and release in one place is a click.
        yield
        if event.type == "mouse_move":
            return
        label = value_at(self.viewer, labels, event.position, event.view_direction, event.dims_displayed)
        if label:
            self.show_object(int(label))

    def show_object(self, label: int) -> None:
        """Show the margin ellipse of an object and the pixels whose embeddings lie in it."""
        result = self.results.chosen
        assert result is not None
        segmentation, own = result.segmentation, result.number_in_region(label)
        if not own:
            if 1 <= label <= len(result.shown.segmentation.scores):
                self.hint.setText(f"Object {label} was found in an earlier run, whose maps are no longer at hand.")
            return
        frame, number = segmentation.locate(own) if segmentation.frames else (0, own)
        part = segmentation.frames[frame] if segmentation.frames else segmentation
        center, margins, pixels = voters(part, number)
        outline = ellipse(center, margins)
        if segmentation.frames:
            pixels, outline = (np.insert(places, 0, frame, axis=1) for places in (pixels, outline))
        place = result.selection.frame()
        self.votes = show_points(
            self.viewer,
            "votes",
            pixels[:: max(1, -(-len(pixels) // MOST_VOTES))],
            frame=place,
            into=self.votes,
            size=0.8,
            face_color="#ff80ab",
            border_width=0,
            symbol="square",
            opacity=0.6,
        )
        self._remove(self.margin)
        active = self.viewer.layers.selection.active
        self.margin = self.viewer.add_shapes(
            [place.coordinates(outline)],
            shape_type="polygon",
            name="margin",
            face_color="transparent",
            edge_color="#ff4081",
            edge_width=0.6,
            ndim=place.ndim,
            blending=THROUGH,
            metadata={RESULT: FOUND},
            **place.options(),
        )
        if active is not None:
            self.viewer.layers.selection.active = active
        size = " x ".join(f"{margin:.1f}" for margin in margins)
        n_own = int(np.count_nonzero(part.labels == number))
        self.hint.setText(
            f"Object {label}: score {segmentation.scores[own - 1]:.2f}, margins {size} px, "
            f"{len(pixels)} pixels point into it, {n_own} are its own."
        )

    def _remove(self, *layers: Any) -> None:
        for layer in layers:
            if is_shown(self.viewer, layer):
                self.viewer.layers.remove(layer)
        self.arrows = self.arrows if is_shown(self.viewer, self.arrows) else None
        self.margin = self.margin if is_shown(self.viewer, self.margin) else None
        self.votes = self.votes if is_shown(self.viewer, self.votes) else None


def arrows(segmentation: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """Starts and steps (n, (T)(Z)YX) in pixels of at most `MOST_ARROWS` pixels of objects, evenly drawn."""
    at = np.argwhere(segmentation.labels > 0)
    at = at[:: max(1, -(-len(at) // MOST_ARROWS))]
    if segmentation.frames:
        steps = np.zeros(at.shape)
        for t, part in enumerate(segmentation.frames):
            rows = at[:, 0] == t
            places = tuple(at[rows, 1:].T)
            steps[rows, 1:] = np.stack([offset[places] for offset in part.maps.offsets], axis=1)
        return at.astype(float), steps
    return at.astype(float), segmentation.maps.offsets[(slice(None), *at.T)].T.astype(float)


def voters(part: Segmentation, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (ndim,) and margins (ndim,) of an object, and the pixels (n, ndim) whose embeddings lie within."""
    maps = part.maps
    center = part.centers[label - 1].astype(float)
    at = np.argwhere(maps.seed_map > part.settings.foreground_threshold)
    index = tuple(at.T)
    embeddings = (at + np.stack([offset[index] for offset in maps.offsets], axis=1)).astype(np.float32)
    # The seed is the pixel that points to the centre and has the object's score.
    distance = np.abs(embeddings - center).max(axis=1) + np.abs(maps.seed_map[index] - part.scores[label - 1])
    seed = tuple(at[int(np.argmin(distance))])
    margins = part.settings.margin_scale * np.array([margin[seed] for margin in maps.margins], float)
    inside = (((embeddings - center) / np.maximum(margins, 1e-12)) ** 2).sum(axis=1) < 1
    return center, margins, at[inside]
