"""Physical pixel size, unit and channel names in the metadata of OME and ImageJ TIFFs."""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tifffile

logger = logging.getLogger(__name__)

MICROMETRE = "um"
_UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "âµm", "micron", "microns", "micrometer", "micrometers", "micrometre"), "um"),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre"), "nm"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre"), "mm"),
}
_MICROMETRES = {"nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}

Steps = tuple[float | None, float, float]
"""Physical pixel size (z, y, x); z is None where a file does not say."""


def read_metadata(tif: tifffile.TiffFile) -> tuple[Steps | None, str | None, tuple[str, ...]]:
    """Return the physical pixel size, its unit and the names of the channels, as far as an open file gives them."""
    if tif.is_ome and tif.ome_metadata:
        return _ome_metadata(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return _imagej_metadata(tif)
    return None, None, ()


def _ome_metadata(text: str) -> tuple[Steps | None, str | None, tuple[str, ...]]:
    # Entities are what makes foreign XML dangerous; OME-XML has no use for a document type.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        logger.warning("OME metadata with a document type is ignored.")
        return None, None, ()
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        # The pixels are as good as ever; only their size and names are lost.
        logger.warning("OME metadata cannot be read (%s); pixel size and channel names are ignored.", error)
        return None, None, ()
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None, None, ()
    named = tuple(channel.get("Name") or "" for channel in pixels.findall("{*}Channel"))
    names = named if any(named) else ()
    z, y, x = (positive(pixels.get(f"PhysicalSize{letter}")) for letter in "ZYX")
    if y is None or x is None:
        return None, None, names
    units = [normalize_unit(pixels.get(f"PhysicalSize{letter}Unit") or "µm") for letter in "ZYX"]
    lengths = [_MICROMETRES.get(unit or "") for unit in units]
    if units[0] != units[2] and z is not None and lengths[0] and lengths[2]:
        z *= lengths[0] / lengths[2]
    if units[1] != units[2] and lengths[1] and lengths[2]:
        y *= lengths[1] / lengths[2]
    return (z, y, x), units[2], names


def _imagej_metadata(tif: tifffile.TiffFile) -> tuple[Steps | None, str | None, tuple[str, ...]]:
    info: dict[str, Any] = tif.imagej_metadata or {}
    count = int(info.get("channels", 1))
    labels = [str(name) for name in info.get("Labels") or ()]
    # Fiji labels every slice, channels running fastest; they name the channels if they repeat for each slice.
    is_periodic = count > 1 and len(labels) % count == 0 and labels == labels[:count] * (len(labels) // count)
    names = tuple(labels[:count]) if is_periodic else ()
    tags = tif.pages.first.tags
    y, x = (
        positive(tags[name].value[1] / tags[name].value[0]) if name in tags and tags[name].value[0] else None
        for name in ("YResolution", "XResolution")
    )
    written = info.get("unit")
    unit = normalize_unit(written)
    if not written or y is None or x is None:
        return None, None, names
    if unit is None and y == x == 1 and "spacing" not in info:
        return None, None, names
    # Fractions of 32-bit integers hold about 9 digits: 0.127 comes back as written.
    y, x = float(f"{y:.9g}"), float(f"{x:.9g}")
    # Fiji writes the distance of slices only where it is not 1.
    z = positive(info.get("spacing", 1.0))
    return (z, y, x), unit, names


def normalize_unit(unit: str | None) -> str | None:
    """Return a unit of length in its short form: micrometres as ``"um"``, pixels and nothing as None."""
    if unit is None:
        return None
    text = str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip()
    if text.lower() in ("", "pixel", "pixels"):
        return None
    return _UNITS.get(text.lower(), text)


def positive(value: Any) -> float | None:
    """Return a value as a positive, finite number, or None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
