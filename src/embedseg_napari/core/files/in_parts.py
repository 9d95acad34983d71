"""The one way to open an image of any size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.files.tiff_parts import open_tiff
from embedseg_napari.core.files.zarr_image import is_store, open_zarr

if TYPE_CHECKING:
    from embedseg_napari.core.files.lazy_image import LazyImage


def open_image(path: str | Path, level: int = 0, axes: str | None = None) -> LazyImage:
    """Open an image that is read in parts: an OME-Zarr (0.1 to 0.5), or a TIFF of any size with all its resolutions.

    Parameters
    ----------
    path : path
        The group of an image (or of labels), one of its resolutions, or a TIFF file.
    level : int
        Resolution, 0 for the full one.
    axes : str, optional
        One letter per axis as stored, where the file does not say or says wrong.

    Raises
    ------
    DataError
        If it is no such image, has no such level, or is of a kind that is only read whole.
    """
    path = Path(path)
    return open_zarr(path, level, axes) if is_store(path) else open_tiff(path, level, axes)
