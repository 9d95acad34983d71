"""The brush: outlines that it closes are filled, and it is as wide as suits the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.edits import stroke_pixels
from embedseg_napari.core.annotation.outlines import enclosed_pixels
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.data.mask_kinds import count_pieces
from embedseg_napari.viewer.label.drawing.protected_objects import changed_pixels, values_before

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

SHARE = 8
"""An object is so many times wider than the brush that it is outlined with."""
THIN = SHARE / 2
"""A long object counts as an object of so many times its width: the brush is half as wide as a worm."""
SMALLEST, LARGEST = 2, 20
NEARLY = 3
"""Diameters of the brush between its first and its last place up to which an outline counts as closed."""


class Brush:
    """Follows the brush of a Labels layer.

    Parameters
    ----------
    layer : Labels
        The annotation.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self._set_size = float(layer.brush_size)
        self._extents: dict[int, float] = {}
        self.cut = 0
        """Number of an object that the last stroke went across, and that is in pieces on this plane; 0 for none."""
        layer.events.paint.connect(self._on_paint)

    def disconnect(self) -> None:
        """Follow the layer no longer."""
        self.layer.events.paint.disconnect(self._on_paint)

    def fit(self, extent: float) -> None:
        """Make the brush fit objects of this many pixels across, unless the user has chosen another size."""
        if self.layer.brush_size == self._set_size:
            self._set_size = float(np.clip(round(extent / SHARE), SMALLEST, LARGEST))
            self.layer.brush_size = self._set_size

    def learn(self, labels: NDArray[Any], object_id: int) -> None:
        """Fit the brush to what was painted, of which one more object ((Z,) Y, X) is finished."""
        if object_id in (0, BACKGROUND):
            return
        from scipy.ndimage import binary_fill_holes, distance_transform_edt

        mask = labels == object_id
        flat = mask.any(0) if mask.ndim == 3 else mask
        sides = [np.flatnonzero(flat.any(axis)) for axis in (1, 0)]
        if len(sides[0]):
            box = tuple(slice(side[0], side[-1] + 1) for side in sides)
            # An outline along the border is half a brush wider than the object, on both sides.
            filled = binary_fill_holes(np.pad(flat[box], 1))
            width = 2 * distance_transform_edt(filled).max() - self.layer.brush_size
            extent = float(np.sqrt(np.prod([np.ptp(side) + 1 for side in sides])))
            self._extents[object_id] = min(extent, THIN * max(width, 1.0))
            self.fit(float(np.median([*self._extents.values()])))

    def _on_paint(self, event: Any) -> None:
        """Fill what a stroke encloses, as part of the same step of undo."""
        layer, step = self.layer, event.value
        self.cut = 0
        label, data = int(layer.selected_label), np.asarray(layer.data)
        if layer.mode != "paint" or len(step) < 2 or label in (0, BACKGROUND):
            return
        parts = [np.stack(changed_pixels(change), 1) for change in step]
        pixels = np.concatenate(parts)
        seen = [axis for axis in range(data.ndim) if np.ptp(pixels[:, axis])]
        if len(seen) != 2:
            # Within a plane only.
            return
        at = tuple(slice(None) if axis in seen else int(pixels[0, axis]) for axis in range(data.ndim))
        plane = data[at]
        before = np.unique(values_before(step, data.shape)[1]).tolist()
        over = (one for one in before if one not in (0, BACKGROUND, label))
        self.cut = next((one for one in over if _is_in_pieces(plane == one)), 0)
        stroke = np.zeros(plane.shape, bool)
        stroke[tuple(pixels[:, seen].T)] = True
        stroke &= plane == label
        ends = [(part[:, seen].min(0) + part[:, seen].max(0)) / 2 for part in (parts[0], parts[-1])]
        gap = None
        if np.linalg.norm(ends[1] - ends[0]) <= NEARLY * layer.brush_size:
            gap = np.zeros(plane.shape, bool)
            gap[stroke_pixels(plane.shape, ends)] = True
        inside = enclosed_pixels((plane == label) & ~stroke, stroke, layer.brush_size, gap)
        inside &= (plane == 0) | ((plane == BACKGROUND) & (not layer.preserve_labels))
        if inside.any():
            found = iter(np.nonzero(inside))
            indices = tuple(
                next(found) if axis in seen else np.full(int(inside.sum()), at[axis]) for axis in range(data.ndim)
            )
            # napari's form of a change: where, the values before, and those after.
            step.append((indices, data[indices], np.full(len(indices[0]), label, data.dtype)))
            layer.data[indices] = label
            layer.refresh()


def _is_in_pieces(mask: NDArray[np.bool_]) -> bool:
    """Whether an object has several pieces, crumbs left out."""
    return bool(mask.any()) and count_pieces(mask.astype(np.uint8), "").n_large > 1
