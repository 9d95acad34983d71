"""The resolutions of a label image: which there are."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.axes import SPATIAL, spatial_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.files.lazy_image import LazyImage

SMALLEST = 256
"""Pixels along Y and X that need no smaller level."""
MOST_LEVELS = 16


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Shapes of the levels, and how many pixels of the full resolution each of their pixels stands for."""

    axes: str
    shapes: tuple[tuple[int, ...], ...]
    factors: tuple[tuple[int, ...], ...]


def pyramid_like(image: LazyImage, axes: str) -> Pyramid | None:
    """Levels as those of the image, if it has several and each is smaller by whole numbers; else None.

    Parameters
    ----------
    image : LazyImage
        At the level that becomes the full resolution of the labels.
    axes : str
        Of the labels.
    """
    levels = [tuple(shape[image.axes.index(letter)] for letter in axes) for shape in image.levels[image.level :]]
    if len(levels) < 2 or levels[0] != tuple(image.shape[image.axes.index(letter)] for letter in axes):
        return None
    factors = [tuple(max(round(n / own), 1) for n, own in zip(levels[0], shape, strict=True)) for shape in levels]
    if len(set(factors)) < len(factors) or not all(_is_multiple(a, b) for a, b in itertools.pairwise(factors)):
        return None
    return Pyramid(axes, tuple(_shape(levels[0], one) for one in factors), tuple(factors))


def pyramid_of(shape: tuple[int, ...], axes: str, spacing: Sequence[float] | None) -> Pyramid:
    """Levels of half the size each along Y and X, along Z as far as that makes pixels more alike in all directions."""
    steps = dict(zip(spatial_axes(axes), spacing or (1.0,) * len(spatial_axes(axes)), strict=True))
    factor = dict.fromkeys(axes, 1)
    factors = [tuple(factor.values())]
    while len(factors) < MOST_LEVELS and max(_shape(shape, factors[-1])[-2:]) > SMALLEST:
        finest = min(steps[letter] * factor[letter] for letter in "YX")
        for letter in steps:
            if letter in "YX" or (letter in SPATIAL and steps[letter] * factor[letter] < 2 * finest):
                factor[letter] *= 2
        factors.append(tuple(factor.values()))
    return Pyramid(axes, tuple(_shape(shape, one) for one in factors), tuple(factors))


def factors_of(shapes: Sequence[Sequence[int]], scales: Sequence[Sequence[float]]) -> list[tuple[int, ...]] | None:
    """Pixels of the full resolution that one of each level stands for, per axis; None where they are no whole numbers.

    Parameters
    ----------
    shapes, scales : sequence of sequence
        Of each level: pixels, and their size as the store says. Where that does not fit the pixels, as where it says
        nothing, each level is as much smaller than the one before as their shapes are.
    """
    if len(set(map(len, (*shapes, *scales)))) > 1:
        return None
    found = [(1,) * len(shapes[0])]
    for level in range(1, len(shapes)):
        factors = []
        for full, before, n, first, own, so_far in zip(
            shapes[0], shapes[level - 1], shapes[level], scales[0], scales[level], found[-1], strict=True
        ):
            said, seen = round(own / first) if first else 0, so_far * round(before / n)
            fitting = [one for one in (said, seen) if one > 0 and full // one <= n <= -(-full // one)]
            if not fitting:
                return None
            factors.append(fitting[0])
        found.append(tuple(factors))
    return found


def _shape(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // factor) for n, factor in zip(shape, factors, strict=True))


def _is_multiple(finer: Sequence[int], coarser: Sequence[int]) -> bool:
    return all(b % a == 0 for a, b in zip(finer, coarser, strict=True))
