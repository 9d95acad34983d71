"""How axes, pixel size, frame interval and channel names are written into TIFF: as ImageJ does, and as OME does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import SPATIAL, spatial_axes
from embedseg_napari.core.files.units import ascii_unit, ome_unit

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_stored(axes: str, spacing: Sequence[float] | None) -> tuple[str, Sequence[float] | None]:
    """The letters that a file gives to the places of an array, and the pixel size of these, (z, y, x)."""
    space = iter(spatial_axes(axes))
    stored = "".join(next(space) if letter in SPATIAL else letter for letter in axes)
    if spacing is None or stored == axes:
        return stored, spacing
    sizes = dict(zip(spatial_axes(axes), spacing, strict=True))
    return stored, [sizes[axes[stored.index(letter)]] for letter in spatial_axes(stored)]


def imagej_options(
    shape: tuple[int, ...],
    axes: str,
    spacing: Sequence[float] | None,
    unit: str | None,
    names: Sequence[str],
    interval: float | None,
) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for a file of ImageJ's."""
    metadata: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if spacing is not None:
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
        metadata["unit"] = ascii_unit(unit)
        if len(spacing) == 3:
            metadata["spacing"] = float(spacing[0])
    if interval is not None and "T" in axes:
        metadata |= {"finterval": float(interval), "tunit": "sec"}
    if names and "C" in axes:
        metadata["Labels"] = list(names) * math.prod(n for n, letter in zip(shape, axes, strict=True) if letter in "TZ")
    return options


def ome_options(
    axes: str, spacing: Sequence[float] | None, unit: str | None, names: Sequence[str], interval: float | None
) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for an OME-TIFF."""
    metadata: dict[str, Any] = {"axes": axes}
    if spacing is not None:
        for letter, size in zip(spatial_axes(axes), spacing, strict=True):
            metadata[f"PhysicalSize{letter}"] = float(size)
            metadata[f"PhysicalSize{letter}Unit"] = ome_unit(unit)
    if interval is not None and "T" in axes:
        metadata |= {"TimeIncrement": float(interval), "TimeIncrementUnit": "s"}
    if names and "C" in axes:
        # XML has no place for control characters.
        metadata["Channel"] = {"Name": ["".join(one for one in name if one.isprintable()) for name in names]}
    return {"ome": True, "metadata": metadata}


def colour_options(
    axes: str, spacing: Sequence[float] | None, unit: str | None, interval: float | None, *, has_alpha: bool
) -> dict[str, Any]:
    """Arguments of `tifffile.imwrite` for an OME-TIFF of colours, which are the last axis."""
    options = ome_options(axes[:-1], spacing, unit, (), interval)
    options["metadata"]["axes"] = f"{axes[:-1]}S"
    options |= {"photometric": "rgb", "planarconfig": "contig"}
    return options | ({"extrasamples": ("unassalpha",)} if has_alpha else {})


def storable(array: np.ndarray) -> np.ndarray:
    """Give types that have no place in a TIFF the nearest one that holds their values."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.name not in ("int64", "uint64"):
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.dtype("int32"), np.dtype("uint32")):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.float64)
