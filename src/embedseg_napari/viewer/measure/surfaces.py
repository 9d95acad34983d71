"""The surfaces of a volume's objects as a Surface layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder
from embedseg_napari.core.data.masks import require_ids
from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.exchange.meshes import meshes, together
from embedseg_napari.viewer.layers import SURFACES_OF
from embedseg_napari.viewer.result_layers import spatial_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels, Surface
    from napari.viewer import Viewer

Triangles = tuple[Any, Any, Any]
"""Corners (n, 3) in pixels z, y, x, triangles (m, 3), and the object of each corner."""


def make_surfaces(labels: Any, axes: str, should_stop: Callable[[], bool]) -> Generator[int, None, Triangles]:
    """Make the surfaces of all objects; tells how many are made.

    Raises
    ------
    DataError
        If the labels are no volume, or hold no object.
    Stopped
        If `should_stop` returned True.
    """
    if ordered(axes) != "ZYX":
        raise DataError(f"Surfaces are made of volumes (ZYX), and these labels have the axes {axes}.")
    array = np.asarray(labels)
    require_ids(array, "The Labels layer")
    parts = []
    for part in meshes(reorder(array, axes, "ZYX"), (1, 1, 1)):
        if should_stop():
            raise Stopped("The surfaces were not completed.")
        parts.append(part)
        yield len(parts)
    if not parts:
        raise DataError("The layer holds no objects.")
    vertices, faces, values = together(parts)
    # Napari counts z first.
    return vertices[:, ::-1], faces, values


def show_surfaces(viewer: Viewer, layer: Labels, axes: str, triangles: Triangles) -> Surface:
    """Show surfaces where their labels lie, in the colours of the objects."""
    vertices, faces, values = triangles
    frame = spatial_frame(layer, axes)
    order = [ordered(axes).index(letter) for letter in axes]
    ids, rows = np.unique(values, return_inverse=True)
    colors = np.asarray(layer.colormap.map(ids), float).reshape(-1, 4)[rows]
    surface: Surface = viewer.add_surface(
        (vertices[:, order], faces), vertex_colors=colors, name=f"{layer.name} surfaces",
        metadata={SURFACES_OF: str(layer.unique_id)}, **frame.options(),
    )  # fmt: skip
    return surface
