"""Annotated images that stay on the disk: what is needed of them is read, through a cache of bounded size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.resizing import nearest_pixels
from embedseg_napari.core.data.survey import COLUMNS, kept_survey, key_of, survey_labels
from embedseg_napari.core.data.unknown import split_ignore_label, union
from embedseg_napari.core.files.region import Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.data.objects import MeasuredObjects
    from embedseg_napari.core.data.survey import Survey
    from embedseg_napari.core.files.region import Ends, Region


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredPixels:
    """Pixels of an image on the disk, shape (C, (Z,) Y, X)."""

    region: Region = field(repr=False)
    frame: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and pixels per axis (z, y, x)."""
        return (self.region.n_channels, *self.region.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        kind: np.dtype[Any] = self.region.array.dtype
        return kind

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, part: Ends) -> np.ndarray:
        """A part of the image, shape (C, (Z,) Y, X)."""
        return self.region.read(self.frame, part)


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabels:
    """Labels on the disk, shape ((Z,) Y, X)."""

    region: Region = field(repr=False)
    frame: int = 0
    ignore: Region | None = field(default=None, repr=False)
    """Of pixels that are not 0 in it nothing is known."""
    ignore_label: int | None = None
    """The id of pixels of which nothing is known."""
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    """Objects that are taken as unknown."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels per axis (z, y, x)."""
        return self.region.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def piece(self) -> tuple[int, ...]:
        """Pixels per axis that are read at once."""
        array = self.region.array
        return tuple(array.piece[array.axes.index(letter)] for letter in "ZYX" if letter in array.axes)

    def with_all(self) -> StoredLabels:
        """The same with no object hidden."""
        return replace(self, hidden=np.zeros(0, np.int64))

    def read(self, part: Part) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
        """Ids of a part, 0 where nothing is known, and where that is (None: everything is known)."""
        labels, unknown = split_ignore_label(self.region.read(self.frame, part)[0], self.ignore_label)
        if self.ignore is not None:
            unknown = union(unknown, self.ignore.read(self.frame, part)[0] != 0)
        if len(self.hidden):
            unknown = union(unknown, np.isin(labels, self.hidden))
        if unknown is None or not unknown.any():
            return labels, None
        return np.where(unknown, labels.dtype.type(0), labels), unknown


@dataclass(frozen=True, slots=True, eq=False)
class ResizedLabels:
    """The same at another size, by the nearest pixel."""

    labels: StoredLabels
    shape: tuple[int, ...]

    @property
    def piece(self) -> tuple[int, ...]:
        """Pixels per axis that are read at once, about."""
        sides = zip(self.labels.piece, self.shape, self.labels.shape, strict=True)
        return tuple(max(1, side * new // old) for side, new, old in sides)

    def read(self, part: Part) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
        """Ids of a part, 0 where nothing is known, and where that is (None: everything is known)."""
        ends = zip(part.start, part.stop, self.shape, self.labels.shape, strict=True)
        places = [nearest_pixels(old, new)[low:high] for low, high, new, old in ends]
        box = Part(tuple(int(at[0]) for at in places), tuple(int(at[-1]) + 1 for at in places))
        labels, unknown = self.labels.read(box)
        inside = np.ix_(*(at - low for at, low in zip(places, box.start, strict=True)))
        return labels[inside], None if unknown is None else unknown[inside]


@dataclass(frozen=True, slots=True)
class StoredExample(Example):
    """One annotated image on the disk, with its objects measured; its objects do not overlap."""

    # The fields of an image in memory, with their meanings; whoever takes an Example looks which kind it is.
    image: StoredPixels  # type: ignore[assignment]
    instances: StoredLabels  # type: ignore[assignment]
    survey: Survey = field(kw_only=True, repr=False)
    """Of all its objects, hidden ones as well."""
    center: CenterKind = field(kw_only=True, default="medoid")
    """The centres that were measured."""
    kept_in: Path | None = field(kw_only=True, default=None)
    """Folder where what was measured is kept."""

    @property
    def known(self) -> Survey:
        """What is measured of the objects that are known."""
        return self.survey.without(self.instances.hidden)

    @property
    def objects(self) -> MeasuredObjects:
        """The objects that are known."""
        return self.known.table

    @property
    def has_unknown(self) -> bool:
        """Whether there may be pixels whose class is unknown."""
        return self.instances.ignore is not None or self.survey.n_unknown > 0 or len(self.instances.hidden) > 0

    def label_digest(self) -> str:
        """As that of an image in memory, but of the table of all objects: pixels are not read again."""
        digest = hashlib.blake2b(np.int64(self.survey.n_unknown).tobytes(), digest_size=8)
        for name in COLUMNS:
            digest.update(np.ascontiguousarray(getattr(self.survey.table, name)).data)
        return f"objects {digest.hexdigest()}"

    def hiding(self, ids: NDArray[np.int64]) -> StoredExample:
        """The same with these objects taken as unknown."""
        return replace(self, instances=replace(self.instances, hidden=ids))

    def surveyed(self, center: CenterKind, shape: tuple[int, ...]) -> Survey:
        """What is known of its objects, with another centre or at another size, ((z,) y, x)."""
        hidden, labels = self.instances.hidden, self.instances.with_all()
        if shape == labels.shape and center == self.center:
            return self.survey.without(hidden)
        return measured(labels, center, self.spacing, self.kept_in, shape=shape).without(hidden)


def measured(
    labels: StoredLabels,
    center: CenterKind,
    spacing: tuple[float, ...] | None,
    kept_in: Path | None,
    watch: Callable[[float], None] | None = None,
    shape: tuple[int, ...] | None = None,
) -> Survey:
    """Measure the objects of labels, or read what was measured of them before.

    Parameters
    ----------
    labels : StoredLabels
        With all objects.
    center : {"medoid", "approximate-medoid", "centroid"}
        Which centre.
    spacing : tuple of float, optional
        Physical size of a pixel per axis (z, y, x).
    kept_in : Path, optional
        Folder where it is kept.
    watch : callable, optional
        As :func:`survey_labels` takes it.
    shape : tuple of int, optional
        Size at which they are measured, if it is not their own.

    Raises
    ------
    DataError
        If values are no ids, cannot be read, or the folder cannot be written.
    """
    shape = shape or labels.shape
    at_size = labels if shape == labels.shape else ResizedLabels(labels, shape)
    regions = [labels.region, *([] if labels.ignore is None else [labels.ignore])]
    places, levels = [region.array.path for region in regions], [region.array.level for region in regions]
    own = [labels.frame, labels.ignore_label, levels, [region.axes for region in regions]]
    key = key_of(places, shape=shape, center=center, spacing=spacing, labels=own)
    return kept_survey(kept_in, key, lambda: survey_labels(at_size, center, spacing, str(places[0]), watch))
