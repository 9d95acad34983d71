"""Colours of objects by what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.layers import Labels
    from numpy.typing import NDArray

SCALE = "viridis"
STEPS = 64
"""Shades of the scale: napari draws objects of one colour together."""
UNKNOWN = (0.5, 0.5, 0.5, 1.0)
FAINT = 0.12
"""Opacity of objects that are not selected."""


class ObjectColors:
    """Colours of a layer, and the way back to those it had."""

    def __init__(self) -> None:
        self._layer: Labels | None = None
        self._before: Any = None

    def show(
        self,
        layer: Labels,
        ids: NDArray[Any],
        values: NDArray[Any] | None,
        selected: Collection[int] | None,
        rows: NDArray[np.intp],
    ) -> None:
        """Colour objects.

        Parameters
        ----------
        layer : Labels
            Whose objects.
        ids : ndarray, shape (n,)
            Their numbers.
        values : ndarray, shape (n,), optional
            What they are coloured by, from the 1st to the 99th percentile; without it they have their own colours.
        selected : collection of int, optional
            Objects that stand out; all if it is None.
        rows : ndarray of int
            Those of `ids` and `values` that colour an object; the scale is that of all.
        """
        if values is None and selected is None:
            self.restore()
            return
        if layer is not self._layer:
            self.restore()
            self._layer, self._before = layer, layer.colormap
        if values is None:
            colors = np.asarray(self._before.map(np.asarray(ids)), float).reshape(-1, 4)
        else:
            colors = shades(values)
        if selected is not None:
            colors[~np.isin(ids, list(selected)), 3] = FAINT
        # Objects that came since are seen as well.
        table: dict[int | None, Any] = {None: UNKNOWN, 0: (0, 0, 0, 0)}
        table |= dict(zip(np.asarray(ids)[rows].tolist(), colors[rows], strict=True))
        layer.colormap = DirectLabelColormap(color_dict=table)

    def restore(self) -> None:
        """Give the layer the colours that it had before."""
        if self._layer is not None:
            self._layer.colormap = self._before
        self._layer = self._before = None


def shades(values: NDArray[Any]) -> NDArray[np.float64]:
    """Colours (n, 4) of values on the scale; grey where there is no number."""
    numbers = np.asarray(values, float)
    is_known = np.isfinite(numbers)
    colors = np.tile(UNKNOWN, (len(numbers), 1))
    if is_known.any():
        low, high = np.percentile(numbers[is_known], (1, 99))
        place = np.clip((numbers[is_known] - low) / (high - low or 1), 0, 1)
        colors[is_known] = ensure_colormap(SCALE).map(np.round(place * (STEPS - 1)) / (STEPS - 1))
    return colors
