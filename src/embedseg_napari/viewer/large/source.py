"""What is known of a layer that is segmented in blocks: its pixels, unread, the file they come from, and its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes, spatial_axes
from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.files.ngff import find_group
from embedseg_napari.core.files.picture import same_pixels
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.viewer.layers import CHANNEL_NAMES, frame_interval, path_of, pixel_size
from embedseg_napari.viewer.result_layers import followed_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from embedseg_napari.jobs.large.plan import LargeJob
    from embedseg_napari.viewer.result_layers import Frame

SMALL = 1 << 23
"""Pixels up to which a lazy image is as well read whole: two of the blocks it would be cut into."""
BYTES_A_PIXEL = 50
"""Memory that an image takes while it is segmented whole."""
SHARE = 0.5
"""Of the memory that this program may take, beyond which an image is not segmented whole."""
SPOT, N_SPOTS = 16, 5
"""Pixels along each axis, and number of the places, where a layer is compared with its file."""
PIECE = 1024
"""Pixels along each axis that are read at once of an array that does not say."""


def is_lazy(layer: Image) -> bool:
    """Whether the pixels of a layer are read when they are looked at."""
    return layer.multiscale or not isinstance(layer.data, np.ndarray)


def fits_memory(layer: Image, axes: str) -> bool:
    """Whether a layer can be segmented whole in the memory of this machine."""
    sizes = dict(zip(axes, _shape(layer), strict=True))
    plane = math.prod(sizes[letter] for letter in "ZYX" if letter in sizes)
    array = 0 if isinstance(_arrays(layer)[0], np.ndarray) else math.prod(_shape(layer)) * 4
    labels = plane * sizes.get("T", 1) * 4
    return fits_machine(round((plane * BYTES_A_PIXEL + array + labels) / SHARE))


def is_better_in_blocks(layer: Image, axes: str) -> bool:
    """Whether a layer is segmented in blocks unless the user says otherwise."""
    n_pixels = math.prod(n for n, letter in zip(_shape(layer), axes, strict=True) if letter != "C")
    return (is_lazy(layer) and n_pixels > SMALL) or not fits_memory(layer, axes)


@dataclass(frozen=True, slots=True)
class Source:
    """A layer that is segmented in blocks."""

    layer: Image
    axes: str
    """One letter per axis of the layer's array."""
    store: Path | None
    """Group of the OME-Zarr image that the layer shows, which can hold its labels."""

    @property
    def folder(self) -> Path:
        """Where a new store for its labels is proposed."""
        path = path_of(self.layer)
        return Path.home() if path is None else path.absolute().parent

    @property
    def levels(self) -> list[tuple[int, ...]]:
        """Shape of each level that can be segmented: all of a file's, or else what the layer shows."""
        return [tuple(map(int, one.shape)) for one in _arrays(self.layer)] if self.store else [_shape(self.layer)]

    @property
    def space(self) -> str:
        """The spatial axes of what is segmented: without those of one pixel."""
        sizes = dict(zip(self.axes, _shape(self.layer), strict=True))
        return "".join(letter for letter in "ZYX" if letter in "YX" or sizes.get(letter, 1) > 1)

    def image(self, level: int = 0) -> LazyImage:
        """The layer's array as an image that is read in parts."""
        array = _arrays(self.layer)[level]
        factors = self.factors(level)
        space = spatial_axes(self.axes)
        letters = self.axes[: self.layer.ndim]
        kept = [n > 1 or one in "YX" for n, one in zip(array.shape, self.axes, strict=True)]
        levels = tuple(
            tuple(int(n) for n, is_kept in zip(one.shape, kept, strict=True) if is_kept) for one in _arrays(self.layer)
        )
        spacing, unit = pixel_size(self.layer.scale, self.layer.units, letters)
        if spacing is not None:
            places = zip(spacing, map(self.axes.index, space), strict=True)
            spacing = tuple(step * factors[place] for step, place in places if kept[place])
        group = None if self.store is None else find_group(self.store)
        origin = None if group is None else group.origins[level]
        if group is not None and origin is not None:
            starts = dict(zip(spatial_axes(group.axes), origin, strict=True))
            origin = tuple(starts.get(one, 0.0) for one in space if kept[self.axes.index(one)])
        return LazyImage(
            array,
            self.axes,
            Path(self.layer.name) if group is None else group.folder,
            _not_elsewhere,
            _pieces(array),
            levels if len(levels) > 1 else (),
            level,
            spacing,
            unit,
            origin,
            channel_names=tuple(self.layer.metadata.get(CHANNEL_NAMES, ())),
            interval=frame_interval(self.layer.scale, self.layer.units, letters, self.layer.metadata),
            ngff="" if group is None else group.version,
        )

    def factors(self, level: int) -> tuple[float, ...]:
        """Pixels of the layer that one of a level stands for, per axis of its array."""
        first, own = _shape(self.layer), _arrays(self.layer)[level].shape
        return tuple(a / b for a, b in zip(first, own, strict=True))

    def job(self, job: LargeJob) -> LargeJob:
        """A job on this layer: on its file, as the command line has it, or on its array if that shows something else.

        Reads a few pixels.
        """
        mine = self.image(job.level)
        path = path_of(self.layer) if self.store is None else self.store
        theirs = None
        if path is not None and (path.is_file() or self.store is not None):
            try:
                theirs = open_image(path, job.level)
                if theirs.axes != mine.axes:
                    theirs = open_image(path, job.level, mine.axes)
                    job = replace(job, axes=mine.axes)
            except EmbedSegError:
                # A file of another kind: the layer has its pixels.
                theirs = None
        if theirs is None or not _show_the_same(mine, theirs):
            return replace(job, image=mine, axes=None)
        return replace(job, image=path)

    def frame(self, level: int) -> Frame:
        """Where labels of a level belong."""
        return self.followed_frame(level)()

    def followed_frame(self, level: int) -> Callable[[], Frame]:
        """Where labels of a level belong at any time; its file is read once."""
        whole, shift = followed_frame(self.layer, self.axes), self._shift(level)
        factors = dict(zip(self.axes, self.factors(level), strict=True))

        def now() -> Frame:
            frame = whole()
            # A channel axis between others is one thick pixel already.
            scale = tuple(
                step if one == "C" else step * factors[one] for step, one in zip(frame.scale, frame.axes, strict=True)
            )
            return replace(frame.at(shift), scale=scale).named()

        return now

    def _shift(self, level: int) -> tuple[float, ...]:
        """Where the first pixel of a level lies, in pixels T(Z)YX of the layer."""
        letters = ordered(result_axes(self.axes))
        group = None if self.store is None or level == 0 else find_group(self.store)
        if group is None or group.origins[0] is None or group.origins[level] is None:
            return (0.0,) * len(letters)
        space = [letter for letter in "ZYX" if letter in group.axes]
        steps = dict(zip(group.axes, group.scales[0], strict=True))
        starts = zip(space, group.origins[0], group.origins[level] or (), strict=True)
        moved = {letter: (there - here) / steps[letter] for letter, here, there in starts}
        return tuple(moved.get(letter, 0.0) for letter in letters)


