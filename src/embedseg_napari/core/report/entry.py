"""What a report keeps of an image: some numbers, whatever the size of the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.measure.sums import sums_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BINS_PER_OCTAVE = 4
N_BINS = 40 * BINS_PER_OCTAVE
"""Bins of object sizes; each is a fixed factor wide, so that those of all images add up."""


@dataclass(frozen=True, slots=True)
class Objects:
    """How large the objects of an image are, and how many touch its border."""

    n: int
    n_at_border: int
    median_size: float | None
    """In pixels; None where there are no objects."""
    sizes: NDArray[np.int32]
    """(N_BINS,) objects by size."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the report."""

    name: str
    objects: Objects | None
    """None where its labels could not be read again."""
    score: float | None
    """Mean over its objects, 0 to 1; None where there are none or it is not known."""
    brightness: float | None
    """Mean value of its pixels, as they are in its file."""
    shown: str = ""
    """What its picture shows where it is not all of the image, such as ``"frame 6 of 11"``."""
    remarks: tuple[str, ...] = field(default=())
    """What was said of it while it was segmented."""
    is_earlier: bool = False
    """Whether an earlier run has segmented it."""

    @property
    def n_objects(self) -> float | None:
        """How many there are, to be compared with other values."""
        return float(self.objects.n) if self.objects else None

    @property
    def median_size(self) -> float | None:
        """That of its objects."""
        return self.objects.median_size if self.objects else None

    @property
    def at_border(self) -> float | None:
        """Share of its objects that touch its border."""
        return self.objects.n_at_border / self.objects.n if self.objects and self.objects.n else None


def objects_of(arrays: Iterable[NDArray[Any]], axes: str) -> Objects:
    """Measure the objects of an image.

    Parameters
    ----------
    arrays : iterable of ndarray of int
        Its label image, or planes of one object each; 0 is background.
    axes : str
        Axes of each; the objects of each frame are counted by themselves.
    """
    sizes, n_at_border = [np.zeros(0, np.int64)], 0
    for array in arrays:
        for frame in np.moveaxis(array, axes.index("T"), 0) if "T" in axes else (array,):
            found, ends = sums_of(frame), np.array(frame.shape)
            # An axis of one pixel is all border.
            touches = ((found.lower == 0) | (found.upper == ends)) & (ends > 1)
            sizes.append(found.sizes)
            n_at_border += int(touches.any(1).sum())
    every = np.concatenate(sizes)
    return Objects(
        len(every),
        n_at_border,
        float(np.median(every)) if len(every) else None,
        np.bincount(_bins(every), minlength=N_BINS).astype(np.int32),
    )


def edges(bins: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """The smallest size, in pixels, of bins of sizes."""
    lowest: NDArray[np.float64] = np.exp2(np.asarray(bins) / BINS_PER_OCTAVE)
    return lowest


def quantile(sizes: NDArray[np.integer], part: float) -> float:
    """The size, to about a tenth, that a part of the objects of a histogram does not exceed."""
    sums = np.cumsum(sizes)
    place = int(np.searchsorted(sums, part * sums[-1]))
    return float(edges(place) * 2 ** (0.5 / BINS_PER_OCTAVE))


def brightness_of(array: NDArray[Any] | FramesOnDisk) -> float | None:
    """Mean of the values that are numbers; None where there are none."""
    n, total = 0, 0.0
    for part in array if isinstance(array, FramesOnDisk) else (array,):
        is_number = True if part.dtype.kind in "bui" else np.isfinite(part)
        n += part.size if is_number is True else int(np.count_nonzero(is_number))
        total += float(part.sum(dtype=np.float64, where=is_number))
    return total / n if n else None


def _bins(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    bins: NDArray[np.int64] = np.floor(np.log2(sizes) * BINS_PER_OCTAVE).astype(np.int64)
    return np.minimum(bins, N_BINS - 1)
