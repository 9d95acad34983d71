"""Label images as OME-Zarr with its levels."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from embedseg_napari.core.axes import ordered, spatial_axes
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.exchange.planes import read_ids
from embedseg_napari.core.files.atomic import sync_folder
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.files.leftovers import sweep_now_and_then, temporary_name
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.stores.labels import create_labels, require_replaceable
from embedseg_napari.core.stores.pyramid import build_pyramid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BLOCK = {2: 1024, 3: 128}
"""Pixels of a block along an axis, by the number of spatial axes."""


def write_ome_zarr(
    path: Path,
    labels: Any,
    axes: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a label image as a store of its own, OME-Zarr 0.5; it gets its name when it is complete.

    Parameters
    ----------
    path : Path
        Target, ``.zarr``.
    labels : array of int, shape ((T,) (Z,) Y, X)
        Ids, 0 is background; it is read block by block.
    axes : str
        Their axes.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x).
    unit : str, optional
        Unit of the spacing.
    overwrite : bool
        Whether a store that is there may be replaced.

    Raises
    ------
    AlreadyExists
        If there is a store and it may not be replaced, or something else than a label image of its own, such as an
        image with labels in it.
    DataError
        If it cannot be written.
    """
    _require_replaceable(path, overwrite)
    order = ordered(axes)
    shape = tuple(labels.shape[axes.index(letter)] for letter in order)
    like = LazyImage(
        # Its size and type are all that is asked of it.
        np.broadcast_to(np.zeros((), labels.dtype), shape),
        order,
        path,
        _nowhere,
        shape,
        unit=unit,
    )
    if spacing is not None:
        # Axes of length 1 are left out.
        sizes = dict(zip(spatial_axes(axes), spacing, strict=True))
        like = replace(like, spacing=tuple(sizes[letter] for letter in spatial_axes(like.axes)))
    draft, old = (path.with_name(temporary_name()) for _ in range(2))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_now_and_then(path.parent)
        space = spatial_axes(like.axes)
        edge = BLOCK[len(space)]
        store = create_labels(draft / path.name, like, block=[edge] * len(space))
        for box in _boxes(like, edge):
            part = read_ids(labels, axes, dict(zip(like.axes, box, strict=True)))
            store.write(box, part.reshape([side.stop - side.start for side in box]))
        for _ in build_pyramid(store):
            pass
        # What came to be there meanwhile is not replaced unasked: a full folder takes no other's name.
        if overwrite and path.exists():
            _require_replaceable(path, overwrite)
            path.rename(old)
        (draft / path.name).rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    except DataError as error:
        # The draft is gone by the time that this is read.
        raise DataError(str(error).replace(str(draft / path.name), str(path))) from error
    finally:
        # Whatever came between, an interruption as well: what was there is there again.
        if old.exists() and not path.exists():
            old.rename(path)
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


def _require_replaceable(path: Path, overwrite: bool) -> None:
    """Refuse to take the place of other labels unasked, or of anything else."""
    if is_store(path) and not overwrite:
        raise AlreadyExists(f"{path}: exists already; choose another name.")
    require_replaceable(path)


def _boxes(like: LazyImage, edge: int) -> Iterator[tuple[slice, ...]]:
    """The blocks of the store."""
    sides = [1 if letter == "T" else edge for letter in like.axes]
    yield from itertools.product(
        *([slice(a, min(a + side, n)) for a in range(0, n, side)] for side, n in zip(sides, like.shape, strict=True))
    )


def _nowhere(path: Path, level: int, axes: str | None) -> NoReturn:
    """An array in memory has no file that another process could open."""
    raise DataError(f"{path}: is not on the disk yet.")
