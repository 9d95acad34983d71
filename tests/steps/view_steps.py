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
