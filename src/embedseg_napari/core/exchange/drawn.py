"""Objects as other programs draw them, before they are pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.fill import TOGETHER, fill
from embedseg_napari.core.exchange.outlines import outlines
from embedseg_napari.core.measure.sums import pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LARGEST_LABEL = 2**32 - 1
MOST_COMPARED = 200
"""Pieces of an object that are compared two by two."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An object, or its part on one plane."""

    pieces: Sequence[Sequence[Any]]
    """Outlines of each piece, corners (n, 2) as x, y. What lies inside an even number of those of one piece is a hole;
    where two pieces overlap there is none."""
    label: int | None = None
    """Its number, if the file gives one."""
    name: str = ""
    t: int | None = None
    z: int | None = None
    position: int | None = None
    """Plane of a stack whose axis is not named; `t` and `z` go before. All from 0."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a file of annotations holds."""

    objects: Iterable[Drawn | None]
    """Read one by one, in the order of the file; None for what has no area."""
    left_out: str
    """What has no area, in a sentence that follows how many there are."""
    nothing: str
    """What to say if there is nothing else, to follow the file's name."""


def paint(drawing: Drawing, shape: Sequence[int], axes: str) -> tuple[NDArray[np.int64], list[str]]:
    """Make a label image of a drawing; some of its objects are in memory at a time.

    Objects keep their numbers where all have one; an object whose number is missing gets one of its own.

    Parameters
    ----------
    drawing : Drawing
        What was drawn.
    shape : sequence of int
        Of the label image.
    axes : str
        Its axes, (T)(Z)YX in any order.

    Returns
    -------
    labels : ndarray of int64
        In the order of `axes`.
    words : list of str
        What the user should know: pixels that two objects share, objects that lie outside.

    Raises
    ------
    DataError
        If no object has a pixel, a corner is no number, or no number is left for an object.
    """
    order = ordered(axes)
    labels = np.zeros([shape[axes.index(letter)] for letter in order], np.int64)
    stack = labels.reshape(-1, *labels.shape[-2:])
    given: list[int | None] = []
    names: list[str] = []
    waiting: dict[int, list[tuple[int, Sequence[Any]]]] = {}
    """Objects that are yet to be painted, by plane."""
    n_corners = n_over = n_outside = n_left_out = n_renumbered = 0
    is_placed = False

    def paint_waiting() -> int:
        n = sum(
            fill(stack[at], [number for number, _ in members], [rings for _, rings in members])
            for at, members in waiting.items()
        )
        waiting.clear()
        return n

    for one in drawing.objects:
        if one is None:
            n_left_out += 1
            continue
        given.append(one.label if one.label is not None and 0 < one.label <= LARGEST_LABEL else None)
        n_renumbered += given[-1] != one.label
        names.append(one.name if given[-1] is None else "")
        at = _plane(one, order, labels.shape)
        is_placed = is_placed or any(place is not None for place in (one.t, one.z, one.position))
        if at is None:
            n_outside += 1
            continue
        # By its place in the file for now: its number may depend on those that follow.
        rings = _united(one.pieces, stack.shape[1:])
        waiting.setdefault(at, []).append((len(given), rings))
        n_corners += sum(map(len, rings))
        if n_corners > TOGETHER:
            n_over, n_corners = n_over + paint_waiting(), 0
    n_over += paint_waiting()
    left_out = [f"{n_left_out} {drawing.left_out}"] if n_left_out else []
    if not given:
        raise DataError(" ".join([drawing.nothing, *left_out]))
    if n_outside == len(given):
        raise DataError("None of the objects lies on a slice or frame that the image has; was another image annotated?")
    numbers = np.array([0, *_numbers(given, names)], np.int64)
    is_there = np.zeros(len(numbers), bool)
    for plane in stack:
        for piece in pieces(plane.shape):
            is_there[plane[piece]] = True
            plane[piece] = numbers[plane[piece]]
    if not is_there[1:].any():
        raise DataError("None of the objects covers a pixel of the image; was another image annotated?")
    lost = set(numbers.tolist()) - set(numbers[is_there].tolist()) - {0}
    words = left_out
    if len(stack) > 1 and not is_placed:
        words.append("Nothing says on which slice or frame the objects lie; they are on the first.")
    if n_over:
        words.append(f"{n_over} pixels lie in two objects; the one that comes later in the file has them.")
    if n_outside:
        words.append(f"{n_outside} outlines lie on slices or frames that the image does not have, and are left out.")
    if n_renumbered:
        words.append(f"{n_renumbered} objects have numbers that are not within 1 to {LARGEST_LABEL:,}, and got others.")
    if lost:
        words.append(f"{len(lost)} objects have no pixel: they lie outside, are covered, or are too small.")
    return reorder(labels, order, axes), words


