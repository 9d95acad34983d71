"""Volumes and movies plane by plane, for formats that know planes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import ordered, reorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane of labels, and where it lies."""

    labels: NDArray[Any]
    """(Y, X); a view."""
    t: int | None = None
    """Frame, from 0; None where there is one image."""
    z: int | None = None
    """Slice, from 0; None in 2D."""

    @property
    def suffix(self) -> str:
        """What tells it from other planes in a name; empty where there is one."""
        return ("" if self.t is None else f"-t{self.t}") + ("" if self.z is None else f"-z{self.z}")


def planes_of(labels: NDArray[Any], axes: str) -> Iterator[Plane]:
    """The planes of labels with axes (T)(Z)YX in any order, frame by frame and slice by slice."""
    turned = reorder(labels, axes, ordered(axes))
    frames = turned if "T" in axes else turned[None]
    for t, frame in enumerate(frames):
        slices = frame if "Z" in axes else frame[None]
        for z, plane in enumerate(slices):
            yield Plane(plane, t if "T" in axes else None, z if "Z" in axes else None)
