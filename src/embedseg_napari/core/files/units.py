"""Units of length and time as image files write them."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MICROMETRE = "um"
_PREFIXES = {"pico": "p", "nano": "n", "micro": "u", "milli": "m", "centi": "c", "": ""}
_NAMES = {
    f"{prefix}{metre}{plural}": f"{short}m"
    for prefix, short in _PREFIXES.items()
    for metre in ("metre", "meter")
    for plural in ("", "s")
}
_NAMES |= {"micron": "um", "microns": "um", "μm": "um", "µm": "um", "âµm": "um", "âμm": "um", "u": "um", "μ": "um"}
_NAMES |= {f"{prefix}m": f"{prefix}m" for prefix in "pnumc"} | {"m": "m"}
_NAMES |= dict.fromkeys(("å", "a", "angstrom", "angstroms", "ångström", "ångstrom", "angström"), "Å")
_NAMES |= dict.fromkeys(("in", "inch", "inches", '"'), "inch")
MICROMETRES = {"pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
"""Micrometres in the units that are kept as they are."""
_OTHERS = {"inch": 25_400.0, "thou": 25.4, "li": 25_400 / 12, "ft": 304_800.0, "yd": 914_400.0}
_OTHERS |= {"fm": 1e-9, "am": 1e-12, "dm": 1e5, "dam": 1e7, "hm": 1e8, "km": 1e9}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def normalize_unit(unit: str | None) -> str | None:
    """Return a unit of length in its short form: micrometres as ``"um"``, pixels and nothing as None."""
    if unit is None:
        return None
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), str(unit))
    text = text.strip().strip("\0").strip()
    # One of two signs for micro, of two for the ångström.
    word = unicodedata.normalize("NFKC", text).lower()
    return None if word in ("", "pixel", "pixels", "reference frame") else _NAMES.get(word, text)


def micrometres(unit: str | None) -> float | None:
    """How many micrometres a unit in its short form has; None if it is no length."""
    return MICROMETRES.get(unit or "", _OTHERS.get(unit or ""))


def converted(step: float, unit: str | None, other: str | None) -> float | None:
    """A length in another unit; None if one of them is none, and they are not the same."""
    here, there = micrometres(unit), micrometres(other)
    if unit == other:
        return step
    return None if here is None or there is None else step * here / there


def in_unit(steps: Sequence[float] | None, unit: str | None, other: str | None) -> tuple[float, ...] | None:
    """A pixel size in another unit; None if it cannot be told."""
    told = [converted(step, unit, other) for step in steps or ()]
    known = tuple(step for step in told if step is not None)
    return known if known and len(known) == len(told) else None


def in_micrometres(steps: tuple[float, ...] | None, unit: str | None) -> tuple[tuple[float, ...] | None, str | None]:
    """A pixel size and its unit: in micrometres where that is a length, else as they are."""
    size = in_unit(steps, unit, MICROMETRE)
    return (steps, unit) if size is None else (size, MICROMETRE)


def seconds(value: Any, unit: str | None) -> float | None:
    """A span of time in seconds; None if it is none."""
    number, factor = positive(value), _SECONDS.get((unit or "s").strip().lower())
    return None if number is None or factor is None else number * factor


def positive(value: Any) -> float | None:
    """Return a value as a positive, finite number, or None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def size(value: Any) -> float | None:
    """The size of a pixel whatever its sign, which says only in which direction an axis was recorded."""
    try:
        return positive(abs(float(value)))
    except (TypeError, ValueError, OverflowError):
        return None


def ascii_unit(unit: str | None) -> str:
    """A unit in the description of an ImageJ TIFF, which is ASCII and escapes other letters as Java does."""
    letters = [letter for letter in unit or "pixel" if ord(letter) < 1 << 16]
    return "".join(letter if " " <= letter <= "~" else f"\\u{ord(letter):04x}" for letter in letters)


def ome_unit(unit: str | None) -> str:
    """A unit in OME-XML, which knows a fixed list; of any other only the number of pixels is right."""
    return {"um": "µm"}.get(unit or "", unit or "") if unit in MICROMETRES else "pixel"


def unit_words(unit: str | None) -> str:
    """A unit as people read it; empty where there is none."""
    return {MICROMETRE: "µm"}.get(normalize_unit(unit) or "", unit or "")