def _united(pieces: Sequence[Sequence[Any]], shape: Sequence[int]) -> Sequence[Any]:
    """The outlines of pieces as those of one, so that there is no hole where two of them overlap."""
    pieces = [[ring for ring in rings if len(ring)] for rings in pieces]
    pieces = [rings for rings in pieces if rings]
    every = [ring for rings in pieces for ring in rings]
    if len(pieces) < 2:
        return every
    low, high = (
        np.stack([edge([edge(ring, axis=0) for ring in rings], axis=0) for rings in pieces])
        for edge in (np.min, np.max)
    )
    # With many pieces it is cheaper to draw them than to compare each with all others.
    if len(pieces) <= MOST_COMPARED:
        meets = ((low[:, None] < high) & (low < high[:, None])).all(-1)
        if not np.triu(meets, 1).any():
            return every
    first = np.clip(np.floor(low.min(0)), 0, shape[::-1])
    last = np.clip(np.ceil(high.max(0)), 0, shape[::-1])
    if not (first < last).all():
        return every
    corner, size = first.astype(int), (last - first).astype(int)
    mask = np.zeros(size[::-1], np.uint8)
    fill(mask, [1] * len(pieces), [[ring - corner for ring in rings] for rings in pieces])
    return [ring + corner for _, found in outlines(mask) for piece in found for ring in piece.rings]


def number_of(value: Any) -> int | None:
    """The number that a file gives an object; None if it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(given: Sequence[int | None], names: Sequence[str]) -> list[int]:
    """The number of each object, of which some may be given."""
    # Names that are numbers, one for each object, are theirs.
    if all(number is None for number in given) and all(map(_is_number, names)) and len({*names}) == len(names):
        return [int(name) for name in names]
    following = max((number for number in given if number is not None), default=0) + 1
    found = []
    for number in given:
        if number is None:
            number, following = following, following + 1
        found.append(number)
    if following > LARGEST_LABEL + 1:
        raise DataError(
            f"Some objects have the number {LARGEST_LABEL}, the largest, and others have none, for which no larger one "
            "is left; number them all, or none."
        )
    return found


def _is_number(name: str) -> bool:
    """Whether a name is the number of an object."""
    return name.isdecimal() and len(name) <= len(str(LARGEST_LABEL)) and 0 < int(name) <= LARGEST_LABEL


def _plane(one: Drawn, order: str, shape: Sequence[int]) -> int | None:
    """Index of an outline's plane among all; None if there is none."""
    stacked = order[:-2]
    known = {"T": one.t, "Z": one.z}
    if stacked and one.position is not None and all(known[letter] is None for letter in stacked):
        at: int | None = one.position
    else:
        at = 0 if not any(known[letter] for letter in known if letter not in stacked) else None
        for letter, size in zip(stacked, shape, strict=False):
            place = known[letter] or 0
            at = None if at is None or not 0 <= place < size else at * size + place
    return at if at is not None and 0 <= at < np.prod(shape[:-2], dtype=int) else None