def source_of(layer: Image, axes: str) -> Source:
    """What is known of a layer; only descriptions are read, no pixels.

    Parameters
    ----------
    layer : Image
        The layer.
    axes : str
        One letter per axis of its array.

    Raises
    ------
    DataError
        If its axes are in an order that stores do not have.
    """
    own = result_axes(axes)
    if own != ordered(own):
        raise DataError(
            f"The axes of {layer.name} are in the order {axes}; in blocks only TC(Z)YX is segmented. Transpose the "
            "layer's array, or segment a part of it."
        )
    path = path_of(layer)
    store = None
    if path is not None and is_store(path):
        try:
            group = find_group(path)
            # Its level may have been named; then its shape is another.
            first = None if group is None or group.is_labels else open_image(group.folder)
            if first is not None and _same_shape(layer, first):
                store = first.path
        except DataError:
            # The image is shown all the same; its labels need a store of their own.
            store = None
    return Source(layer, axes, store)


def _same_shape(layer: Image, image: LazyImage) -> bool:
    shape = _shape(layer)
    return shape in (image.shape, tuple(image.array.shape)) and _arrays(layer)[0].dtype == image.dtype


def _show_the_same(one: LazyImage, other: LazyImage) -> bool:
    """Whether two images have the same pixels, as far as some places tell."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    for i in range(N_SPOTS):
        start = [round((n - 1) * (i + 0.5) / N_SPOTS) for n in one.shape]
        key = tuple(slice(a, min(a + SPOT, n)) for a, n in zip(start, one.shape, strict=True))
        if not same_pixels(one[key], other[key]):
            return False
    return True


def _arrays(layer: Image) -> list[Any]:
    return list(layer.data) if layer.multiscale else [layer.data]


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple(map(int, _arrays(layer)[0].shape))


def _pieces(array: Any) -> tuple[int, ...]:
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if chunks is None or not all(isinstance(n, int) for n in chunks):
        return tuple(min(PIECE, int(n)) for n in array.shape)
    return tuple(chunks)


def _not_elsewhere(path: Path, level: int, axes: str | None) -> LazyImage:
    raise DataError(f"{path}: is a layer of the viewer, which no other process can read.")
