"""Numbers as text, written the same way everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def duration(seconds: float) -> str:
    """Write seconds as ``3:25`` or ``1:03:25``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(n: int, noun: str) -> str:
    """Write a number and its noun, in the plural where needed: ``1 object``, ``2 objects``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def readable(name: str) -> str:
    """Write a file name as text that can be stored: bytes in it that are no Unicode become escapes."""
    return name.encode(errors="backslashreplace").decode()


def shape_words(shape: Sequence[int]) -> str:
    """Write the shape of an array as ``64 x 512 x 512``."""
    return " x ".join(map(str, shape))
