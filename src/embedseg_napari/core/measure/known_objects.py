"""What models know of the objects of a label image that are still as they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder
from embedseg_napari.core.measure.measurements import margins_of, with_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.inference.added_region import Placed
    from embedseg_napari.core.measure.measurements import Table


def with_known(table: Table, labels: NDArray[Any], parts: Sequence[Placed], first_frame: int = 0) -> Table:
    """A table with scores and margins of the objects whose pixels are those that were found, whatever their numbers.

    Parameters
    ----------
    table : dict
        What was measured of the labels.
    labels : ndarray of int, shape ((T,) (Z,) Y, X)
        The labels as they are now.
    parts : sequence of Placed
        What was found in them. Where several know an object, the last does.
    first_frame : int
        What the table calls the first frame.
    """
    known = {name: np.full(len(table["label"]), np.nan) for name in ("score", "margin_px")}
    for placed in parts:
        found = placed.segmentation
        was = reorder(found.labels, found.label_axes, ordered(found.label_axes))
        window = tuple(slice(at, at + n) for at, n in zip(placed.start, was.shape, strict=True))
        if labels.ndim != was.ndim or labels[window].shape != was.shape:
            # It was cut, or is another image's.
            continue
        values = {"score": np.asarray(found.scores, float), "margin_px": margins_of(found)}
        planes = zip(was, labels[window], strict=True) if found.frames else [(was, labels[window])]
        for t, (before, now) in enumerate(planes):
            rows = np.arange(len(table["label"]))
            if found.frames:
                rows = np.flatnonzero(table["frame"] == first_frame + placed.start[0] + t)
            numbers, same = _unchanged(before, now, table["label"][rows], table["num_pixels"][rows])
            for name, own in values.items():
                if own is not None:
                    known[name][rows[same]] = own[numbers - 1]
    return with_columns(table, {name: column for name, column in known.items() if np.isfinite(column).any()})


def _unchanged(
    was: NDArray[Any], now: NDArray[Any], ids: NDArray[Any], sizes: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the objects that are as they were, and where their numbers of now are among `ids`, which ascend."""
    size = np.bincount(was.ravel())
    number = np.zeros(len(size), now.dtype)
    # That of any of its pixels: all have the same where it is unchanged.
    number[was] = now
    is_same = size > 0
    is_same[was[number[was] != now]] = False
    is_same[0] = False
    if not len(ids):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    row = np.searchsorted(ids, number).clip(max=len(ids) - 1)
    is_same &= (ids[row] == number) & (sizes[row] == size)
    numbers = np.flatnonzero(is_same)
    return numbers, row[numbers]
