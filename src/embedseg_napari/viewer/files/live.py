"""Labels in a store as a layer that is read anew whenever it is looked at: what is written there is seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.core.stores.labels import LabelStore
from embedseg_napari.core.wording import memory_words, shape_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.layers import Layer

    from embedseg_napari.core.files.lazy_image import LazyImage

COPIES = 3
"""Arrays of the same size at once, at most, while labels are written to a file."""


def require_memory(array: Any) -> None:
    """Refuse to read whole what does not fit into memory, with all that is made of it on the way to a file.

    Parameters
    ----------
    array : array
        Of a layer, read or not.

    Raises
    ------
    DataError
        Saying what can be done instead.
    """
    n_bytes = 0 if isinstance(array, np.ndarray) else math.prod(array.shape) * np.dtype(array.dtype).itemsize
    if fits_machine(COPIES * n_bytes):
        return
    where = f"; they are in {array.image.path} already" if isinstance(array, LiveArray) else ""
    raise DataError(
        f"{shape_words(array.shape)} pixels ({memory_words(n_bytes)}) do not fit into memory as a whole{where}. "
        "Copy the store, or save a part (Correct what is in view) or a smaller resolution."
    )


def full_array(data: Any) -> np.ndarray:
    """What a layer gives to be saved, in memory; of several resolutions the full one.

    Raises
    ------
    DataError
        If it does not fit into memory.
    """
    # Napari's own list of resolutions is neither; as an array it is the smallest of them.
    several = isinstance(data, (list, tuple)) or type(data).__name__ == "MultiScaleData"
    array = data[0] if several else data
    if hasattr(array, "shape"):
        require_memory(array)
    return np.asarray(array)


class LiveArray:
    """A level of an image on the disk. Of labels it is shown as it is: Dask's arrays would be read only once.

    Parameters
    ----------
    image : LazyImage
        The level.
    axes : str, optional
        Letters of the axes to be shown: those of the image, in its order, and others, of one pixel each.
    """

    def __init__(self, image: LazyImage, axes: str | None = None) -> None:
        self.image, self.axes = image, image.axes if axes is None else axes
        sizes = dict(zip(image.axes, image.shape, strict=True))
        self.shape: tuple[int, ...] = tuple(sizes.get(letter, 1) for letter in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.image.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        asked = list(key) if isinstance(key, tuple) else [key]
        if any(one is Ellipsis for one in asked):
            at = next(i for i, one in enumerate(asked) if one is Ellipsis)
            asked[at : at + 1] = [slice(None)] * (self.ndim - len(asked) + 1)
        asked += [slice(None)] * (self.ndim - len(asked))
        own: list[Any] = []
        further: list[Any] = []
        for letter, one in zip(self.axes, asked, strict=True):
            (own if letter in self.image.axes else further).append(one if isinstance(one, slice) else int(one))
        part = self.image[tuple(own)]
        at = 0
        further_left = iter(further)
        for letter, one in zip(self.axes, asked, strict=True):
            if letter not in self.image.axes:
                index = next(further_left)
                part = np.expand_dims(part, at)[(slice(None),) * at + (index,)]
            at += isinstance(one, slice)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        require_memory(self)
        return self[...].astype(self.dtype if dtype is None else dtype, copy=False)

    def transpose(self, *axes: Any) -> Any:
        """The same in another order of its axes, still unread."""
        return self.as_dask().transpose(*axes)

    def as_dask(self) -> Any:
        """The same as an array of Dask, still unread."""
        import dask.array

        chunks = tuple(dict(zip(self.image.axes, self.image.chunks, strict=True)).get(one, 1) for one in self.axes)
        return dask.array.from_array(self, chunks, name=False, asarray=False)


def live_levels(folder: Path, axes: str | None = None) -> list[LiveArray]:
    """All levels of a label image.

    Parameters
    ----------
    folder : Path
        Its group.
    axes : str, optional
        As of `LiveArray`; by default those of the full resolution, of which smaller ones may have a single pixel.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    return levels_of(open_image(folder), axes)


def levels_of(first: LazyImage, axes: str | None = None) -> list[LiveArray]:
    """The same of an image that is open, at its full resolution."""
    rest = [open_image(first.path, n) for n in range(1, len(first.levels))]
    return [LiveArray(image, axes or first.axes) for image in (first, *rest)]


def store_of(layer: Layer | None) -> LabelStore | None:
    """The store whose labels a layer shows as they are; None for other layers."""
    data = getattr(layer, "data", None) if getattr(layer, "multiscale", False) else None
    first = data[0] if data is not None else None
    return LabelStore(first.image.path) if isinstance(first, LiveArray) else None


def start_in_store(array: LiveArray, start: Sequence[int]) -> tuple[int, ...]:
    """A pixel of a level, given with the axes that are shown, with those of its store."""
    shown = dict(zip(array.axes, start, strict=True))
    return tuple(int(shown.get(letter, 0)) for letter in array.image.stored_axes)
