"""Numbers about a set of annotated images that settings are derived from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.config import ObjectSizes
from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.sparse import known_background, known_instances
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.data.unknown import all_open, object_extents, open_objects
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.objects import MeasuredObjects
    from embedseg_napari.core.data.unknown import OpenIds

MANY = 200
"""Objects of which the smallest 2 % are enough to be left out."""
ALIKE = 1.25
"""Factor between extents up to which objects have the size that a model knows."""


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """What a set of annotated images holds."""

    n_objects: int
    ndim: int
    n_channels: int
    sizes: ObjectSizes
    foreground_fraction: float
    background_over_foreground: float
    """Background pixels for each foreground pixel; balances the seed term in 3D. 1 where one of them is missing."""
    is_overlapping: bool
    """Whether masks are stacks of planes."""
    spacing: tuple[float, ...] | None
    """Physical pixel size of the first image that has one, (z, y, x)."""
    n_open: int
    """Objects of volumes that unknown voxels cut off; they are taken to be as long there as they are wide."""


def measure(examples: Sequence[Example]) -> DatasetStatistics:
    """Measure objects and foreground of all images once; unknown pixels count as neither.

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
    foreground = background = n_open = 0
    for example in examples:
        if isinstance(example, StoredExample):
            known = example.known
            table, cut_off = known.table, known.open_objects()
            n_foreground, n_background = int(table.sizes.sum()), known.n_background
        else:
            table, cut_off, n_foreground, n_background = _measured(example)
        extents.append(object_extents(table, cut_off, example.spacing, example.image.shape[1:]))
        sizes.append(table.sizes)
        n_open += len(all_open(cut_off))
        foreground += n_foreground
        background += n_background
    extent, size = np.concatenate(extents), np.concatenate(sizes)
    first = examples[0]
    return DatasetStatistics(
        n_objects=len(size),
        ndim=first.ndim,
        n_channels=len(first.image),
        sizes=object_sizes(extent, size),
        foreground_fraction=foreground / max(foreground + background, 1),
        background_over_foreground=background / foreground if foreground and background else 1.0,
        is_overlapping=any(example.is_planes for example in examples),
        spacing=next((example.spacing for example in examples if example.spacing is not None), None),
        n_open=n_open,
    )


def _measured(example: Example) -> tuple[MeasuredObjects, OpenIds, int, int]:
    """Objects of an image in memory, those cut off, and pixels of foreground and of background."""
    instances = known_instances(example)
    # Any centre will do here, and the centroid is the quickest.
    table = measure_objects(instances, "centroid", planes=example.is_planes)
    cut_off = open_objects(instances, example.ignore, planes=example.is_planes)
    foreground = int(np.count_nonzero(instances.any(0) if example.is_planes else instances))
    return table, cut_off, foreground, int(np.count_nonzero(known_background(example, instances)))


def object_sizes(extents: np.ndarray, sizes: np.ndarray) -> ObjectSizes:
    """Sum up extents (n, ndim) and numbers of pixels (n,) of objects."""
    if len(sizes) == 0:
        return ObjectSizes()
    return ObjectSizes(
        n_objects=len(sizes),
        mean=_floats(extents.mean(0)),
        std=_floats(extents.std(0)),
        minimum=_floats(extents.min(0)),
        maximum=_floats(extents.max(0)),
        mean_size=round(float(sizes.mean()), 3),
        min_size=int(sizes.min()),
        small_size=int(np.percentile(sizes, 2)),
    )


def least_object_size(sizes: ObjectSizes, known: int | None = None) -> int:
    """Number of pixels up to which what a network finds is taken for a fragment or dirt.

    Of many objects (:data:`MANY`) the smallest are left out, so that a slip of the brush does not decide; of few, the
    smallest one may be far from the smallest there is.

    Parameters
    ----------
    sizes : ObjectSizes
        Of the annotated objects.
    known : int, optional
        The same number of the model that training starts from; few objects may lower it, but not raise it.
    """
    if sizes.n_objects >= MANY:
        return 3 * sizes.small_size // 4
    least = sizes.min_size // 2
    return least if known is None else min(least, known)


def scaled_sizes(sizes: ObjectSizes, scale: float) -> ObjectSizes:
    """Sizes after images were resized by a factor."""
    if scale == 1 or not sizes.mean:
        return sizes
    lengths = {name: _floats(np.array(getattr(sizes, name)) * scale) for name in ("mean", "std", "minimum", "maximum")}
    volume = scale ** len(sizes.mean)
    amounts = {
        "mean_size": round(sizes.mean_size * volume, 3),
        "min_size": int(sizes.min_size * volume),
        "small_size": int(sizes.small_size * volume),
    }
    return sizes.model_copy(update={**lengths, **amounts})


def weighed_extent(sizes: ObjectSizes) -> float:
    """Mean extent of objects in Y and X, each weighed by its extent: fragments at the border of an image count less."""
    weighed = [mean + std**2 / mean for mean, std in zip(sizes.mean[-2:], sizes.std[-2:], strict=True)]
    return math.sqrt(weighed[0] * weighed[1])


def scale_to_known(sizes: ObjectSizes, known: ObjectSizes) -> float:
    """Return the factor by which an image is resized so that a model meets objects of the size that it knows.

    Parameters
    ----------
    sizes : ObjectSizes
        Of objects of the image.
    known : ObjectSizes
        Of those that the model learned from.

    Returns
    -------
    float
        1 where they are alike, or one of the two is not known.
    """
    if not sizes.mean or not known.mean:
        return 1.0
    factor = _width(known) / _width(sizes)
    # A model of objects of many sizes knows all that lie about their mean.
    spread = float(np.mean(known.std[-2:]) / np.mean(known.mean[-2:]))
    return 1.0 if 1 / ALIKE < factor < ALIKE or 1 - spread < 1 / factor < 1 + spread else factor


def _width(sizes: ObjectSizes) -> float:
    """Pixels across a disc of the area of an object: long thin ones are not to vanish beside round ones. 3D: extent."""
    is_flat = len(sizes.mean) == 2 and sizes.mean_size
    return 2 * math.sqrt(sizes.mean_size / math.pi) if is_flat else weighed_extent(sizes)


def suggested_crop_size(sizes: ObjectSizes, shapes: Sequence[Sequence[int]], least: int = 8) -> tuple[int, ...]:
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
