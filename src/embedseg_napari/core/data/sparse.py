"""Sparse labels: what is known of an image of which only a part is annotated.

A pixel is object, background, or of unknown class. Unknown pixels are those of ``Example.ignore``; whatever an object
looks like there counts for nothing, so everything that measures objects looks at :func:`known_instances`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.data.unknown import split_ignore_label, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.objects import MeasuredObjects

SPARSE = 0.9
"""Images of which a smaller part of the pixels is known count as sparsely labelled."""


def with_ignore_label(example: Example, label: int | None) -> Example:
    """The example with one value of its mask turned into unknown pixels, in addition to those it has."""
    if isinstance(example, StoredExample):
        # Said when its objects were measured.
        return example
    instances, ignore = split_ignore_label(example.instances, label, planes=example.is_planes)
    if ignore is None:
        return example
    return dataclasses.replace(example, instances=instances, ignore=union(example.ignore, ignore))


def known_instances(example: Example) -> np.ndarray:
    """Labels or planes of an example, 0 where the class is unknown."""
    if example.ignore is None:
        return example.instances
    return np.where(example.ignore, example.instances.dtype.type(0), example.instances)


def object_ids(example: Example) -> NDArray[np.int64]:
    """Ids (planes: index + 1) of the objects of which something is known, ascending."""
    if isinstance(example, StoredExample):
        return example.objects.ids
    known = known_instances(example)
    if example.is_planes:
        return np.flatnonzero(known.any(tuple(range(1, known.ndim)))) + 1
    return np.unique(known[known != 0]).astype(np.int64)


def known_background(example: Example, instances: np.ndarray) -> NDArray[np.bool_]:
    """Pixels known to belong to no object; `instances` as :func:`known_instances` gives them."""
    outside: NDArray[np.bool_] = np.asarray(~instances.any(0) if example.is_planes else instances == 0)
    if example.ignore is not None:
        outside &= ~example.ignore
    return outside


def known_planes(ignore: np.ndarray | None, depth: int) -> NDArray[np.int64]:
    """Indices of the planes of a volume of which something is known; in 2D of all lines."""
    return np.arange(depth) if ignore is None or ignore.ndim == 2 else np.flatnonzero(~ignore.reshape(depth, -1).all(1))


def open_in_z(instances: np.ndarray, ignore: np.ndarray | None, *, planes: bool = False) -> NDArray[np.int64]:
    """Ids (planes: index + 1) of the objects of a volume that unknown voxels cut off above or below.

    Of an object's voxels that end it downwards, or upwards, more than half have an unknown voxel as their neighbour:
    the object may well go on there. An object that ends at the border of the volume is as deep as it seems.

    Parameters
    ----------
    instances : ndarray, shape (Z, Y, X) or (K, Z, Y, X)
        As :func:`known_instances` gives them; in 2D no object is open.
    ignore : ndarray of bool, shape (Z, Y, X), optional
        Unknown voxels.
    planes : bool
        Whether the first axis of `instances` counts planes of one object each.
    """
    found: set[int] = set()
    if ignore is None or ignore.ndim != 3:
        return np.zeros(0, np.int64)
    for index, layer in enumerate(instances if planes else instances[None]):
        for inner, outer, unknown in (
            (layer[1:], layer[:-1], ignore[:-1]),
            (layer[:-1], layer[1:], ignore[1:]),
        ):
            ends = (inner != 0) & (inner != outer)
            ids, which = np.unique(inner[ends], return_inverse=True)
            hidden = np.bincount(which, unknown[ends], len(ids)) * 2 > np.bincount(which, minlength=len(ids))
            if planes:
                found |= {index + 1} if hidden.any() else set()
            else:
                found |= set(ids[hidden].tolist())
    return np.array(sorted(found), np.int64)


def object_extents(
    table: MeasuredObjects, open_ids: np.ndarray, spacing: Sequence[float] | None, depth: int
) -> NDArray[np.float64]:
    """Extent (max - min + 1) of every object, (n, ndim) pixels; those open in z are at least as deep as wide.

    Parameters
    ----------
    table : MeasuredObjects
        Of the known pixels.
    open_ids : ndarray
        From :func:`open_in_z`.
    spacing : sequence of float, optional
        Physical size of a voxel (z, y, x); cubes without it.
    depth : int
        Planes of the volume; no object is taken to be deeper.
    """
    extents = (table.upper - table.lower).astype(float)
    rows = np.isin(table.ids, open_ids)
    if rows.any():
        flat = 1.0 if spacing is None else spacing[-1] / spacing[0]
        width = np.sqrt(extents[rows, -2] * extents[rows, -1])
        extents[rows, 0] = np.minimum(np.maximum(extents[rows, 0], width * flat), depth)
    return extents


def with_middle_planes(table: MeasuredObjects, instances: np.ndarray, open_ids: np.ndarray) -> MeasuredObjects:
    """The table with the centres of open objects at the mean z of their known voxels.

    An object labelled on its first and its last plane has its medoid on one of the two; its middle lies between them.
    """
    if len(open_ids) == 0:
        return table
    centers = table.centers.copy()
    for row in np.flatnonzero(np.isin(table.ids, open_ids)):
        box = tuple(slice(a, b) for a, b in zip(table.lower[row], table.upper[row], strict=True))
        label = int(table.ids[row])
        inside = instances[label - 1][box] if instances.ndim > len(box) else instances[box] == label
        per_plane = inside.reshape(len(inside), -1).sum(1)
        centers[row, 0] = table.lower[row, 0] + (np.arange(len(inside)) * per_plane).sum() / per_plane.sum()
    return dataclasses.replace(table, centers=centers)


def n_unknown(example: Example) -> int:
    """Pixels whose class is unknown."""
    if isinstance(example, StoredExample):
        return example.known.n_unknown
    return 0 if example.ignore is None else int(np.count_nonzero(example.ignore))


def describe_sparse(examples: Sequence[Example]) -> str | None:
    """One sentence on how much is labelled, where that is only a part of the pixels; None for dense labels."""
    known = total = n = 0
    for example in examples:
        pixels = int(np.prod(example.image.shape[1:]))
        total += pixels
        known += pixels - n_unknown(example)
        n += len(object_ids(example))
    if known >= SPARSE * total:
        return None
    percent = 100 * known / total
    return (
        f"{n} object{'' if n == 1 else 's'} and {percent:.{0 if percent >= 1 else 1}f} % of the pixels are labelled; "
        "the others neither reward nor punish."
    )
