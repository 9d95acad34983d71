"""Numbers as text, written the same way everywhere."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of the text behind them."""


def clock_time(seconds: float) -> str:
    """Write seconds as ``3:25`` or ``1:03:25``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Write seconds roughly: ``45 s``, ``12 min``, ``1 h 05 min``."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(n: int, noun: str) -> str:
    """Write a number and its noun, in the plural where needed: ``1 object``, ``2 objects``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def alpha_words(n_channels: int, wanted: int) -> str:
    """What helps an image of four channels where three colours are wanted, as a sentence that follows another."""
    is_colour = (n_channels, wanted) == (4, 3)
    return " If the fourth channel is alpha (transparency), save the image as RGB." if is_colour else ""


def memory_words(n_bytes: float) -> str:
    """An amount of memory as people say it, such as ``"1.5 GB"`` or ``"300 MB"``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.{0 if n_bytes >= 1e7 else 1}f} MB"


def readable(name: str) -> str:
    """Write a file name as text that can be stored: bytes in it that are no Unicode become escapes."""
    return name.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """Write names that come from files or people so that no terminal takes them for commands: such characters escaped.

    Lines stay lines.
    """
    return "".join(one if one == "\n" or not _is_command(one) else ascii(one)[1:-1] for one in text)


def _is_command(one: str) -> bool:
    return one in TURNING or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")


def score_words(score: float, n_held_out_objects: int = 0, few: int = 0) -> str:
    """Write the score of a training as a sentence, the same in the panels, on the command line and in a model's card.

    Parameters
    ----------
    score : float
        Part of the held-out objects that are found, or AP on held-out images; mean over IoU 0.5 to 0.9.
    n_held_out_objects : int
        Objects that were held out; 0 where images were.
    few : int
        Fewer objects than this tell little, which is said.
    """
    if not n_held_out_objects:
        return f"Mean AP on the held-out images, over IoU 0.5 to 0.9: {score:.3f}."
    little = "; these are too few to tell much" if n_held_out_objects < few else ""
    held_out = count(n_held_out_objects, "held-out object")
    return f"It finds {100 * score:.0f} % of the {held_out}, averaged over IoU 0.5 to 0.9{little}."


def no_score_words(steps: int, n_found: int = 0, n_held_out_objects: int = 0) -> str:
    """Write that a training was stopped and its model has no score, the same in the panels and on the command line.

    Parameters
    ----------
    steps : int
        That it made.
    n_found, n_held_out_objects : int
        Held-out objects that its model finds, where that is known all the same, and how many there are.
    """
    known = "has no score"
    if n_held_out_objects:
        known = f"finds {n_found} of {count(n_held_out_objects, 'held-out object')}"
    return f"It was stopped after {count(steps, 'step')} and {known}: look well at what it finds."


def shape_words(shape: Sequence[int]) -> str:
    """Write the shape of an array as ``64 x 512 x 512``."""
    return " x ".join(map(str, shape))
