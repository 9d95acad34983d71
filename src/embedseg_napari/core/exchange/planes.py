"""Volumes and movies plane by plane, for formats that know planes only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import read_part
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.measure.blocks import is_lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Within:
    """Where labels lie in the image that they are a part of, by the letters of their axes."""

    start: Mapping[str, int]
    """First pixel, and first frame."""
    shape: Mapping[str, int]
    """Of the image."""

    @property
    def words(self) -> str:
        """Where they begin, as people say it; empty where they begin with the image."""
        if not any(self.start.values()):
            return ""
        names = {"T": "frame"}
        return ", ".join(f"{names.get(letter, letter.lower())} {first}" for letter, first in self.start.items())


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane of labels, and where it lies."""

    labels: NDArray[Any]
    """(Y, X); a view."""
    t: int | None = None
    """Frame, from 0; None where there is one image."""
    z: int | None = None
    """Slice, from 0; None in 2D."""
    corner: tuple[int, int] = (0, 0)
    """Its first pixel (y, x) in the plane of the image."""
    whole: tuple[int, int] = (0, 0)
    """Size (y, x) of the plane of the image."""

    @property
    def suffix(self) -> str:
        """What tells it from other planes in a name; empty where there is one."""
        return ("" if self.t is None else f"-t{self.t}") + ("" if self.z is None else f"-z{self.z}")


@dataclass(frozen=True, slots=True, eq=False)
class Overlaid:
    """Label images that lie over each other, so that objects may share pixels; each object is in one of them."""

    groups: tuple[NDArray[Any], ...]
    """At least one, of one shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each."""
        return self.groups[0].shape


def planes_of(labels: Any, axes: str, within: Within | None = None) -> Iterator[Plane]:
    """The planes of labels with axes (T)(Z)YX in any order, frame by frame and slice by slice.

    Of labels that lie over each other there are several planes of one place. Where they are a part of an image, planes
    are those of the image.

    Raises
    ------
    DataError
        If labels that are read plane by plane are no numbers of objects.
    """
    start = {} if within is None else within.start
    height, width = whole_plane(labels, axes, within)
    for place in parts_of(labels, axes, "TZ"):
        # Labels of a single frame or slice may lack its axis, which their image has.
        at = {letter: place.get(letter, 0) + start.get(letter, 0) for letter in {*place, *start}}
        for one in labels.groups if isinstance(labels, Overlaid) else (labels,):
            corner = start.get("Y", 0), start.get("X", 0)
            yield Plane(read_ids(one, axes, place), at.get("T"), at.get("Z"), corner, (height, width))


def whole_plane(labels: Any, axes: str, within: Within | None) -> tuple[int, int]:
    """Size (y, x) of the planes of the image."""
    if within is not None:
        return within.shape["Y"], within.shape["X"]
    return labels.shape[axes.index("Y")], labels.shape[axes.index("X")]


def parts_of(labels: Any, axes: str, letters: str) -> Iterator[dict[str, int]]:
    """The places along some of the axes, as far as there are such."""
    own = [letter for letter in letters if letter in axes]
    for place in itertools.product(*(range(labels.shape[axes.index(letter)]) for letter in own)):
        yield dict(zip(own, place, strict=True))


def read_ids(labels: Any, axes: str, key: Mapping[str, int | slice]) -> NDArray[Any]:
    """A part of labels that may be lazy, see :func:`core.axes.read_part`.

    Raises
    ------
    DataError
        If they are no numbers of objects.
    """
    part = read_part(labels, axes, key)
    if is_lazy(labels):
        require_kept_ids(part, "The label image")
    return part.view(np.uint8) if part.dtype == bool else part
