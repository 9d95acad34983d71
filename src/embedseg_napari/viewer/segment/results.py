"""The layers of one segmentation: labels, seed map and centres, kept up to date while thresholds move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.jobs.object_table import object_table
from embedseg_napari.viewer.result_layers import is_shown, show_image, show_labels, show_points

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Points
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.image_input import Selection


class ResultLayers:
    """What is shown of the last segmentation of one image layer."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.selection: Selection | None = None
        self.segmentation: Segmentation | None = None
        self.labels: Labels | None = None
        self.seed_map: Image | None = None
        self.centers: Points | None = None
        self.is_edited = False
        """Whether the labels were changed by hand or by another tool; they are left alone then."""
        self._is_updating = False

    @property
    def axes(self) -> str:
        """Axes of the labels, (T)(Z)YX."""
        assert self.selection is not None
        return "".join(letter for letter in "TZYX" if letter in self.selection.axes)

    def show(self, selection: Selection, segmentation: Segmentation) -> None:
        """Show a new segmentation; layers of an earlier one of the same image layer are updated."""
        if self.selection is None or self.selection.layer != selection.layer or self.is_edited:
            self.labels = self.seed_map = self.centers = None
        self.selection = selection
        self.segmentation = segmentation
        name, frame = selection.layer.name, selection.frame
        seed_map = seed_map_of(segmentation)
        if seed_map is not None:
            self.seed_map = show_image(
                self.viewer,
                f"{name} seed map",
                seed_map,
                frame=frame,
                into=self.seed_map,
                colormap="magma",
                contrast_limits=(0, 1),
                visible=False,
            )
        self.update(segmentation)
        self.finish_update()

    def update(self, segmentation: Segmentation) -> None:
        """Show the objects; fast enough to follow a slider. The table follows in :meth:`finish_update`."""
        assert self.selection is not None
        self.segmentation = segmentation
        if self.is_edited:
            self.labels, self.is_edited = None, False
        name, frame = self.selection.layer.name, self.selection.frame
        is_new = not is_shown(self.viewer, self.labels)
        self._is_updating = True
        try:
            self.labels = show_labels(self.viewer, f"{name} labels", segmentation.labels, frame=frame, into=self.labels)
        finally:
            self._is_updating = False
        if is_new:
            self.labels.events.paint.connect(self._note_edit)
            self.labels.events.data.connect(self._note_edit)
        centers = np.asarray(segmentation.centers, float).reshape(-1, len(self.axes))
        features = {"score": np.asarray(segmentation.scores, float)}
        self.centers = show_points(
            self.viewer,
            f"{name} centres",
            centers,
            frame=frame,
            features=features,
            into=self.centers,
            size=point_size(segmentation, frame.scale),
            face_color="#ffd54f",
            border_color="black",
            border_width=0.15,
            opacity=0.9,
        )

    def finish_update(self) -> None:
        """Give the labels their table; numbers that nobody reads while a slider moves."""
        if self.segmentation is None or self.selection is None or not is_shown(self.viewer, self.labels):
            return
        assert self.labels is not None
        table = object_table(self.segmentation, self.axes, self.selection.start)
        # napari finds the row of a label by this name.
        self.labels.features = {"index": table.pop("label"), **table}

    def forget(self, layer: Any) -> None:
        """Let go of the maps when the image or its labels were removed."""
        # Equal, not the same: plugins get a proxy of each layer.
        if self.selection is not None and layer in (self.selection.layer, self.labels):
            self.selection = self.segmentation = None
            self.labels = self.seed_map = self.centers = None
            self.is_edited = False

    def has_maps(self) -> bool:
        """Whether the objects can be collected anew."""
        segmentation = self.segmentation
        if segmentation is None:
            return False
        return all(part.kept_maps is not None for part in (segmentation.frames or (segmentation,)))

    def _note_edit(self, event: object = None) -> None:
        if not self._is_updating:
            self.is_edited = True


def seed_map_of(segmentation: Segmentation) -> NDArray[np.float32] | None:
    """Seed map with the axes of the labels, if the maps were kept."""
    maps = [part.kept_maps for part in (segmentation.frames or (segmentation,))]
    kept = [m.seed_map for m in maps if m is not None]
    if len(kept) < len(maps):
        return None
    return np.stack(kept) if segmentation.frames else kept[0]


def point_size(segmentation: Segmentation, scale: tuple[float, ...]) -> float:
    """A quarter of a usual object's diameter, in pixels."""
    n = max(1, len(segmentation.scores))
    ndim = segmentation.labels.ndim - bool(segmentation.frames)
    pixels = np.count_nonzero(segmentation.labels) / n
    return float(max(2.0, 0.25 * pixels ** (1 / ndim)))
