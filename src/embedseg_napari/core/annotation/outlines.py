"""Telling an outline that was drawn around an object from a scribble on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TREMBLE = 3
"""Pixels by which an outline that is drawn by hand may be wider than the brush."""
MOSTLY = 0.8
"""Share of what a stroke encloses that lies in one piece, and of the stroke that lies along it, if it is an outline."""


def enclosed_pixels(
    before: NDArray[np.bool_], stroke: NDArray[np.bool_], width: float, gap: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Find what a stroke of the brush encloses as an outline does, alone or together with what was painted before.

    The border of the image closes an outline that begins and ends there.

    Parameters
    ----------
    before : ndarray of bool, shape (Y, X)
        The object before the stroke. What it enclosed then already was left open on purpose.
    stroke : ndarray of bool, shape (Y, X)
        Where the brush went.
    width : float
        Diameter of the brush in pixels.
    gap : ndarray of bool, shape (Y, X), optional
        A line that closes the stroke where its end nearly meets its beginning; given also where it meets it.

    Returns
    -------
    ndarray of bool, shape (Y, X)
        Pixels inside the outline; none where the stroke is a scribble, which leaves several holes that are wider than
        the brush, ends elsewhere than it began, or runs elsewhere.
    """
    closing = np.zeros_like(stroke) if gap is None else gap & ~stroke & ~before
    drawn = before | stroke | closing
    inside = np.zeros(drawn.shape, bool)
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    if not len(rows):
        return inside
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    # Sides where what is drawn reaches the border of the image.
    walls = [(side.start == 0, side.stop == n) for side, n in zip(box, drawn.shape, strict=True)]
    before, stroke, closing, drawn = (one[box] for one in (before, stroke, closing, drawn))
    found = _filled(drawn, walls) & ~drawn & ~_filled(before, walls)
    pieces, n = ndimage.label(found)
    if n == 0 or not stroke.any():
        return inside
    sizes = np.bincount(pieces.ravel())[1:]
    away = ndimage.distance_transform_edt(pieces != 1 + sizes.argmax())
    is_outline = sizes.max() >= MOSTLY * sizes.sum() and (away[stroke] <= width + TREMBLE).mean() >= MOSTLY
    # Both sides of an outline of a thin object touch here and there.
    is_thin = gap is not None and 2 * ndimage.distance_transform_edt(found).max() <= width + TREMBLE
    if is_outline or is_thin:
        inside[box] = found | closing
    return inside


def _filled(drawn: NDArray[np.bool_], walls: Sequence[tuple[bool, bool]]) -> NDArray[np.bool_]:
    """Fill what is enclosed, sides that are walls enclosing as well."""
    framed = np.pad(drawn, 1)
    for axis, sides in enumerate(walls):
        for at, is_wall in zip((0, -1), sides, strict=True):
            framed[(slice(None),) * axis + (at,)] |= is_wall
    return np.asarray(ndimage.binary_fill_holes(framed)[1:-1, 1:-1])
