"""Physical pixel size, unit, frame interval and channel names in the metadata of TIFF files."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.files.units import (
    MICROMETRE,
    MICROMETRES,
    micrometres,
    normalize_unit,
    positive,
    seconds,
    size,
)

if TYPE_CHECKING:
    import tifffile

logger = logging.getLogger(__name__)

Steps = tuple[float | None, float, float]
"""Physical pixel size (z, y, x); z is None where a file does not say."""
FINEST_PRINT = 10.0
"""Micrometres. A pixel size in inches or centimetres is one of the microscope only below this; above, it is that of a
printer or screen (2540 dots per inch and fewer), which programs write without being asked."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says of its pixels."""

    steps: Steps | None = None
    unit: str | None = None
    channel_names: tuple[str, ...] = ()
    interval: float | None = None
    """Seconds between time points."""


def read_metadata(tif: tifffile.TiffFile, image: int = 0) -> Metadata:
    """Return what an open file says of one of its images, counted from 0 in its OME metadata."""
    if tif.is_ome and tif.ome_metadata:
        return _ome_metadata(tif.ome_metadata, image)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return _imagej_metadata(tif)
    if tif.is_lsm and tif.lsm_metadata:
        sizes = [size(tif.lsm_metadata.get(f"VoxelSize{letter}")) for letter in "ZYX"]
        interval = positive(tif.lsm_metadata.get("TimeIntervall"))
        steps, _ = in_one_unit(sizes, ["m"] * 3)
        return Metadata(_scaled(steps, 1e6), MICROMETRE, (), interval) if steps else Metadata(interval=interval)
    if tif.shaped_metadata and "unit" in (info := tif.shaped_metadata[0]):
        # What ImageJ files name these: written by those who meant to write one.
        return Metadata(
            *in_one_unit([size(info.get("spacing")), *_resolution(tif)], [normalize_unit(info["unit"])] * 3)
        )
    return Metadata(*_of_resolution(tif))


def parse_ome(text: str) -> ElementTree.Element | None:
    """Return the root of OME-XML, or None where it cannot be read."""
    # Entities are what makes foreign XML dangerous; OME-XML has no use for a document type.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        logger.warning("OME metadata with a document type is ignored.")
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        # The pixels are as good as ever; only their size and names are lost.
        logger.warning("OME metadata cannot be read (%s); pixel size and channel names are ignored.", error)
        return None


def _ome_metadata(text: str, image: int) -> Metadata:
    root = parse_ome(text)
    found = [] if root is None else root.findall(".//{*}Pixels")
    if not found:
        return Metadata()
    pixels = found[min(image, len(found) - 1)]
    named = tuple(channel.get("Name") or "" for channel in pixels.findall("{*}Channel"))
    sizes = [size(pixels.get(f"PhysicalSize{letter}")) for letter in "ZYX"]
    units = [normalize_unit(pixels.get(f"PhysicalSize{letter}Unit") or "µm") for letter in "ZYX"]
    interval = seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit"))
    return Metadata(*in_one_unit(sizes, units), named if any(named) else (), interval)


