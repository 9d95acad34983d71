"""The labels of a time-lapse on their way into one file: memory does not grow with the number of frames."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embedseg_napari.core.files.tiff import write_label_pages
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.jobs.object_table import object_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.files.picture import Picture
    from embedseg_napari.jobs.object_table import Table


class LabelFrames:
    """Takes what was found frame by frame; objects are counted on from frame to frame.

    Until they are written under their name the labels lie in a file without one, which is gone when the program is.

    Parameters
    ----------
    axes : str
        Of the labels: T, then those of a frame in the order (Z)YX.
    image : str
        Name of the image, for the table.
    results : Path
        Folder they are written to; it need not exist.
    """

    def __init__(self, axes: str, image: str, results: Path) -> None:
        self.axes, self.image = axes, image
        self._shape: tuple[int, ...] = ()
        self._kept: list[tuple[np.dtype[Any], int]] = []
        self._tables: list[Table] = []
        there = next(place for place in (results.absolute(), *results.absolute().parents) if place.is_dir())
        self._file = tempfile.TemporaryFile(dir=there)  # noqa: SIM115 (__exit__ closes it)

    @property
    def n_objects(self) -> int:
        """How many objects were found so far."""
        return sum(n for _, n in self._kept)

    def take(self, frame: int, found: Segmentation) -> None:
        """Add the next frame."""
        start = (float(frame), *(0.0,) * found.labels.ndim)
        table = object_table(Segmentation.stack([found]), self.axes, start, self.image)
        self._tables.append(table | {"label": table["label"] + self.n_objects})
        n = len(found.scores)
        kind = np.dtype(np.uint16 if n < 1 << 16 else np.uint32)
        self._shape = found.labels.shape
        self._file.write(found.labels.astype(kind).data)
        self._kept.append((kind, n))

    def table(self) -> Table:
        """The objects of all frames, as `object_table` tells of them."""
        return {name: np.concatenate([table[name] for table in self._tables]) for name in self._tables[0]}

    def write(
        self, path: Path, spacing: tuple[float, ...] | None, picture: Picture, *, software: str, overwrite: bool
    ) -> None:
        """Write all frames; parameters as those of `write_labels`, unit and interval are those of the picture.

        Raises
        ------
        DataError
            If the file exists, or cannot be written.
        """
        write_label_pages(
            path,
            self._pages(),
            self.n_objects,
            (len(self._kept), *self._shape),
            self.axes,
            spacing,
            picture.unit,
            interval=picture.interval,
            software=software,
            overwrite=overwrite,
        )

    def _pages(self) -> Iterator[NDArray[Any]]:
        self._file.seek(0)
        before = 0
        for kind, n in self._kept:
            held = self._file.read(math.prod(self._shape) * kind.itemsize)
            labels = np.frombuffer(held, kind).astype(np.int64)
            labels[labels > 0] += before
            yield from labels.reshape(-1, *self._shape[-2:])
            before += n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
