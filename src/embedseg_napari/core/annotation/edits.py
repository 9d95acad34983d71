"""Edits of an annotation, as lists of pixels and their new values; no array is ever changed in place.

A viewer hands an `Edit` to its layer (in napari ``layer.data_setitem(edit.indices, edit.values)``), whose own undo then
works. What is an object and what is not: see `states`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.annotation.interpolation import between
from embedseg_napari.core.annotation.states import BACKGROUND, free_labels, is_object, object_ids
from embedseg_napari.core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike, NDArray

CRUMB = 4
"""Pieces of at most this many pixels that a cut leaves are no parts of their own."""
Indices = tuple[np.ndarray, ...]
"""One integer array per axis (z, y, x), as `np.nonzero` returns them."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Pixels and their new values."""

    indices: Indices
    """One array of indices per axis; no pixel twice, and only pixels whose value changes."""
    values: np.ndarray | int
    """New value, one for all or one for each pixel."""

    def __len__(self) -> int:
        """Number of pixels that change."""
        return len(self.indices[0])

    def applied_to(self, labels: np.ndarray) -> np.ndarray:
        """Return a changed copy of `labels`."""
        out = labels.copy()
        out[self.indices] = self.values
        return out


def stroke_pixels(shape: tuple[int, ...], points: ArrayLike) -> Indices:
    """Return the pixels along a line through points, without gaps.

    Parameters
    ----------
    shape : tuple of int
        Shape of the labels; pixels outside are left out.
    points : array, shape (n, ndim)
        Where the pointer was, in pixels (z, y, x), in order.
    """
    from skimage.draw import line_nd

    at = np.asarray(points, float).reshape(-1, len(shape))
    if not len(at):
        return tuple(np.zeros(0, np.int64) for _ in shape)
    # The last pixel of a step is the first of the next.
    parts = [line_nd(a, b) for a, b in itertools.pairwise(at)]
    ends = np.rint(at[-1:]).astype(np.int64)
    pixels = np.concatenate([*(np.stack(part, 1) for part in parts), ends])
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(1)]
    return _unravel(np.unique(np.ravel_multi_index(tuple(pixels.T), shape)), shape)


def paint_object(
    labels: np.ndarray, pixels: Indices, new_id: int, protected_ids: Collection[int] | None = None
) -> Edit:
    """Make pixels an object, except those of protected objects.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        The annotation.
    pixels : tuple of ndarray
        Indices into `labels`.
    new_id : int
        Id of the object; see `states.next_free_label`.
    protected_ids : collection of int, optional
        Objects that are not overwritten; all of `labels` if left out. Painted background is overwritten.
    """
    before = labels[pixels]
    if protected_ids is None:
        is_free = ~is_object(before)
    else:
        is_free = ~np.isin(before, list(protected_ids)) | (before == BACKGROUND)
    is_changed = is_free & (before != new_id)
    return Edit(tuple(axis[is_changed] for axis in pixels), new_id)


def paint_background(labels: np.ndarray, pixels: Indices) -> Edit:
    """Make pixels background where they are unlabelled."""
    is_changed = labels[pixels] == 0
    return Edit(tuple(axis[is_changed] for axis in pixels), BACKGROUND)


def accept(
    labels: np.ndarray,
    predicted: np.ndarray,
    predicted_id: int,
    new_id: int,
    protected_ids: Collection[int] | None = None,
) -> Edit:
    """Copy a predicted object into the annotation.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        The annotation.
    predicted : ndarray of int, shape ((Z,) Y, X)
        The prediction, 0 is background.
    predicted_id : int
        Object in `predicted`.
    new_id : int
        Its id in the annotation; see `states.next_free_label`.
    protected_ids : collection of int, optional
        Objects of the annotation (accepted or painted by hand) that are not overwritten; all if left out. Painted
        background is overwritten.

    Returns
    -------
    Edit
        Empty if all pixels of the object are protected.

    Raises
    ------
    AnnotationError
        If there is no such object.
    """
    return paint_object(labels, _pixels_of(predicted, predicted_id), new_id, protected_ids)


def repaint(labels: np.ndarray, predicted: np.ndarray, predicted_id: int, new_id: int) -> Edit:
    """Copy a predicted object into the annotation for a person to correct; overwrites no object.

    The caller leaves `new_id` out of the protected ids until the person is done. Parameters as for `accept`.

    Raises
    ------
    AnnotationError
        If there is no such object.
    """
    return paint_object(labels, _pixels_of(predicted, predicted_id), new_id)


