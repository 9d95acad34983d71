"""Comparing a prediction with a truth that is known in part of the image only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def restrict_to_known(
    labels_true: np.ndarray, labels_pred: np.ndarray, ignore: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction on known pixels only, without predicted objects that belong to the unknown part.

    A predicted object is left out altogether if more than half of it is unknown and what is known of it lies mostly
    beside true objects. In a volume only the planes count in which something of it is known, so that labels on a few
    planes can be compared.

    Parameters
    ----------
    labels_true : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        True ids, or planes of one object each.
    labels_pred : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Predicted ids or planes.
    ignore : ndarray of bool, shape ((Z,) Y, X)
        Pixels of unknown class.

    Returns
    -------
    labels_true, labels_pred : ndarray
        As given, 0 on unknown pixels.

    Raises
    ------
    DataError
        If the shapes do not fit.
    """
    ignore = np.asarray(ignore) != 0
    if labels_pred.ndim > ignore.ndim and labels_pred.shape[1:] == ignore.shape:
        planes = [restrict_to_known(labels_true, plane.astype(np.uint8), ignore)[1] != 0 for plane in labels_pred != 0]
        known_true = np.where(ignore, labels_true.dtype.type(0), labels_true)
        return known_true, np.array(planes, bool).reshape(labels_pred.shape)
    if labels_pred.shape != ignore.shape or labels_true.shape[labels_true.ndim - ignore.ndim :] != ignore.shape:
        raise DataError(
            f"The pixels to ignore have shape {ignore.shape}, but the truth {labels_true.shape} and the prediction "
            f"{labels_pred.shape}; they must belong to the same image."
        )
    ids, index = np.unique(labels_pred, return_inverse=True)
    index = index.reshape(labels_pred.shape)
    known, unknown = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    inside = labels_true.any(0) if labels_true.ndim > ignore.ndim else labels_true != 0
    on_truth = np.bincount(index[inside & ~ignore], minlength=len(ids))
    for plane, hidden in zip(*((index, ignore) if ignore.ndim == 3 else (index[None], ignore[None])), strict=True):
        seen: NDArray[np.int64] = np.bincount(plane[~hidden], minlength=len(ids))
        known += seen
        unknown += np.where(seen > 0, np.bincount(plane[hidden], minlength=len(ids)), 0)
    kept = (known > 0) & ((unknown <= known) | (2 * on_truth > known))
    shown = kept[index] & ~ignore
    return (
        np.where(ignore, labels_true.dtype.type(0), labels_true),
        np.where(shown, labels_pred, labels_pred.dtype.type(0)),
    )
