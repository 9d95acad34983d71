"""What the canvas shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_in_view(viewer: Any, world: Sequence[float]) -> bool:
    """Whether a place (y, x) lies on the canvas; before napari 0.9, whose canvas has no size, in its middle."""
    camera = getattr(viewer, "scene", viewer).camera
    away = np.abs(np.asarray(camera.center[-2:]) - np.asarray(world)[-2:])
    canvas = getattr(viewer, "canvas", None)
    half = 0.51 if canvas is None else np.asarray(canvas.size) / camera.zoom / 2
    return bool((away <= half).all())


def turned(ndim: int) -> dict[str, np.ndarray]:
    """Options of a layer that is rotated, sheared and moved in its plane."""
    rotate, shear, affine = np.eye(ndim), np.eye(ndim), np.eye(ndim + 1)
    rotate[-2:, -2:] = [[0.8, -0.6], [0.6, 0.8]]
    shear[-2, -1], affine[-3, -1], affine[-2, -2] = 0.2, 5, 1.5
    return {"rotate": rotate, "shear": shear, "affine": affine}
