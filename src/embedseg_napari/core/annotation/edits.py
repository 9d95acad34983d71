"""Edits of an annotation, as lists of pixels and their new values; no array is ever changed in place.

A viewer hands an `Edit` to its layer (in napari ``layer.data_setitem(edit.indices, edit.values)``), whose own undo then
works. What is an object and what is not: see `states`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.states import BACKGROUND, free_labels, is_object
from embedseg_napari.core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike, NDArray

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
    raise NotImplementedError


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
    raise NotImplementedError


def paint_background(labels: np.ndarray, pixels: Indices) -> Edit:
    """Make pixels background where they are unlabelled."""
    raise NotImplementedError


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
    raise NotImplementedError


def repaint(labels: np.ndarray, predicted: np.ndarray, predicted_id: int, new_id: int) -> Edit:
    """Copy a predicted object into the annotation for a person to correct; overwrites no object.

    The caller leaves `new_id` out of the protected ids until the person is done. Parameters as for `accept`.

    Raises
    ------
    AnnotationError
        If there is no such object.
    """
    raise NotImplementedError


def delete_predicted(labels: np.ndarray, predicted: np.ndarray, predicted_id: int) -> Edit:
    """Make the pixels of a predicted object background where they are unlabelled. Parameters as for `accept`.

    Raises
    ------
    AnnotationError
        If there is no such object.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def split(labels: np.ndarray, stroke: Indices, through: int | None = None) -> Edit:
    """Cut the object that a stroke covers most along the stroke.

    The largest part keeps its id, the others get new ones; pixels of the stroke go to the nearest part, so that no gap
    remains.

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
    raise NotImplementedError


def fill_between_planes(labels: np.ndarray, object_id: int) -> Edit:
    """Fill an object on the planes (z) between those where it is painted, its shape changing evenly from one to the next.

    Only unlabelled pixels are filled.

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
    raise NotImplementedError
