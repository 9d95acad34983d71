"""Colours of an annotation."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

from embedseg_napari.core.annotation.states import BACKGROUND, COLOR_CYCLE

GREY = (0.55, 0.55, 0.55, 1.0)
"""Of painted background."""


def annotation_colors() -> CyclicLabelColormap:
    """Colours of objects, repeated after `COLOR_CYCLE` of them; painted background is grey and nothing else is."""
    colors = np.zeros((COLOR_CYCLE + 1, 4), np.float32)
    for row in range(1, COLOR_CYCLE + 1):
        # Steps of the golden ratio keep hues of neighbouring numbers apart.
        colors[row] = (*hsv_to_rgb(0.618034 * row % 1, (1.0, 0.7, 0.85)[row % 3], (1.0, 0.85)[row % 2]), 1)
    colors[(BACKGROUND - 1) % COLOR_CYCLE + 1] = GREY
    return CyclicLabelColormap(name="annotation", colors=colors, background_value=0)
