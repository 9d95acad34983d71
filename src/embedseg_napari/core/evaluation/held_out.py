"""Scores of single objects that were held out of a training, in images of which other objects were trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.sparse import known_instances
from embedseg_napari.core.data.unknown import open_objects
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.matching import overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.example import Example


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """How well held-out objects were found."""

    n_objects: int
    found: float
    """Fraction of them with an IoU of at least the threshold; 0 of none."""
    mean_iou: float
    """Mean over all of them, found or not."""


def held_out_score(
    labels_pred: np.ndarray, example: Example, ids: Sequence[int] | np.ndarray, iou: float = 0.5
) -> HeldOutScore:
    """Score the held-out objects of an image; predictions elsewhere do not count.

    Parameters
    ----------
    labels_pred : ndarray, shape ((Z,) Y, X)
        Predicted ids.
    example : Example
        The image with all its labels, those held out included.
    ids : sequence of int
        From :func:`hold_out_objects`.
    iou : float
        Least IoU of an object that is found.

    Raises
    ------
    DataError
        If the prediction is not of this image, or an object is not in it.
    """
    values = held_out_ious(labels_pred, example, ids)
    if len(values) == 0:
        return HeldOutScore(0, 0.0, 0.0)
    return HeldOutScore(len(values), float((values >= iou).mean()), float(values.mean()))


def held_out_ious(labels_pred: np.ndarray, example: Example, ids: Sequence[int] | np.ndarray) -> NDArray[np.float64]:
    """Largest IoU of each object with any prediction; see :func:`held_out_score`.

    A held-out object was labelled as a whole, so what a prediction covers beyond it counts against it, be it known as
    background or not. Of an object that unknown voxels cut off, only the planes on which it is labelled are compared.
    """
    if labels_pred.shape != example.image.shape[1:]:
        raise DataError(
            f"The prediction has shape {labels_pred.shape}, but {example.name} {example.image.shape[1:]}; score the "
            "prediction of the same image."
        )
    known = known_instances(example)
    open_along = open_objects(known, example.ignore, planes=example.is_planes)
    out = np.zeros(len(ids))
    for row, label in enumerate(np.asarray(ids, np.int64).tolist()):
        inside = known[label - 1] if example.is_planes else known == label
        if not inside.any():
            raise DataError(f"{example.name}: there is no object {label} that could be scored.")
        predicted = labels_pred
        for axis, cut_off in enumerate(open_along):
            if label in cut_off:
                kept = np.flatnonzero(np.moveaxis(inside, axis, 0).reshape(inside.shape[axis], -1).any(1))
                inside, predicted = inside.take(kept, axis), predicted.take(kept, axis)
        found = overlaps(inside.astype(np.uint8), predicted, planes=False)
        out[row] = found.iou.max(initial=0.0)
    return out
