"""The Shapes layer around what is fully annotated of an image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from embedseg_napari.viewer.fully_annotated import is_one_empty, n_regions, outlines, shapes_mask
from embedseg_napari.viewer.layers import ANNOTATION, ITSELF, RESULT
from embedseg_napari.viewer.result_layers import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari.layers import Image, Shapes
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.viewer.result_layers import Frame

EARLIER = "embedseg-earlier-regions"
"""Key in the metadata of a layer around the whole image: the mask of what was fully annotated before."""
DRAWN_BY_DRAG = ("add_rectangle", "add_ellipse")
"""Tools of a Shapes layer whose shape is there when the button is released."""


class RegionLayer:
    """Makes the layer when a region is first wanted, and reads it as a mask.

    Parameters
    ----------
    viewer : napari viewer
        Where it is.
    keys : mapping of str to callable
        What keys do while the layer is selected.
    """

    changed = Signal()
    """A region was drawn, changed or removed."""
    drawn = Signal()
    """A rectangle is finished: the button was released."""

    def __init__(self, viewer: Viewer, keys: Mapping[str, Callable[[object], None]]) -> None:
        self.viewer, self.keys = viewer, keys
        self.image: Image | None = None
        self._frame: Callable[[], Frame] | None = None
        self.shape: tuple[int, ...] = ()
        self.layer: Shapes | None = None
        self._removed: Shapes | None = None
        """The layer, if it was removed just now, be it alone or as one of many."""

    def watch(self, image: Image, frame: Callable[[], Frame], shape: tuple[int, ...]) -> None:
        """Get ready to draw on an image with labels of this shape ((Z,) Y, X), which belong at that place."""
        self.image, self._frame, self.shape = image, frame, shape

    @property
    def frame(self) -> Frame | None:
        """Where labels and regions of the image belong now: a pixel size may be typed later; None without one."""
        return None if self._frame is None else self._frame()

    def take(self, layer: Shapes) -> None:
        """Go on with a layer that is there."""
        self.layer = layer
        layer.metadata[ITSELF] = str(layer.unique_id)
        layer.events.data.connect(self._on_data)
        layer.mouse_drag_callbacks.append(self._on_drag)
        for key, action in self.keys.items():
            layer.bind_key(key, action, overwrite=True)

    def let_go(self) -> None:
        """Follow the layer no longer."""
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
            self.layer.mouse_drag_callbacks.remove(self._on_drag)
            for key in self.keys:
                self.layer.bind_key(key, None)
        self.layer = self.image = self._frame = None

    def draw(self) -> None:
        """Let the mouse draw rectangles."""
        layer = self._make([]) if self.layer is None else self.layer
        self.viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self.changed.emit()

    def show(self, mask: NDArray[np.bool_] | None, earlier: NDArray[np.bool_] | None = None) -> None:
        """Draw a mask ((Z,) Y, X) as polygons, in place of the regions there are.

        `earlier` is to be remembered where the mask is the whole image.
        """
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
            self._removed = None
        if mask is not None and mask.any():
            self._make(outlines(mask)).metadata[EARLIER] = earlier
        self.changed.emit()

    def show_whole(self) -> None:
        """Draw around the whole image, and remember the regions there are."""
        before = self.mask()
        self.show(np.ones(self.shape, bool), np.zeros(self.shape, bool) if before is None else before)

    def mask(self) -> NDArray[np.bool_] | None:
        """Where ((Z,) Y, X) a rectangle or polygon says that all objects are annotated; None if nowhere.

        In a volume a shape counts for the plane it is drawn on.
        """
        frame = self.frame
        if self.layer is None or frame is None:
            return None
        mask = shapes_mask(self.layer, frame.axes, self.shape)
        return mask if mask.any() else None

    @property
    def earlier(self) -> NDArray[np.bool_] | None:
        """What was fully annotated before the whole image was; None if that is not known."""
        return None if self.layer is None else self.layer.metadata.get(EARLIER)

    @property
    def is_drawing(self) -> bool:
        """Whether the mouse draws a region now."""
        layer = self.layer
        if layer is None or self.viewer.layers.selection.active != layer:
            return False
        return str(layer.mode).startswith("add_")

    def count(self) -> int:
        """Number of regions that hold pixels; single clicks do not count."""
        frame = self.frame
        return 0 if self.layer is None or frame is None else n_regions(self.layer, frame.axes, self.shape)

    def is_one_empty(self, labels: NDArray[np.int32]) -> bool:
        """Whether a region says that nothing is there; labels ((Z,) Y, X) show the objects."""
        frame = self.frame
        return self.layer is not None and frame is not None and is_one_empty(self.layer, frame.axes, labels)

    def notice_removal(self) -> bool:
        """Whether the layer is gone from the viewer, since the last time."""
        if self.layer is None or is_shown(self.viewer, self.layer):
            return False
        self._removed, self.layer = self.layer, None
        QTimer.singleShot(0, self._forget_removed)
        return True

    @contextmanager
    def with_removed(self) -> Generator[None, None, None]:
        """Read the regions as they were before all layers were removed at once, this one before the others."""
        shown = self.layer
        self.layer = self.layer or self._removed
        try:
            yield
        finally:
            self.layer, self._removed = shown, None

    def _make(self, polygons: list[NDArray[np.float64]]) -> Shapes:
        assert self.image is not None
        frame = self.frame
        assert frame is not None
        layer: Shapes = self.viewer.add_shapes(
            [frame.coordinates(polygon) for polygon in polygons],
            shape_type="polygon",
            ndim=frame.ndim,
            name=f"{self.image.name} fully annotated",
            metadata={ANNOTATION: str(self.image.unique_id), RESULT: "regions"},
            face_color="transparent",
            edge_color="#56b4e9",
            edge_width=max(1.0, min(self.shape[-2:]) / 200),
            **frame.options(),
        )
        self.take(layer)
        return layer

    def _forget_removed(self) -> None:
        self._removed = None

    def _on_data(self, event: object = None) -> None:
        self.changed.emit()

    def _on_drag(self, layer: Shapes, event: Any) -> Generator[None, None, None]:
        """What napari runs from the press of a button to its release."""
        is_drawing = str(layer.mode) in DRAWN_BY_DRAG
        yield
        while event.type == "mouse_move":
            yield
        if is_drawing:
            # After napari has finished the shape.
            QTimer.singleShot(0, self.drawn.emit)
