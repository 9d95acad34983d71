"""What is annotated in one image: labels, regions and accepted objects as one value with a revision number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.states import BACKGROUND, AnnotationCounts, object_ids, without_background
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_revisions = itertools.count(1)


def next_revision() -> int:
    """Return a number larger than all before."""
    return next(_revisions)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What is annotated in one image, at one moment; its arrays are never written to."""

    labels: np.ndarray
    """int ((Z,) Y, X), see `states`."""
    regions: np.ndarray | None = None
    """bool ((Z,) Y, X), fully annotated: inside, 0 means background. A mask without pixels becomes None."""
    accepted_ids: frozenset[int] = frozenset()
    """Objects that are accepted and protected."""
    earlier_regions: np.ndarray | None = None
    """Regions from before the whole image was one, without pixels where there were none; None if nobody knows."""
    revision: int = field(default_factory=next_revision)
    """Larger in every annotation made later: two of one number are the same, and of two the larger one is newer."""

    def __post_init__(self) -> None:
        for regions in (self.regions, self.earlier_regions):
            if regions is not None and regions.shape != self.labels.shape:
                raise DataError(
                    f"The regions have shape {regions.shape}, the labels {self.labels.shape}; they must agree."
                )
        if self.regions is not None and not self.regions.any():
            object.__setattr__(self, "regions", None)
        if self.regions is None or not self.regions.all():
            object.__setattr__(self, "earlier_regions", None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is annotated."""
        return self.regions is None and not self.labels.any()

    def is_same(self, other: Annotation | None) -> bool:
        """Whether labels, regions and accepted objects are the same as in another, or an earlier, annotation."""
        if other is None or self.accepted_ids != other.accepted_ids or not np.array_equal(self.labels, other.labels):
            return False
        pairs = (self.regions, other.regions), (self.earlier_regions, other.earlier_regions)
        return all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in pairs)

    def objects(self) -> np.ndarray:
        """Ids of the objects; 0 is background, or unknown."""
        return without_background(self.labels)

    def unknown(self) -> NDArray[np.bool_] | None:
        """Pixels that are neither object, nor painted background, nor in a region; None if there is no such pixel."""
        unknown: NDArray[np.bool_] = self.labels == 0
        if self.regions is not None:
            unknown &= ~self.regions
        return unknown if unknown.any() else None

    def counts(self) -> AnnotationCounts:
        """Count objects and pixels of each state."""
        painted = int(np.count_nonzero(self.labels))
        background = int(np.count_nonzero(self.labels == BACKGROUND))
        within = 0 if self.regions is None else int(np.count_nonzero(self.regions & (self.labels == 0)))
        return AnnotationCounts(
            n_objects=len(object_ids(self.labels)),
            object_pixels=painted - background,
            background_pixels=background + within,
            unlabelled_pixels=self.labels.size - painted - within,
        )

    def example(
        self, name: str, image: np.ndarray, spacing: Sequence[float] | None = None, unit: str | None = None
    ) -> Example:
        """Make a training example.

        Parameters
        ----------
        name : str
            Name of the image.
        image : ndarray, shape (C, (Z,) Y, X) or ((Z,) Y, X)
            As stored; a missing channel axis is added.
        spacing : sequence of float, optional
            Physical pixel size (z, y, x).
        unit : str, optional
            Unit of the spacing.

        Returns
        -------
        Example
            Its arrays share no memory with the annotation; `ignore` is what is unknown.

        Raises
        ------
        DataError
            If image and annotation differ in shape.
        """
        labels = self.labels
        image = image[None] if image.ndim == labels.ndim else image
        if image.shape[1:] != labels.shape:
            raise DataError(
                f"{name}: its image has shape {image.shape}, its annotation {labels.shape}; they must agree."
            )
        instances = self.objects().astype(np.int32)
        size = None if spacing is None else tuple(float(step) for step in spacing)
        return Example(name, image, instances, self.unknown(), size, unit)
