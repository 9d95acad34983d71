"""The first figure of the poster, live: a few pixels of each true object, where they point, its centre and margin."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

from embedseg_napari.viewer.embedding_view import ellipse
from embedseg_napari.viewer.layers import show_labels, show_points, show_shapes, show_vectors
from embedseg_napari.viewer.preview_layers import PreviewLayers
from embedseg_napari.viewer.training_truth import mean_margins, steps

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.viewer.layers import Frame
    from embedseg_napari.viewer.training_truth import TrueObjects

TRUTH, MARGINS, CENTERS = "preview: true objects", "preview: margins", "preview: true centers"
PIXELS, OFFSETS, EMBEDDINGS = "preview: pixels", "preview: offsets", "preview: embeddings"
N_COLORS = 49
"""Enough that neighbours rarely share one."""
GOLDEN = 0.618034
"""Steps of this part of the circle of hues keep consecutive numbers far apart."""
SCREEN_PIXELS = (5, 16)
"""Least and greatest size of a mark on the screen."""


def _palette() -> CyclicLabelColormap:
    """Light colours, to be seen on a dark image."""
    colors = [(*colorsys.hsv_to_rgb(i * GOLDEN % 1, 0.55 + 0.2 * (i % 2), 1.0), 1.0) for i in range(N_COLORS)]
    return CyclicLabelColormap(colors=np.array(colors), name="embedseg objects")


PALETTE = _palette()


def object_colors(ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Colours (n, RGBA) of objects by their numbers, the same in all layers and all previews."""
    return np.asarray(PALETTE.map(ids), np.float32).reshape(-1, 4)


class EmbeddingLayers:
    """Six layers that come and go with a switch.

    Parameters
    ----------
    viewer : napari viewer
        Where they are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.is_on = False
        self.previews = PreviewLayers(viewer)
        self._objects: TrueObjects | None = None
        self._frame: Frame | None = None

    def begin(self) -> None:
        """Get ready for a training."""
        self.previews.begin()
        self._objects = self._frame = None

    def switch(self, is_on: bool) -> None:
        """Switch on for the previews to come, or off, which takes the layers away."""
        self.is_on = is_on
        if not is_on:
            self.clear()
            self.begin()

    def clear(self) -> None:
        """Take the layers away until there is something to show."""
        self.previews.remove()
        self._objects = self._frame = None

    def show(self, maps: EmbeddingMaps, objects: TrueObjects, frame: Frame) -> None:
        """Show what a network makes of objects; what has not moved since the last time is left alone."""
        if not self.is_on or (len(objects.ids) == 0 and not self.previews.layers):
            return
        is_still = objects.is_same(self._objects) and frame == self._frame
        self._objects, self._frame = objects, frame
        mark = _mark_size(objects)
        put = self.previews.put
        if not is_still:
            put(show_labels, TRUTH, objects.labels, frame=frame, colormap=PALETTE, opacity=0.8, on_new=_outline)
        margins = put(
            show_shapes, MARGINS,
            [ellipse(*one) for one in zip(objects.centers, mean_margins(objects, maps), strict=True)],
            frame=frame, edge_width=mark / 3, face_color="transparent",
        )  # fmt: skip
        moves = steps(objects, maps)
        offsets = put(
            show_vectors, OFFSETS, objects.pixels.astype(float), moves, frame=frame, edge_width=mark / 4, opacity=0.8,
            vector_style="line", out_of_slice_display=True,
        )  # fmt: skip
        if not is_still:
            pixels = self._put_points(PIXELS, objects.pixels, frame, size=1.4 * mark, symbol="cross")
        embeddings = self._put_points(EMBEDDINGS, objects.pixels + moves, frame, size=1.3 * mark, symbol="disc")
        if is_still:
            return
        self._put_points(
            CENTERS, objects.centers, frame, size=2 * mark, symbol="diamond", face_color="white", border_color="black"
        )
        _paint(objects, margins, offsets, pixels, embeddings)

    def _put_points(self, name: str, points: NDArray[Any], frame: Frame, **options: Any) -> Any:
        layer = self.previews.get(name)
        if layer is not None:
            # Points that are selected would be looked for among the new ones.
            layer.selected_data = set()
        return self.previews.put(
            show_points, name, points, frame=frame, border_width=0.15, canvas_size_limits=SCREEN_PIXELS,
            out_of_slice_display=True, **options,
        )  # fmt: skip


def _mark_size(objects: TrueObjects) -> float:
    """Size in pixels of marks that are small beside an object."""
    if len(objects.sizes) == 0:
        return 1.0
    return float(np.clip(np.median(objects.sizes) ** (1 / objects.labels.ndim) / 16, 0.4, 4))


def _outline(layer: Any) -> None:
    layer.contour = 1


def _paint(objects: TrueObjects, margins: Any, offsets: Any, pixels: Any, embeddings: Any) -> None:
    """Give all marks of an object its colour; layers the user has taken away are None."""
    if len(objects.ids) == 0:
        return
    colors = object_colors(objects.ids)
    of_pixels = colors[objects.owners]
    if margins is not None:
        margins.edge_color = colors
        margins.face_color = colors * (1, 1, 1, 0.15)
    if offsets is not None:
        offsets.edge_color = of_pixels
    for layer in (pixels, embeddings):
        if layer is not None:
            layer.face_color = of_pixels
            layer.border_color = "black" if layer is embeddings else of_pixels
