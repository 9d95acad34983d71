"""The object of a volume that is looked at, from three sides: its slices XY, XZ and YZ, with its outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget
from scipy import ndimage

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.review.slices import object_slices, pixels_near
from embedseg_napari.viewer.camera import looked_at, to_world
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.widgets.collapsible import Folded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.review.slices import ObjectSlice
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

HEIGHT = 190
"""Of the three slices on the screen: with the buttons of the review they fit on a screen of 768."""
GAP = 4
"""Pixels of the screen between two slices."""
OUTLINE = (255, 225, 77)
"""Colour of the outline, which is that of a clicked object."""
TIP = (
    "The object that you click on, paint or review, cut through its middle: XY, XZ below it and YZ beside it, with "
    "planes as thick as they are. Click on a place to go to its plane."
)


class SlicesView(QWidget):
    """Draws three slices, all at one scale and as large as there is room for."""

    wanted = Signal(tuple)
    """A pixel (z, y, x) was clicked on."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.slices: Sequence[ObjectSlice] = ()
        self.limits = 0.0, 1.0
        """Brightness that is drawn black, and white."""

    def show_slices(self, slices: Sequence[ObjectSlice], limits: tuple[float, float]) -> None:
        """Draw other slices, none where there is no object."""
        self.slices, self.limits = slices, limits
        self.update()

    def places(self) -> list[QRectF]:
        """Where the slices are drawn."""
        if not self.slices:
            return []
        (height, width), (depth, _), (_, across) = (one.sides for one in self.slices)
        scale = min((self.width() - GAP) / (width + across), (self.height() - GAP) / (height + depth))
        right, below = scale * width + GAP, scale * height + GAP
        corners = (0.0, 0.0), (0.0, below), (right, 0.0)
        return [
            QRectF(x, y, scale * one.sides[1], scale * one.sides[0])
            for (x, y), one in zip(corners, self.slices, strict=True)
        ]

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw them."""
        painter = QPainter(self)
        if not self.slices:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No object is looked at.")
        for one, place in zip(self.slices, self.places(), strict=True):
            painter.drawImage(place, _drawn(one, place, self.limits, self.devicePixelRatioF()))
            painter.setPen(QColor("white"))
            # As people name planes, whatever lies along the rows.
            name = "".join(sorted(one.axes))
            painter.drawText(place.topLeft() + QPointF(3, painter.fontMetrics().ascent() + 1), name)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Say which pixel was clicked on."""
        if event is None:
            return
        at = event.position()
        for one, place in zip(self.slices, self.places(), strict=True):
            if place.contains(at):
                down, right = (at.y() - place.top()) / place.height(), (at.x() - place.left()) / place.width()
                self.wanted.emit(one.pixel_at(down, right))


def _drawn(one: ObjectSlice, place: QRectF, limits: tuple[float, float], ratio: float) -> QImage:
    """A slice as an image of the pixels that the screen has there."""
    rows, columns = (
        (np.arange(n_drawn) * (n / n_drawn)).astype(int)
        for n, n_drawn in zip(
            one.inside.shape, (max(1, round(ratio * side)) for side in (place.height(), place.width())), strict=True
        )
    )
    at = np.ix_(rows, columns)
    low, high = limits
    grey = np.clip((np.nan_to_num(one.pixels[at]) - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
    drawn: NDArray[np.uint8] = np.repeat(grey[..., None], 3, axis=2)
    inside = one.inside[at]
    drawn[inside & ~ndimage.binary_erosion(inside, iterations=max(1, round(ratio)))] = OUTLINE
    height, width = inside.shape
    return QImage(drawn.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class SlicesBox(Folded):
    """A heading with the slices below, only there while a volume is reviewed or one of its objects was picked.

    Parameters
    ----------
    layers : AnnotationLayers
        The volume, and its annotation.
    under_review : callable
        Pixels (z, y, x) of the object that is reviewed, or None.
    """

    def __init__(self, layers: AnnotationLayers, under_review: Callable[[], Indices | None]) -> None:
        self.view = SlicesView()
        super().__init__("Slices through the object", self.view, TIP)
        self.view.setToolTip(TIP)
        self.layers, self.under_review = layers, under_review
        self.is_reviewing = False
        """Whether there are objects to go to."""
        self._picked = 0
        """The object that was given to the brush since one was gone to."""
        self._box: tuple[slice, ...] = ()
        """Where it was seen last."""
        self._clicked: Indices | None = None
        self.button.toggled.connect(self.refresh)
        self.view.wanted.connect(self._go)
        layers.picked.connect(self._pick)
        layers.clicked.connect(self._click)
        self.unfold()

    def follow_review(self) -> None:
        """Look at the object under review again, no longer at one that was picked."""
        self._picked = 0

    def _pick(self, object_id: int) -> None:
        self._picked, self._box = object_id, ()
        self.refresh()

    def _click(self, pixels: Indices | None) -> None:
        self._clicked = pixels
        self.refresh()

    def refresh(self) -> None:
        """Look at the object as it is now."""
        layers = self.layers
        pixels = self._pixels() if layers.ndim == 3 and layers.labels is not None else None
        is_there = pixels is not None and len(pixels[0]) > 0
        self.setVisible(layers.ndim == 3 and (is_there or self.is_reviewing))
        if not is_there or not self.button.isChecked():
            self.view.show_slices((), (0.0, 1.0))
            return
        image, frame = layers.image, layers.frame
        assert pixels is not None
        assert image is not None
        assert frame is not None
        slices = object_slices(array_of(image), layers.axes, pixels, frame.spacing())
        low, high = (0, 255) if image.rgb else image.contrast_limits
        self.view.show_slices(slices, (float(low), float(high)))

    def _pixels(self) -> Indices | None:
        """Those of the object that is looked at (z, y, x)."""
        if self._clicked is not None:
            return self._clicked
        if self._picked and self._picked != BACKGROUND:
            pixels = pixels_near(self.layers.array(), self._picked, self._box or self._in_sight())
            is_there = len(pixels[0]) > 0
            self._box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in pixels) if is_there else ()
            if is_there:
                return pixels
        return self.under_review()

    def _in_sight(self) -> tuple[slice, ...]:
        """The plane (z, y, x) that is displayed, and in 3D all of them."""
        viewer, frame = self.layers.viewer, self.layers.frame
        assert frame is not None
        assert self.layers.labels is not None
        at, first = np.rint(looked_at(viewer, self.layers.labels)).astype(int), viewer.dims.ndim - frame.ndim
        places = [frame.axes.index(letter) for letter in "ZYX"]
        return tuple(
            slice(None) if place + first in viewer.dims.displayed else slice(max(at[place], 0), max(at[place], 0) + 1)
            for place in places
        )

    def _go(self, pixel: tuple[int, int, int]) -> None:
        """Bring the slider to a pixel; the camera stays."""
        frame, viewer, labels = self.layers.frame, self.layers.viewer, self.layers.labels
        if frame is not None and labels is not None:
            world = to_world(viewer, labels, frame.coordinates(np.array([pixel], float))[0])
            viewer.dims.set_point(range(viewer.dims.ndim - frame.ndim, viewer.dims.ndim), world)
