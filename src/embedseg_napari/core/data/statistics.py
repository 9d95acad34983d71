"""Numbers about a set of annotated images that settings are derived from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.config import ObjectSizes
from embedseg_napari.core.data.centers import object_table
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.data.pairs import Example


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """What a set of annotated images holds."""

    n_images: int
    n_objects: int
    ndim: int
    n_channels: int
    sizes: ObjectSizes
    foreground_fraction: float
    background_over_foreground: float
    """Background pixels for each foreground pixel; balances the seed term in 3D. 1 without foreground."""
    is_overlapping: bool
    """Whether masks are stacks of planes."""
    spacing: tuple[float, ...] | None
    """Physical pixel size of the first image that has one, (z, y, x)."""


def measure(examples: Sequence[Example]) -> DatasetStatistics:
    """Measure objects and foreground of all images once.

    Parameters
    ----------
    examples : sequence of Example
        At least one image.

    Raises
    ------
    DataError
        If there is no image.
    """
    if not examples:
        raise DataError("There are no images to measure.")
    extents, sizes = [], []
    foreground = known = 0
    for example in examples:
        # Any centre will do here, and the centroid is the quickest.
        table = object_table(example.instances, "centroid", planes=example.is_planes)
        extents.append(table.upper - table.lower)
        sizes.append(table.sizes)
        inside = example.instances.any(0) if example.is_planes else example.instances != 0
        valid = np.ones(inside.shape, bool) if example.ignore is None else ~example.ignore
        foreground += int(np.count_nonzero(inside & valid))
        known += int(np.count_nonzero(valid))
    extent, size = np.concatenate(extents), np.concatenate(sizes)
    first = examples[0]
    measured = ObjectSizes()
    if len(size):
        measured = ObjectSizes(
            n_objects=len(size),
            mean=_floats(extent.mean(0)),
            std=_floats(extent.std(0)),
            minimum=_floats(extent.min(0)),
            maximum=_floats(extent.max(0)),
            mean_size=round(float(size.mean()), 3),
            min_size=int(size.min()),
        )
    return DatasetStatistics(
        n_images=len(examples),
        n_objects=len(size),
        ndim=first.ndim,
        n_channels=len(first.image),
        sizes=measured,
        foreground_fraction=foreground / max(known, 1),
        background_over_foreground=(known - foreground) / foreground if foreground else 1.0,
        is_overlapping=any(example.is_planes for example in examples),
        spacing=next((example.spacing for example in examples if example.spacing is not None), None),
    )


def crop_size(sizes: ObjectSizes, shapes: Sequence[Sequence[int]], least: int = 8) -> tuple[int, ...]:
    """Crop side per axis (z, y, x): mean plus five standard deviations of the extents, as the paper's authors do.

    Extents are max - min there, one less than here. Y and X get the same side; sides are rounded up to a multiple
    of 8 and no larger than the largest image needs.

    Parameters
    ----------
    sizes : ObjectSizes
        Measured objects.
    shapes : sequence of shapes
        Spatial shapes of the images.
    least : int
        Smallest side in Y and X, before the images limit it.

    Raises
    ------
    DataError
        If no object was measured.
    """
    if not sizes.mean:
        raise DataError("The size of crops follows from the objects, but there are none; label some objects first.")
    wanted = [mean - 1 + 5 * std for mean, std in zip(sizes.mean, sizes.std, strict=True)]
    wanted[-2:] = [max(*wanted[-2:], least)] * 2
    largest = [max(shape[axis] for shape in shapes) for axis in range(len(wanted))]
    largest[-2:] = [max(largest[-2:])] * 2
    return tuple(max(8, 8 * math.ceil(min(w, n) / 8)) for w, n in zip(wanted, largest, strict=True))


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(v), 3) for v in values)
