"""The first figure of the poster, live: a few pixels of each true object, where they point, its centre and margin."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

from embedseg_napari.jobs.true_objects import mean_margins, steps
from embedseg_napari.viewer.preview.preview_layers import PREFIX, PreviewLayers
from embedseg_napari.viewer.result_layers import THROUGH, show_labels, show_points, show_shapes, show_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from numpy.typing import NDArray

    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.jobs.true_objects import TrueObjects
    from embedseg_napari.viewer.result_layers import Frame


TRUTH, MARGINS = f"{PREFIX}true objects", f"{PREFIX}margins"
OFFSETS, EMBEDDINGS = f"{PREFIX}offsets", f"{PREFIX}embeddings"
KINDS = ("pixel", "embedding", "center")
"""What a point of the layer of embeddings is; its column ``what``."""
SYMBOLS, SIZES = ("cross", "disc", "diamond"), (1.4, 1.4, 2.0)
"""Of points by their kind; sizes in marks."""
N_COLORS = 49
"""Enough that neighbours rarely share one."""
GOLDEN = 0.618034
"""Steps of this part of the circle of hues keep consecutive numbers far apart."""
SCREEN_PIXELS = (8, 16)
"""Least and greatest size of a mark on the screen."""


def _palette() -> CyclicLabelColormap:
    """Light colours, to be seen on a dark image."""
    colors = [(*colorsys.hsv_to_rgb(i * GOLDEN % 1, 0.55 + 0.2 * (i % 2), 1.0), 1.0) for i in range(N_COLORS)]
    return CyclicLabelColormap(colors=np.array(colors), name="embedseg objects")


PALETTE = _palette()


def object_colors(ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Colours (n, RGBA) of objects by their numbers, the same in all layers and all previews."""
    return np.asarray(PALETTE.map(ids), np.float32).reshape(-1, 4)


def margin_outlines(objects: TrueObjects, maps: EmbeddingMaps) -> list[NDArray[np.float64]]:
    """Margin ellipses (corners, ndim) around the true centres, in 3D in the plane YX; cut off at the bounds."""
    margins = mean_margins(objects, maps)
    return [np.clip(ellipse(*one), *objects.bounds) for one in zip(objects.centers, margins, strict=True)]


class EmbeddingLayers:
    """Four layers that come and go with a switch.

    Parameters
    ----------
    viewer : napari viewer
        Where they are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.is_on = False
        self.previews = PreviewLayers(viewer)
        self._objects: TrueObjects | None = None
        self._place: tuple[Any, ...] | None = None

    def begin(self) -> None:
        """Get ready for a training."""
        self.previews.begin()
        self._objects = self._place = None

    def switch(self, is_on: bool) -> None:
        """Switch on for the previews to come, or off, which takes the layers away."""
        self.is_on = is_on
        if not is_on:
            self.clear()
            self.begin()

    def end_steps(self) -> Iterator[None]:
        """Take the layers away, one at a time: the training is over."""
        self._objects = self._place = None
        yield from self.previews.end_steps()

    def clear(self) -> None:
        """Take the layers away until there is something to show."""
        self.previews.remove()
        self._objects = self._place = None

    def show(self, maps: EmbeddingMaps, objects: TrueObjects, frame: Frame) -> None:
        """Show what a network makes of objects; what has not moved since the last time is left alone."""
        for _ in self.steps(maps, objects, frame):
            pass

    def steps(self, maps: EmbeddingMaps, objects: TrueObjects, frame: Frame) -> Iterator[None]:
        """As :meth:`show`, one layer at a time."""
        if not self.is_on or (len(objects.ids) == 0 and not self.previews.layers):
            return
        place = (frame.axes, frame.scale, frame.translate)
        is_still = objects.is_same(self._objects) and place == self._place
        self._objects, self._place = objects, place
        mark = _mark_size(objects)
        moves = steps(objects, maps)
        colors = object_colors(objects.ids)
        is_new = not is_still and len(objects.ids) > 0
        put = self.previews.put_steps
        if not is_still:
            yield from put(
                show_labels, TRUTH, objects.labels, frame=frame, colormap=PALETTE, opacity=0.5, blending=THROUGH,
                on_new=_outline,
            )  # fmt: skip
            yield
        fill = colors * (1, 1, 1, 0.15)
        yield from put(
            show_shapes, MARGINS, margin_outlines(objects, maps), frame=frame, edge_width=mark / 3,
            look={"edge_color": colors, "face_color": fill} if is_new else {},
        )  # fmt: skip
        yield
        yield from put(
            show_vectors, OFFSETS, objects.pixels.astype(float), moves, frame=frame, edge_width=mark / 3,
            vector_style="line", projection_mode="all", look={"edge_color": colors[objects.owners]} if is_new else {},
        )  # fmt: skip
        yield
        points = self.previews.get(EMBEDDINGS)
        if points is not None:
            # Points that are selected would be looked for among the new ones.
            points.selected_data = set()
        yield from put(
            show_points, EMBEDDINGS, np.concatenate([objects.pixels, objects.pixels + moves, objects.centers]),
            frame=frame, border_width=0, canvas_size_limits=SCREEN_PIXELS, projection_mode="all",
            look=_point_look(objects, mark, colors) if is_new else {},
        )  # fmt: skip


def _mark_size(objects: TrueObjects) -> float:
    """Size in pixels of marks that are small beside an object."""
    if len(objects.sizes) == 0:
        return 1.0
    return float(np.clip(np.median(objects.sizes) ** (1 / objects.labels.ndim) / 16, 0.4, 4))


def _outline(layer: Any) -> None:
    layer.contour = 1


def _point_look(objects: TrueObjects, mark: float, colors: NDArray[np.float32]) -> dict[str, Any]:
    """What the points of objects look like: those of one in its colour (RGBA), each kind in its own way."""
    n, m = len(objects.ids), len(objects.pixels)
    kinds = np.repeat(np.arange(3), [m, m, n])
    rows = np.concatenate([objects.owners, objects.owners, np.arange(n)])
    fill = colors[rows]
    fill[kinds == KINDS.index("center")] = 1
    return {
        "features": {"object": objects.ids[rows], "what": np.array(KINDS)[kinds]},
        "symbol": np.array(SYMBOLS)[kinds],
        "size": mark * np.array(SIZES)[kinds],
        "face_color": fill,
        # Even a border without width shines through where points are small.
        "border_color": fill,
    }


def ellipse(center: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Corners (n, ndim) of the margin in the plane YX through the centre."""
    angle = np.linspace(0, 2 * np.pi, N_CORNERS, endpoint=False)
    corners = np.tile(center, (N_CORNERS, 1))
    corners[:, -2] += margins[-2] * np.sin(angle)
    corners[:, -1] += margins[-1] * np.cos(angle)
    if len(center) == 3:
        corners[:, 0] = np.round(center[0])
    return corners


N_CORNERS = 48
