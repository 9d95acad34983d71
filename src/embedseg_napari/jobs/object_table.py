"""The objects of segmentations as a table: the columns of napari's features, of `objects.csv` and of `NAME.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, spatial_axes
from embedseg_napari.core.measure.sums import sums_of
from embedseg_napari.core.measure.table_files import csv_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.clustering.whole_objects import WholeObject
    from embedseg_napari.core.inference.segmentation import Segmentation

Table = dict[str, Any]
"""Columns by name, one value per object."""
COLUMNS = (
    "image",
    "frame",
    "label",
    "score",
    "size",
    *(f"{kind}_{a}" for kind in ("center", "centroid") for a in "zyx"),
)

NO_ROWS: Table = {name: np.zeros(0, np.int64) for name in ("image", "label")}
"""Of an image without objects."""
LONGEST = 1000
"""Characters that are looked at of the line of names."""


def object_table(
    segmentation: Segmentation,
    axes: str,
    start: tuple[float, ...] | None = None,
    image: str | None = None,
    whole: Iterable[WholeObject] | None = None,
) -> Table:
    """One row per object.

    Parameters
    ----------
    segmentation : Segmentation
        Of an image or a time-lapse.
    axes : str
        Axes of its labels, in their order.
    start : tuple of float, optional
        First pixel of the part of the image that was segmented, per axis of `axes`.
    image : str, optional
        Name of the image, for tables of several.
    whole : iterable of WholeObject, optional
        Its objects each by itself, of one image: sizes and centroids are then theirs, and not those in the labels.

    Returns
    -------
    dict
        Some of `COLUMNS`: ``image`` where it is given, ``frame`` in a time-lapse, ``label``, ``score``, ``size`` in
        pixels; per spatial axis ``center_*`` (where the seed points) and ``centroid_*`` (mean of the object's pixels),
        in pixels of the whole image.
    """
    first = dict(zip(axes, start or (0.0,) * len(axes), strict=True))
    letters = axes.replace("T", "")
    tables, before = [], 0
    for t, part in enumerate(segmentation.frames or (segmentation,)):
        n = len(part.scores)
        measured = _sizes_and_centroids(part.labels, n) if whole is None else _of_whole(whole, n, letters)
        sizes, centroids = measured
        table: Table = {} if image is None else {"image": np.full(n, image)}
        if segmentation.frames:
            table["frame"] = np.full(n, t + int(first["T"]))
        table |= {"label": np.arange(before + 1, before + n + 1), "score": part.scores.astype(float), "size": sizes}
        for kind, places in (("center", part.centers.T), ("centroid", centroids)):
            for letter in spatial_axes(axes):
                place = np.asarray(places[letters.index(letter)], float)
                table[f"{kind}_{letter.lower()}"] = place + first[letter]
        tables.append(table)
        before += n
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def as_csv(tables: Sequence[Table]) -> str:
    """Write the rows of tables as comma-separated values; what a table has no column for stays empty."""
    columns = [name for name in COLUMNS if any(name in table for table in tables)]
    return csv_text(tables, columns, ".4f")


def first_names(path: Path) -> list[str]:
    """The names of a table's columns; none of what is no text or not there."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline(LONGEST).rstrip("\n").split(",")
    except (OSError, UnicodeDecodeError):
        return []


def rows_hash(table: Table | None) -> str:
    """SHA-256 of the rows of an image, the same as they were made and as they stand in a table of more columns."""
    rows = csv.DictReader(io.StringIO(as_csv([table]), newline="")) if table else ()
    filled = [[(name, value) for name, value in row.items() if value] for row in rows]
    return hashlib.sha256(repr(filled).encode()).hexdigest()


def is_object_table(path: Path) -> bool:
    """Whether a file is such a table of one image or several, by the names of its columns."""
    names = first_names(path)
    return names == [name for name in COLUMNS if name in names] and {"label", "score", "size", "center_x"} <= {*names}


def read_tables(path: Path) -> dict[str, Table] | None:
    """The rows of each image that such a table of several lists, as texts, by its name without ending.

    None of any other file: what cannot be read as it was written is not written again.
    """
    if not is_object_table(path) or "image" not in first_names(path):
        return None
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                # A row of more cells than names, or fewer.
                if None in row or None in row.values() or not row["image"]:
                    return None
                rows.setdefault(PurePath(row["image"]).stem, []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return {
        image: {name: np.array([row[name] for row in found], object) for name in found[0]}
        for image, found in rows.items()
    }


def _sizes_and_centroids(labels: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sizes (n,) and, per axis, centroids (ndim, n) of the labels 1..n, in pixels; 0 of what has no pixel."""
    sums = sums_of(labels)
    sizes, centroids = np.zeros(n, np.int64), np.zeros((labels.ndim, n))
    sizes[sums.ids - 1], centroids[:, sums.ids - 1] = sums.sizes, sums.centroids.T
    return sizes, centroids


def _of_whole(objects: Iterable[WholeObject], n: int, axes: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The same of objects that may share pixels, in the order of `axes`."""
    sizes, centroids = np.zeros(n, np.int64), np.zeros((len(axes), n))
    for index, one in enumerate(objects):
        places = np.nonzero(one.mask)
        sizes[index] = len(places[0])
        centroids[:, index] = [side.start + place.mean() for side, place in zip(one.box, places, strict=True)]
    return sizes, centroids[[ordered(axes).index(letter) for letter in axes]]
