"""Seed maps and centres of what was found, as layers take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.files.units import micrometres
from embedseg_napari.viewer.layers import pixel_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.result_layers import Frame


def seed_map_of(segmentation: Segmentation) -> NDArray[np.float32] | None:
    """Seed map with the axes of the labels, if the maps were kept."""
    maps = [part.kept_maps for part in (segmentation.frames or (segmentation,))]
    kept = [m.seed_map for m in maps if m is not None]
    if len(kept) < len(maps):
        return None
    return np.stack(kept) if segmentation.frames else kept[0]


def pasted(
    known: tuple[NDArray[np.float32], tuple[int, ...]], part: tuple[NDArray[np.float32], tuple[int, ...]]
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """A seed map with that of a part on it; both, and what is returned, with their first pixel in the image."""
    start = np.minimum(known[1], part[1])
    end = np.maximum(*(np.add(first, values.shape) for values, first in (known, part)))
    canvas = np.zeros(end - start, np.float32)
    for values, first in (known, part):
        canvas[tuple(slice(at, at + n) for at, n in zip(first - start, values.shape, strict=True))] = values
    return canvas, tuple(start.tolist())


def in_micrometres(places: NDArray[np.float64], axes: str, frame: Frame) -> dict[str, NDArray[np.float64]]:
    """Columns for points (n, T(Z)YX) in pixels, which is all that files of points hold; none where these have no size.

    Parameters
    ----------
    places : ndarray
        Points, in pixels of the image.
    axes : str
        Of the places.
    frame : Frame
        Scale and units of the image.
    """
    spacing, unit = pixel_size(frame.scale, frame.units, frame.axes)
    factor = micrometres(unit)
    if spacing is None or factor is None:
        return {}
    steps = zip(spatial_axes(axes), spacing, strict=True)
    return {f"center_{letter.lower()}_um": places[:, axes.index(letter)] * step * factor for letter, step in steps}


def point_size(segmentation: Segmentation) -> float:
    """A quarter of a usual object's diameter, in pixels."""
    n = max(1, len(segmentation.scores))
    ndim = segmentation.labels.ndim - bool(segmentation.frames)
    pixels = np.count_nonzero(segmentation.labels) / n
    return float(max(2.0, 0.25 * pixels ** (1 / ndim)))
