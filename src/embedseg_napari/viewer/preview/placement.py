"""Where previews lie: on the layer that their image comes from, or beside what the user has opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import result_axes
from embedseg_napari.viewer.camera import units_in
from embedseg_napari.viewer.file_metadata import axis_labels, axis_scale, axis_units
from embedseg_napari.viewer.layers import PREVIEW, RESULT
from embedseg_napari.viewer.result_layers import Frame, is_shown, spatial_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.jobs.training_pairs import ArrayPair

GAP = 0.05
"""Between a preview and what it lies beside, as a part of the width of that."""


@dataclass(frozen=True, slots=True)
class TrainedImage:
    """A layer that is trained on, or a part of it."""

    layer: Layer
    axes: str
    """Of the layer, in its own order."""
    corner: tuple[int, int]
    """Where the part begins (y, x)."""

    def frame(self) -> Frame:
        """Where it lies now; of a time-lapse, at all times."""
        frame = spatial_frame(self.layer, self.axes).without("T")
        return frame.at((*(0,) * (len(result_axes(frame.axes)) - 2), *self.corner))


def trained_images(pairs: Iterable[tuple[ArrayPair, Layer, str]]) -> dict[str, TrainedImage]:
    """Training images by their names.

    Parameters
    ----------
    pairs : iterable of (ArrayPair, napari Image layer, str)
        What is trained on, the layer that it was taken from, and the layer's axes in its own order.
    """
    return {
        name: TrainedImage(layer, axes, corner)
        for pair, layer, axes in pairs
        for name, corner in pair.corners().items()
    }


def held_out_frame(viewer: Viewer, held_out: Example, trained: TrainedImage | None) -> Frame:
    """Where a held-out image belongs: on its layer, or where that is unknown or gone, beside all that is open."""
    if trained is not None and is_shown(viewer, trained.layer):
        return trained.frame()
    n = held_out.ndim
    axes = "ZYX"[-n:]
    scale, units = axis_scale(axes, held_out.spacing), axis_units(axes, held_out.unit)
    return _beside(viewer, Frame(axes, scale, (0.0,) * n, units, axis_labels(axes)))


def _beside(viewer: Viewer, frame: Frame) -> Frame:
    """The frame moved to the right of all that lies in the viewer but previews, so that it covers none of it."""
    layers = [layer for layer in viewer.layers if layer.metadata.get(RESULT) != PREVIEW]
    extents = [layer.extent.world[:, -2:] * units_in(layer.units[-2:], frame.units) for layer in layers]
    extents = [extent for extent in extents if np.isfinite(extent).all()]
    if not extents:
        return frame
    (top, left), right = np.min([low for low, _ in extents], axis=0), max(high[1] for _, high in extents)
    x = right + GAP * (right - left) + frame.scale[-1]
    return replace(frame, translate=(*frame.translate[:-2], float(top), float(x)))
