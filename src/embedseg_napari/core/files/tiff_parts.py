"""TIFF files read in parts: tiles, strips or planes that lie apart, and the resolutions of pyramids."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from embedseg_napari.core.axes import KNOWN, parse_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import PALETTE, WHITE_IS_ZERO
from embedseg_napari.core.files.lazy_image import LazyImage, check_pieces
from embedseg_napari.core.files.metadata import read_metadata, spacing_along
from embedseg_napari.core.files.ome import broken_promise, leads_elsewhere
from embedseg_napari.core.files.picture import TIFF, Unlike, faults_told, require_file
from embedseg_napari.core.files.tiff_pages import largest_images, refuse_bomb, refuse_cut
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from pathlib import Path


def open_tiff(path: Path, level: int = 0, axes: str | None = None) -> LazyImage:
    """Open the largest image of a TIFF to be read in parts; see `core.files.lazy_image.open_image`.

    Raises
    ------
    DataError
        If it is no TIFF, damaged, has no such level, or must be read whole to be understood.
    """
    require_file(path)
    if path.suffix.lower() not in TIFF:
        raise DataError(f"{path}: is read only whole; store it as OME-Zarr or as a TIFF in tiles to read parts of it.")
    given = None if axes is None else parse_axes(axes)
    with faults_told(path), ExitStack() as stack:
        tif = stack.enter_context(tifffile.TiffFile(path))
        refuse_cut(tif)
        fault = broken_promise(tif)
        if fault is not None:
            raise Unlike(fault)
        if leads_elsewhere(tif):
            raise Unlike(
                "is one of several files of an image, and is read only whole; save the image as one file to read parts"
            )
        image = _opened(path, tif, level, given)
        # The file stays open as long as the image.
        weakref.finalize(image, stack.pop_all().close)
        return image


def _opened(path: Path, tif: tifffile.TiffFile, level: int, given: str | None) -> LazyImage:
    alike, left_out = largest_images(tif, None if given is None else len(given))
    series = alike[0]
    if len(alike) > 1:
        raise Unlike(
            f"holds {len(alike)} images of one size ({shape_words(series.shape)}), and is read only whole; save them "
            "as one stack, or as files of their own, to read parts"
        )
    levels = series.levels
    if not 0 <= level < len(levels):
        raise DataError(
            f"{path}: has {count(len(levels), 'resolution level')} (0 to {len(levels) - 1}), no level {level}."
        )
    chosen = levels[level]
    painted = int(chosen.keyframe.photometric)
    if painted in (WHITE_IS_ZERO, PALETTE) and not tif.is_imagej:
        raise Unlike("its numbers stand for colours or have white as 0; it is read only whole, save it as plain grey")
    if any(page is None for page in chosen.pages):
        raise Unlike("some of its planes lie in other files that are missing")
    refuse_bomb(tif, [page for page in chosen.pages if page is not None], chosen.nbytes)
    named = chosen.axes.upper().replace("S", "C")
    letters = given or named
    if len(letters) != len(chosen.shape):
        raise DataError(f"{path}: axes {letters!r} do not fit its shape {chosen.shape}.")
    if not _are_known(letters):
        raise DataError(f"{path}: has the axes {chosen.axes} (shape {chosen.shape}); name them with --axes.")
    array, pieces = _array(path, tif, series, level)
    check_pieces(path, pieces, chosen.dtype)
    metadata = read_metadata(tif, tif.series.index(series))
    kept = "".join(one for one, n in zip(letters, chosen.shape, strict=True) if n > 1 or one in "YX")
    own_letters = zip(named if _are_known(named) else letters, letters, strict=True)
    stored = "".join(name for name, letter in own_letters if letter in kept)
    spacing = spacing_along(metadata.steps, kept, stored, len(kept))
    if spacing is not None:
        # What the file says is the pixel size of the full resolution.
        full = dict(zip(letters, series.shape, strict=True))
        own = dict(zip(letters, chosen.shape, strict=True))
        spacing = tuple(step * full[one] / own[one] for one, step in zip(spatial_axes(kept), spacing, strict=True))
    names = metadata.channel_names
    if "C" not in kept or len(names) != chosen.shape[letters.index("C")]:
        names = ()
    shapes = [dict(zip(letters, one.shape, strict=True)) for one in levels if len(one.shape) == len(letters)]
    return LazyImage(
        array,
        letters,
        path,
        open_tiff,
        pieces,
        tuple(tuple(shape[letter] for letter in kept) for shape in shapes),
        level,
        spacing,
        metadata.unit if spacing else None,
        None,
        names,
        metadata.interval,
        left_out=left_out,
    )


def _are_known(letters: str) -> bool:
    return {"Y", "X"} <= set(letters) <= set(KNOWN) and len(set(letters)) == len(letters)


def _array(
    path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, level: int
) -> tuple[Any, tuple[int, ...]]:
    """The pixels of a level, and how many lie in a piece: a line where nothing is compressed, else a tile or strip."""
    chosen = series.levels[level]
    if chosen.dataoffset is not None and chosen.keyframe.is_memmappable:
        kind = np.dtype(tif.byteorder + chosen.dtype.char)
        array: Any = np.memmap(path, kind, "r", chosen.dataoffset, chosen.shape)
        return array.view(np.ndarray), (*(1,) * (array.ndim - 1), array.shape[-1])
    import zarr

    array = zarr.open_array(store=series.aszarr(level=level), mode="r")
    return array, array.chunks
