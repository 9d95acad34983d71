"""The table of a large image's objects, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import SPATIAL
from embedseg_napari.core.files.units import ascii_unit
from embedseg_napari.jobs.object_table import first_names

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def is_table_of_blocks(path: Path) -> bool:
    """Whether a file is such a table, by the names of its columns; none of Parquet is."""
    names = first_names(path)
    return names[:1] == ["label"] and {"score", "size", "center_x", "first_x", "last_x"} <= {*names}


def columns_of(
    numbers: NDArray[np.uint32],
    rows: NDArray[Any],
    start: tuple[int, ...],
    frame: int | None,
    spacing: tuple[float, ...] | None,
    unit: str | None,
) -> dict[str, Any]:
    """Columns of some objects: in pixels of the whole image, and where the pixel size is known in its unit.

    Parameters
    ----------
    numbers : ndarray, shape (n,)
        Their labels.
    rows : ndarray, shape (n,)
        What blocks keep of them.
    start : tuple of int
        First pixel of the region (z, y, x).
    frame : int, optional
        Time point, in a time-lapse.
    spacing : tuple of float, optional
        Pixel size (z, y, x).
    unit : str, optional
        Its unit.
    """
    letters = [letter.lower() for letter in SPATIAL[-len(start) :]]
    table: dict[str, Any] = {"label": numbers}
    if frame is not None:
        table["frame"] = np.full(len(numbers), frame)
    table |= {"score": rows["score"].astype(float), "size": rows["size"]}
    for kind in ("center", "centroid", "first", "last"):
        for axis, letter in enumerate(letters):
            table[f"{kind}_{letter}"] = rows[kind][:, axis] + start[axis]
    if spacing is not None:
        word = ascii_unit(unit)
        volume = 1.0
        for step in spacing:
            volume *= step
        table[f"size_{word}{len(start)}"] = rows["size"] * volume
        for kind in ("center", "centroid", "first", "last"):
            for axis, letter in enumerate(letters):
                # The outer edges of the first and the last pixel bound the object.
                shift = {"first": -0.5, "last": 0.5}.get(kind, 0.0)
                table[f"{kind}_{letter}_{word}"] = (rows[kind][:, axis] + start[axis] + shift) * spacing[axis]
    return table
