"""What is known of the objects in a previewed part, and what the network makes of them: arrays only.

A prediction never sees this; it is laid beside one, so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.data.objects import measure_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.maps import EmbeddingMaps

MOST_OBJECTS = 50
"""So many objects are shown, those nearest to the middle: the eye follows no more, and the viewer stays quick."""
N_PIXELS = 5
"""Pixels sampled in each object, as in the figure of the poster."""


@dataclass(frozen=True)
class TrueObjects:
    """Annotated objects in a part of an image, in pixels from its first one, axes (z, y, x); rows in ascending id."""

    ids: NDArray[np.int64]
    """(n,) label, or plane index + 1."""
    centers: NDArray[np.float64]
    """(n, ndim), what the pixels learn to point to; of objects that are cut it may lie outside the part."""
    pixels: NDArray[np.int64]
    """(m, ndim) sampled members inside the part."""
    owners: NDArray[np.int64]
    """(m,) row of the object of each sampled pixel."""
    labels: NDArray[np.int32]
    """((Z,) Y, X) these objects alone."""
    members: NDArray[np.int64]
    """Flat indices of all their pixels in the part, object after object."""
    sizes: NDArray[np.int64]
    """(n,) how many of them belong to each."""
    bounds: NDArray[np.int64]
    """(2, ndim) first and last pixel of what is known around the part: nothing is drawn beyond, for the viewer's axes
    would grow with it."""

    def is_same(self, other: TrueObjects | None) -> bool:
        """Whether another part shows the same objects in the same places."""
        return other is not None and all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.ids, other.ids),
                (self.centers, other.centers),
                (self.pixels, other.pixels),
                (self.labels, other.labels),
            )
        )


def around(labels: Any, part: Sequence[slice]) -> tuple[Any, tuple[slice, ...]]:
    """Cut a part and half its size on each side out of labels; with it, where in the cutting the part lies.

    Planes of one object each stay whole.
    """
    halves = [(side.stop - side.start) // 2 for side in part]
    first = [max(side.start - half, 0) for side, half in zip(part, halves, strict=True)]
    window = tuple(slice(a, side.stop + half) for a, side, half in zip(first, part, halves, strict=True))
    inside = tuple(slice(side.start - a, side.stop - a) for a, side in zip(first, part, strict=True))
    return labels[(..., *window)], inside


def true_objects(
    instances: np.ndarray,
    part: Sequence[slice],
    *,
    center: CenterKind = "medoid",
    spacing: Sequence[float] | None = None,
    planes: bool = False,
) -> TrueObjects:
    """Find the annotated objects of a part of an image.

    Parameters
    ----------
    instances : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Label image, 0 is background, or planes of one object each; more than the part, so that objects at its border
        are known as a whole.
    part : sequence of slice
        The part, one slice per spatial axis, with start and stop.
    center : {"medoid", "approximate-medoid", "centroid"}
        What pixels are trained to point to.
    spacing : sequence of float, optional
        Physical size of a pixel (z, y, x).
    planes : bool
        Whether the first axis of `instances` counts planes.
    """
    part = tuple(part)
    start = np.array([side.start for side in part])
    stop = np.array([side.stop for side in part])
    inner = instances[(slice(None), *part)] if planes else instances[part]
    table = measure_objects(instances, "centroid", planes=planes)
    present = 1 + np.flatnonzero(inner.any(tuple(range(1, inner.ndim)))) if planes else np.unique(inner)
    distance = np.where(
        np.isin(table.ids, present), np.linalg.norm(table.centers - (start + stop - 1) / 2, axis=1), np.inf
    )
    rows = np.sort(np.argsort(distance, kind="stable")[: min(MOST_OBJECTS, int(np.isfinite(distance).sum()))])

    labels = np.zeros(stop - start, np.int32)
    centers, pixels, owners, members, sizes = [], [], [], [], []
    for number, row in enumerate(rows):
        identity = int(table.ids[row])
        box = tuple(slice(low, high) for low, high in zip(table.lower[row], table.upper[row], strict=True))
        mask = instances[identity - 1][box] != 0 if planes else instances[box] == identity
        middle = measure_objects(mask, center, spacing).centers[0]
        at = np.argwhere(mask)
        chosen = at[sample(at, middle, identity)]
        offset = table.lower[row] - start
        centers.append(middle + offset)
        sampled = _inside(chosen + offset, labels.shape)
        pixels.append(sampled)
        owners.append(np.full(len(sampled), number))
        own = tuple(_inside(at + offset, labels.shape).T)
        labels[own] = identity
        members.append(np.ravel_multi_index(own, labels.shape))
        sizes.append(len(members[-1]))
    ndim = labels.ndim
    return TrueObjects(
        table.ids[rows],
        np.array(centers).reshape(-1, ndim),
        np.concatenate([np.zeros((0, ndim), np.int64), *pixels]),
        np.concatenate([np.zeros(0, np.int64), *owners]),
        labels,
        np.concatenate([np.zeros(0, np.int64), *members]),
        np.array(sizes, np.int64),
        np.stack([-start, np.array(instances.shape[-ndim:]) - 1 - start]),
    )


def _inside(at: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    return at[((at >= 0) & (at < shape)).all(axis=1)]


def sample(at: NDArray[np.int64], center: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Rows of a few pixels of an object, by chance but always the same ones.

    Parameters
    ----------
    at : ndarray, shape (n, ndim)
        Its pixels.
    center : ndarray, shape (ndim,)
        Its centre. In 3D the slice through it gives most of the pixels, for a viewer shows one slice at a time.
    seed : int
        Number of the object.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(at))
    if at.shape[1] == 3:
        is_in_slice = at[order, 0] == round(center[0])
        within, beyond = order[is_in_slice], order[~is_in_slice]
        n_within = max(N_PIXELS - 2, N_PIXELS - len(beyond))
        order = np.concatenate([within[:n_within], beyond, within[n_within:]])
    return np.sort(order[:N_PIXELS])


def steps(objects: TrueObjects, maps: EmbeddingMaps) -> NDArray[np.float64]:
    """Where the sampled pixels point now (m, ndim), from themselves; at most to the bounds."""
    moves = maps.offsets[(slice(None), *objects.pixels.T)].T.astype(np.float64)
    ends: NDArray[np.float64] = np.clip(objects.pixels + moves, *objects.bounds)
    return ends - objects.pixels


def mean_margins(objects: TrueObjects, maps: EmbeddingMaps) -> NDArray[np.float64]:
    """Margins (n, ndim) of the objects by the mean bandwidth of their pixels, as the loss takes it.

    A bandwidth is the logarithm of a margin, so this is the geometric mean of the margins. A network that has learnt
    nothing may think of endless margins: none is taken for longer than the part.
    """
    if len(objects.sizes) == 0:
        return np.zeros((0, maps.ndim))
    first = np.cumsum(objects.sizes) - objects.sizes
    bandwidths = np.log(maps.margins.reshape(maps.ndim, -1)[:, objects.members].astype(np.float64))
    mean = np.add.reduceat(bandwidths, first, axis=1) / objects.sizes
    margins: NDArray[np.float64] = np.minimum(np.exp(mean), np.array(objects.labels.shape)[:, None]).T
    return margins