def _imagej_metadata(tif: tifffile.TiffFile) -> Metadata:
    info: dict[str, Any] = tif.imagej_metadata or {}
    count = int(positive(info.get("channels", 1)) or 1)
    labels = [str(name) for name in info.get("Labels") or ()]
    # Fiji labels every slice, channels running fastest; they name the channels if they repeat for each slice.
    is_periodic = count > 1 and len(labels) % count == 0 and labels == labels[:count] * (len(labels) // count)
    names = tuple(labels[:count]) if is_periodic else ()
    interval = seconds(info.get("finterval"), info.get("tunit"))
    unit, (y, x) = normalize_unit(info.get("unit")), _resolution(tif)
    # Fiji writes the distance of slices only where it is not 1.
    z = size(info.get("spacing", 1.0))
    if not info.get("unit"):
        steps, unit = _of_resolution(tif)
        return Metadata(steps if steps is None else (z, *steps[1:]), unit, names, interval)
    if unit is None and y == x == 1 and "spacing" not in info:
        return Metadata(None, None, names, interval)
    units = [normalize_unit(info[f"{letter}unit"]) if info.get(f"{letter}unit") else unit for letter in "zyx"]
    return Metadata(*in_one_unit([z, y, x], units), names, interval)


def _resolution(tif: tifffile.TiffFile) -> tuple[float | None, float | None]:
    """Size of a pixel (y, x) by the tags of resolution, in their unit."""
    tags, found = tif.pages.first.tags, []
    for name in ("YResolution", "XResolution"):
        value = tags[name].value if name in tags else None
        is_fraction = isinstance(value, tuple) and len(value) == 2 and value[0]
        # Fractions of 32-bit integers hold about 9 digits: 0.127 comes back as written.
        number = size(value[1] / value[0]) if is_fraction and value is not None else None
        found.append(None if number is None else float(f"{number:.9g}"))
    return found[0], found[1]


def _of_resolution(tif: tifffile.TiffFile) -> tuple[Steps | None, str | None]:
    """Pixel size by the tags of resolution alone, in micrometres, where it is not that of a printer."""
    tag = tif.pages.first.tags.get("ResolutionUnit")
    factor = {2: micrometres("inch"), 3: micrometres("cm")}.get(int(tag.value)) if tag is not None else None
    y, x = _resolution(tif)
    if factor is None or y is None or x is None or max(y, x) * factor >= FINEST_PRINT:
        return None, None
    return _rounded((None, y * factor, x * factor)), MICROMETRE


def in_one_unit(sizes: list[float | None], units: list[str | None]) -> tuple[Steps | None, str | None]:
    """Pixel size (z, y, x) in the unit of x, or in micrometres where that is an odd one.

    A size that cannot be compared with that of x, as it is no length, says nothing.
    """
    (z, y, x), (z_unit, y_unit, x_unit) = sizes, units
    # Some name one number for both.
    if x is None:
        x, x_unit = y, y_unit
    if y is None:
        y, y_unit = x, x_unit
    if y is None or x is None:
        return None, None
    length = micrometres(x_unit)
    unit = x_unit if length is None or x_unit in MICROMETRES else MICROMETRE

    def converted(value: float | None, own: str | None) -> float | None:
        if value is None or own == unit:
            return value
        own_length = micrometres(own)
        return None if own_length is None or length is None else value * own_length / (micrometres(unit) or 1.0)

    z, y, x = converted(z, z_unit), converted(y, y_unit), converted(x, x_unit)
    return (None, None) if y is None or x is None else (_rounded((z, y, x)), unit)


def spacing_along(steps: Steps | None, axes: str, stored: str, ndim: int) -> tuple[float, ...] | None:
    """Pixel size for the spatial axes; slices of unknown distance are taken to be as far apart as pixels in x.

    The file gives sizes for the axes it names, `stored`; where those were given other letters, each keeps its size.
    """
    if steps is None:
        return None
    z, y, x = steps
    sizes = {"Z": x if z is None else z, "Y": y, "X": x}
    if not axes:
        return tuple(sizes.values()) if ndim > 2 and z is not None else (y, x)
    if len(stored) == len(axes):
        sizes |= {letter: sizes[name] for letter, name in zip(axes, stored, strict=True) if name in sizes}
    return tuple(sizes[letter] for letter in spatial_axes(axes))


def _scaled(steps: Steps, factor: float) -> Steps:
    z, y, x = steps
    return _rounded((None if z is None else z * factor, y * factor, x * factor))


def _rounded(steps: Steps) -> Steps:
    """Without the dust of binary fractions: 0.2, not 0.19999999999999998."""
    z, y, x = steps
    return None if z is None else float(f"{z:.12g}"), float(f"{y:.12g}"), float(f"{x:.12g}")
