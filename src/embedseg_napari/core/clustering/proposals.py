"""What a seed proposes as its object: pixels whose embedding lies inside the ellipse of its margins, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps

LEAST_MARGIN = 1e-12
"""Pixels; smaller margins are taken for this, so that one over them is finite."""


class Proposals:
    """The proposals of seeds among the foreground pixels of an image.

    Parameters
    ----------
    maps : EmbeddingMaps or ForegroundMaps
        Maps of one image.
    foreground, at : ndarray of int, shape (n,)
        Flat indices of the foreground pixels in the image, in array order, and where they are in the maps.
    margin_scale : float
        Factor of the margins.
    """

    def __init__(
        self,
        maps: EmbeddingMaps | ForegroundMaps,
        foreground: NDArray[Any],
        at: NDArray[Any],
        margin_scale: float,
    ) -> None:
        ndim = maps.ndim
        self.at = np.unravel_index(foreground, maps.shape)
        """Where the foreground pixels are, per axis (z, y, x)."""
        self.points = np.stack([(self.at[a] + maps.offsets[a].ravel()[at]).astype(np.float32) for a in range(ndim)])
        """Where they point, in pixels, shape (ndim, n)."""
        self._margins = maps.margins.reshape(ndim, -1)
        self._rows, self._factor = at, np.float32(margin_scale)
        # Only pixels that point to about the seed's height need to be looked at.
        self._by_height = np.argsort(self.points[-2], kind="stable")
        self._heights = self.points[-2, self._by_height].astype(np.float64)

    def of(self, seed: int) -> NDArray[np.int64] | None:
        """Rows of the foreground that a row proposes; None where its embedding or margins are no numbers."""
        center = self.points[:, seed].astype(np.float64)
        own = self._margins[:, self._rows[seed]] * self._factor
        margins = np.maximum(own.astype(np.float64), LEAST_MARGIN)
        if not np.isfinite(center).all() or np.isnan(margins).any():
            return None
        reach = margins[-2] * (1 + 1e-9) + 1e-9
        near = self._by_height[slice(*np.searchsorted(self._heights, (center[-2] - reach, center[-2] + reach)))]
        scaled = (self.points[:, near] - center[:, None]) * (1.0 / margins)[:, None]
        rows: NDArray[np.int64] = near[(scaled**2).sum(0) < 1.0]
        return rows
