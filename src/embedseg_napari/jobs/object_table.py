"""The objects of a segmentation as a table: score, size and centroid of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import spatial_axes

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation


def object_table(segmentation: Segmentation, axes: str, start: tuple[float, ...] | None = None) -> pd.DataFrame:
    """One row per object.

    Parameters
    ----------
    segmentation : Segmentation
        Of an image or a time-lapse.
    axes : str
        Axes of its labels, (T)(Z)YX.
    start : tuple of float, optional
        First pixel of the part of the image that was segmented, per axis of `axes`.

    Returns
    -------
    DataFrame
        ``frame`` (in a time-lapse), ``index`` (the label), ``score``, ``size`` in pixels, ``centroid_z``,
        ``centroid_y``, ``centroid_x`` in pixels of the whole image.
    """
    import pandas as pd

    space = spatial_axes(axes)
    first = start or (0.0,) * len(axes)
    tables = []
    for t, part in enumerate(segmentation.frames or (segmentation,)):
        sizes, centroids = measure(part.labels, len(part.scores))
        columns = {"frame": np.full(len(sizes), t + int(first[0]))} if segmentation.frames else {}
        columns |= {"index": np.arange(1, len(sizes) + 1), "score": part.scores.astype(float), "size": sizes}
        for i, letter in enumerate(space):
            columns[f"centroid_{letter.lower()}"] = centroids[i] + first[len(axes) - len(space) + i]
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def measure(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Sizes (n,) and, per axis, centroids (n,) of the labels 1..n, in pixels."""
    at = np.flatnonzero(labels)
    ids = labels.ravel()[at]
    sizes = np.bincount(ids, minlength=n + 1)[1:]
    divisor = np.maximum(sizes, 1)
    places = np.unravel_index(at, labels.shape)
    return sizes, [np.bincount(ids, weights=place, minlength=n + 1)[1:] / divisor for place in places]
