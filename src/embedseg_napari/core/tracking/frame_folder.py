"""A time-lapse that is a folder of frames, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FrameFolder:
    """The images of a folder as one array, read frame by frame; T comes first.

    Parameters
    ----------
    folder : Path
        Its images are frames, in the natural order of their names (2 before 10).
    axes : str, optional
        Of a frame, where the files do not say.
    labels : bool
        Whether pixels are numbers of objects.
    say : callable
        Takes sentences on the first file.

    Raises
    ------
    DataError
        If there is no image, or the first cannot be read.
    """

    def __init__(self, folder: Path, axes: str | None, labels: bool, say: Callable[[str], None]) -> None:
        self._paths, self._axes, self._labels = list_images(folder), axes, labels
        if not self._paths:
            raise DataError(f"{folder}: holds no images that can be read.")
        first = read_image(self._paths[0], axes, labels=labels, say=say)
        self.spacing, self.unit, self.frame_axes = first.spacing, first.unit, first.axes
        self.dtype = first.array.dtype
        self.shape = (len(self._paths), *first.array.shape)
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part.

        Raises
        ------
        DataError
            If a frame cannot be read, or is of another size.
        """
        asked = key if isinstance(key, tuple) else (key,)
        if isinstance(asked[0], slice):
            return np.stack([self[(t, *asked[1:])] for t in range(*asked[0].indices(self.shape[0]))])
        path = self._paths[asked[0]]
        frame = read_image(path, self._axes, labels=self._labels, say=lambda _: None).array
        if frame.shape != self.shape[1:]:
            raise DataError(
                f"{path}: has {shape_words(frame.shape)} pixels, and the first frame {shape_words(self.shape[1:])}; "
                "frames of a time-lapse are of one size."
            )
        part: np.ndarray = frame[asked[1:]]
        return part