def delete_predicted(labels: np.ndarray, predicted: np.ndarray, predicted_id: int) -> Edit:
    """Make the pixels of a predicted object background where they are unlabelled. Parameters as for `accept`.

    Raises
    ------
    AnnotationError
        If there is no such object.
    """
    return paint_background(labels, _pixels_of(predicted, predicted_id))


def merge(labels: np.ndarray, stroke: Indices) -> Edit:
    """Make all objects that a stroke touches one.

    The largest keeps its id. Pixels of the stroke that lie between two of them and belong to none are filled.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        The annotation.
    stroke : tuple of ndarray
        Pixels of the stroke, in any order.

    Raises
    ------
    AnnotationError
        If the stroke touches fewer than two objects.
    """
    stroke = _inside(stroke, labels.shape)
    touched = object_ids(labels[stroke])
    if len(touched) < 2:
        raise AnnotationError("The stroke touches fewer than two objects; draw from one object into the other.")
    members = np.flatnonzero(np.isin(labels, touched))
    ids, sizes = np.unique(labels.ravel()[members], return_counts=True)
    kept = int(ids[sizes.argmax()])
    changed = members[labels.ravel()[members] != kept]
    gap = np.ravel_multi_index(_gaps(labels, stroke, touched), labels.shape)
    return Edit(_unravel(np.union1d(changed, gap), labels.shape), kept)


def split(labels: np.ndarray, stroke: Indices, through: int | None = None) -> Edit:
    """Cut the object that a stroke covers most along the stroke.

    The largest part keeps its id, the others get new ones; pixels of the stroke go to the nearest part, so that no gap
    remains. Of an object that is painted on separate planes, what lies on one side of the stroke is one part.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        The annotation.
    stroke : tuple of ndarray
        Pixels of the stroke, in any order, without gaps (diagonal steps are none).
    through : int, optional
        In 3D the axis that is not displayed, along which the cut goes through the whole object; default: the first axis
        in which the stroke is flat, or z.

    Raises
    ------
    AnnotationError
        If the stroke touches no object or does not divide it.
    """
    stroke = _inside(stroke, labels.shape)
    under = labels[stroke]
    ids, covered = np.unique(under[is_object(under)], return_counts=True)
    if not len(ids):
        raise AnnotationError("The stroke touches no object; draw across the object to be cut.")
    object_id = int(ids[covered.argmax()])
    box = _box(np.nonzero(labels == object_id), labels.shape, 1)
    inside = labels[box] == object_id
    crossing, through = _cut(stroke, box, inside.shape, through)
    # Face neighbours only: a line of diagonal steps then divides.
    pieces, n = ndimage.label(inside & ~crossing)
    cut = inside & (pieces == 0)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    beside = ndimage.binary_dilation(cut, ndimage.generate_binary_structure(cut.ndim, cut.ndim))
    is_part = np.bincount(pieces[beside], minlength=n + 1).astype(bool) & (sizes > CRUMB)
    is_part[0] = False
    same = np.arange(n + 1) if through is None else _same_side(inside, crossing, pieces, sizes, through)
    parts = np.unique(same[is_part])
    if len(parts) < 2:
        raise AnnotationError("The stroke does not divide the object; draw across the whole object.")
    # The stroke, crumbs beside it and pieces it does not reach go with what is nearest.
    parts = parts[np.argsort(-np.bincount(same, sizes)[parts], kind="stable")]
    number = np.zeros(n + 1, np.int64)
    number[parts] = [object_id, *free_labels(labels, len(parts) - 1)]
    values = number[same][pieces]
    nearest = ndimage.distance_transform_edt(values == 0, return_distances=False, return_indices=True)
    values = values[tuple(nearest)]
    changed = np.nonzero(inside & (values != object_id))
    start = [side.start for side in box]
    return Edit(tuple(axis + low for axis, low in zip(changed, start, strict=True)), values[changed].astype(np.int32))


def fill_between_planes(labels: np.ndarray, object_id: int) -> Edit:
    """Fill an object on the planes (z) between those where it is painted.

    Its shape changes evenly from one painted plane to the next. Only unlabelled pixels are filled.

    Parameters
    ----------
    labels : ndarray of int, shape (Z, Y, X)
        The annotation.
    object_id : int
        The object.

    Raises
    ------
    AnnotationError
        If the labels have no planes, or the object is not painted on two planes with others between them.
    """
    if labels.ndim != 3:
        raise AnnotationError("Only volumes have planes to fill between.")
    if object_id in (0, BACKGROUND):
        raise AnnotationError("Choose an object to fill, not background.")
    painted = np.flatnonzero((labels == object_id).any((1, 2)))
    gaps = [(int(a), int(b)) for a, b in itertools.pairwise(painted) if b > a + 1]
    if not gaps:
        raise AnnotationError(
            f"Object {object_id} has no planes to fill; paint it on two planes with others between them."
        )
    found = []
    for first, last in gaps:
        for plane, shape in between(labels[first] == object_id, labels[last] == object_id, last - first - 1):
            y, x = np.nonzero(shape & (labels[first + plane] == 0))
            found.append(np.stack([np.full(len(y), first + plane), y, x]))
    return Edit(tuple(np.concatenate(found, axis=1)), object_id)


