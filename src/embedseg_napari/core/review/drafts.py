"""Labels that were made elsewhere as drafts: objects that a person looks at before a network learns from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.axes import ordered, reorder
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.data.mask_kinds import are_classes, classes_in, refuse_classes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.review.doubt import rank_drafts
from embedseg_napari.core.review.queue import ReviewQueue
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def draft_labels(
    array: np.ndarray, axes: str, shape: Sequence[int], name: str, frame: int | None = None
) -> tuple[NDArray[np.int32], str]:
    """Bring labels onto an image: its axes, objects numbered from 1.

    Parameters
    ----------
    array : ndarray
        Label image; a binary mask, whose pieces become objects; or planes of one object each, of which later ones cover
        earlier ones.
    axes : str
        One letter per axis; empty where they are those of the image.
    shape : sequence of int
        Of the image, ((Z,) Y, X).
    name : str
        Of the labels, for sentences.
    frame : int, optional
        Where the image is a frame of a time-lapse, its number: labels of the whole time-lapse will do.

    Returns
    -------
    labels : ndarray of int32, shape ((Z,) Y, X)
        0 is background.
    note : str
        What was assumed, a sentence; may be empty.

    Raises
    ------
    DataError
        If the labels do not fit the image, hold no object, or classes instead of objects.
    """
    require_kept_ids(array, name)
    shape = tuple(shape)
    if len(axes) == array.ndim and "C" not in axes:
        array = reorder(array, axes, ordered(axes))
    if array.ndim == len(shape) + 1:
        if frame is not None and frame < len(array):
            array = array[frame]
        elif "T" not in axes and (not axes or len(shape) == 3):
            array = _flat(array)
    if array.shape != shape:
        raise DataError(
            f"{name} has the shape {shape_words(array.shape)}, but the image {shape_words(shape)}; choose labels that "
            "were drawn on this image."
        )
    if not array.any():
        raise DataError(f"{name}: holds no objects; all its pixels are 0.")
    kinds = classes_in(array, name)
    if kinds is not None and are_classes(kinds):
        if kinds.n > 1:
            refuse_classes(kinds)
        pieces, n = ndimage.label(array, np.ones((3,) * array.ndim))
        return pieces.astype(np.int32), f"{name} is a binary mask; its {count(n, 'piece')} are taken for objects."
    ids, flat = np.unique(array, return_inverse=True)
    return (flat.reshape(shape) + (ids[0] != 0)).astype(np.int32), ""


def _flat(planes: np.ndarray) -> np.ndarray:
    flat = np.zeros(planes.shape[1:], np.int32)
    for number, plane in enumerate(planes, 1):
        flat[plane != 0] = number
    return flat


def draft_queue(labels: NDArray[np.int32], annotation: np.ndarray, predicted: np.ndarray | None = None) -> ReviewQueue:
    """Rank drafts by doubt.

    Parameters
    ----------
    labels : ndarray of int32, shape ((Z,) Y, X)
        From :func:`draft_labels`.
    annotation : ndarray of int, shape ((Z,) Y, X)
        As for :func:`rank_drafts`, like the next.
    predicted : ndarray of int, shape ((Z,) Y, X), optional
        What a model finds in the image.
    """
    n = int(labels.max())
    centers = ndimage.center_of_mass(np.ones(labels.shape, bool), labels, np.arange(1, n + 1))
    # Nobody has scored them.
    drawn = Segmentation(labels, np.array(centers, np.float32), np.ones(n, np.float32), PredictionConfig())
    return ReviewQueue(drawn, rank_drafts(labels, predicted, annotation), are_drafts=True)
