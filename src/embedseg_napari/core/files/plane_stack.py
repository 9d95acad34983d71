"""Stacks of planes with one object each, as files: objects that cross keep all their pixels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.picture import TIFF
from embedseg_napari.core.files.tiff import BIGTIFF_BYTES, MADE_BY, read_software
from embedseg_napari.core.files.tiff_flavours import as_stored, ome_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.core.files.picture import Picture

MARK = "planes of one object each"
"""What such a file says of itself; no axis of a TIFF means that."""


def marked(software: str) -> str:
    """What a file of planes says that it was made by."""
    return f"{software}, {MARK}"


def are_planes(picture: Picture) -> bool:
    """Whether what was read of a file is planes that were written here; one plane alone is read as a label image."""
    return "C" in picture.axes and is_plane_file(picture.path)


def is_plane_file(path: Path | None) -> bool:
    """Whether a file says of itself that it holds planes of one object each."""
    return path is not None and path.suffix.lower() in TIFF and MARK in read_software(path)


def each_plane(stack: LazyImage) -> Iterator[NDArray[np.uint8]]:
    """The planes of such a file one by one, each ((Z,) Y, X).

    Raises
    ------
    DataError
        Where the file is damaged.
    """
    if "C" in stack.axes:
        yield from (stack[index] for index in range(stack.shape[0]))
    else:
        yield stack[...]


def write_planes(
    path: str | Path,
    planes: Iterable[NDArray[np.bool_]],
    n: int,
    shape: Sequence[int],
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    software: str = MADE_BY,
    overwrite: bool = False,
) -> None:
    """Write a stack of planes, compressed, one after the other: no two of them are in memory.

    Parameters
    ----------
    path : path
        Target, ``.tif``: an OME-TIFF (planes, (Z,) Y, X) of 0 and 1, the planes as its channels.
    planes : iterable of ndarray of bool, shape `shape`
        One object each.
    n : int
        How many; of none, a single empty plane is written.
    shape : sequence of int
        Of the image without its channels.
    axes : str
        Its axes, such as ``"ZYX"``; in another order they are stored as they are, see
        :func:`~embedseg_napari.core.files.tiff.write_image`.
    spacing : sequence of float, optional
        Physical pixel size per spatial axis (z, y, x).
    unit : str, optional
        Unit of the spacing.
    software : str
        What made them, ASCII.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists, or cannot be written.
    """
    space, spacing = as_stored(axes, spacing)
    whole = (max(n, 1), *shape)
    each = planes if n else [np.zeros(shape, bool)]
    pages = (page for plane in each for page in np.ascontiguousarray(plane, np.uint8).reshape(-1, *shape[-2:]))
    write_atomically(
        Path(path),
        lambda target: tifffile.imwrite(
            target,
            pages,
            shape=whole,
            dtype=np.uint8,
            photometric="minisblack",
            compression="zlib",
            software=marked(software),
            bigtiff=math.prod(whole) >= BIGTIFF_BYTES,
            **ome_options(f"C{space}", spacing, unit, (), None),
        ),
        overwrite=overwrite,
    )