def _pixels_of(predicted: np.ndarray, predicted_id: int) -> Indices:
    flat = np.flatnonzero(predicted == predicted_id) if predicted_id else np.zeros(0, np.int64)
    if not len(flat):
        raise AnnotationError(f"There is no predicted object {predicted_id}; choose one that is shown.")
    return _unravel(flat, predicted.shape)


def _unravel(flat: NDArray[np.int64], shape: tuple[int, ...]) -> Indices:
    return tuple(np.unravel_index(flat, shape))


def _inside(stroke: Indices, shape: tuple[int, ...]) -> Indices:
    """The pixels of a stroke that lie in the image."""
    at = np.stack([np.asarray(axis, np.int64) for axis in stroke])
    limit = np.array(shape).reshape(-1, 1)
    return tuple(at[:, ((at >= 0) & (at < limit)).all(0)])


def _box(at: Indices, shape: tuple[int, ...], margin: int) -> tuple[slice, ...]:
    """Bounding box of pixels, with a margin that stays in the image."""
    return tuple(
        slice(max(int(axis.min()) - margin, 0), min(int(axis.max()) + 1 + margin, n))
        for axis, n in zip(at, shape, strict=True)
    )


def _gaps(labels: np.ndarray, stroke: Indices, touched: np.ndarray) -> Indices:
    """Pixels of a stroke without an object, in pieces that connect at least two of the touched objects."""
    box = _box(stroke, labels.shape, 1)
    local = tuple(axis - side.start for axis, side in zip(stroke, box, strict=True))
    part = labels[box]
    is_free = np.zeros(part.shape, bool)
    is_free[local] = ~is_object(part[local])
    neighbours = ndimage.generate_binary_structure(part.ndim, part.ndim)
    pieces, n = ndimage.label(is_free, neighbours)
    reached = np.zeros(n + 1, np.int64)
    for object_id in touched:
        beside = ndimage.binary_dilation(part == object_id, neighbours)
        reached += np.bincount(pieces[beside], minlength=n + 1) > 0
    reached[0] = 0
    found = np.nonzero(reached[pieces] >= 2)
    return tuple(axis + side.start for axis, side in zip(found, box, strict=True))


def _cut(
    stroke: Indices, box: tuple[slice, ...], shape: tuple[int, ...], through: int | None
) -> tuple[NDArray[np.bool_], int | None]:
    """Where a stroke cuts inside a box; in 3D it goes through all planes along one axis, which is returned with it."""
    cut = np.zeros(shape, bool)
    at = [np.asarray(axis) - side.start for axis, side in zip(stroke, box, strict=True)]
    if len(shape) != 3:
        through = None
    elif through is None:
        through = next((axis for axis in range(3) if len(np.unique(at[axis])) == 1), 0)
    if through is not None:
        at[through] = np.zeros_like(at[through])
    is_in = np.all([(axis >= 0) & (axis < n) for axis, n in zip(at, shape, strict=True)], axis=0)
    cut[tuple(axis[is_in] for axis in at)] = True
    if through is not None:
        cut |= cut.any(through, keepdims=True)
    return cut, through


def _same_side(
    inside: NDArray[np.bool_],
    crossing: NDArray[np.bool_],
    pieces: NDArray[np.int32],
    sizes: NDArray[np.int64],
    through: int,
) -> NDArray[np.int64]:
    """For each piece that a cut leaves of an object, the piece that it is one with.

    Seen along the axis of the cut, pieces on one side of it are one where they hung together on no plane before. What
    the cut itself has separated stays apart.
    """
    same = np.arange(len(sizes))
    before, n_before = ndimage.label(inside)
    if n_before > 1:
        sides, _ = ndimage.label(inside.any(through) & ~crossing.any(through))
        side, whole = np.zeros_like(same), np.zeros_like(same)
        side[pieces] = np.expand_dims(sides, through)
        whole[pieces] = before
        first: dict[int, int] = {}
        known: set[tuple[int, int]] = set()
        for piece in np.argsort(-sizes[1:], kind="stable") + 1:
            place = int(side[piece]), int(whole[piece])
            if place not in known:
                known.add(place)
                same[piece] = first.setdefault(place[0], int(piece))
    return same
