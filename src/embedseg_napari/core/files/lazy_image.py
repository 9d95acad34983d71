"""Images of any size on the disk: what is asked for is read, and nothing else."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST_PIECE = 1 << 31
"""Bytes that the smallest piece which can be read alone may claim; beyond, it is no image for reading in parts."""


@dataclass(frozen=True, eq=False)
class LazyImage:
    """An image on the disk that is read in parts: an array by shape, type and slices, with what its file says of it.

    Axes of length 1 are left out, as when images are read whole. It can be sent to another process, which opens the
    file for itself. Threads may read from it at the same time.
    """

    array: Any = field(repr=False)
    """As stored, with all axes."""
    stored_axes: str
    """One letter per axis of `array`."""
    path: Path
    """The file, or the group of the OME-Zarr."""
    opener: Callable[[Path, int, str | None], LazyImage] = field(repr=False)
    """Opens it in another process, from `path`, `level` and `stored_axes`."""
    pieces: tuple[int, ...] = field(repr=False)
    """Size of what is read at once, per axis of `array`."""
    levels: tuple[tuple[int, ...], ...] = ()
    """Shape of each resolution, the full one first; axes as `axes`."""
    level: int = 0
    """Which of them this is."""
    spacing: tuple[float, ...] | None = None
    """Physical pixel size of this level per spatial axis (z, y, x); None if the file does not say."""
    unit: str | None = None
    """Unit of `spacing`, micrometres as ``"um"``."""
    origin: tuple[float, ...] | None = None
    """Where the first pixel lies, per spatial axis, in `unit`; None where the file says nothing of it."""
    channel_names: tuple[str, ...] = ()
    interval: float | None = None
    """Seconds between two time points."""
    ngff: str = ""
    """Version of OME-Zarr, such as ``"0.4"``; empty for other files."""
    is_labels: bool = False
    """Whether the file says that its pixels are numbers of objects."""
    description: Path | None = field(default=None, repr=False)
    """File without which pieces that are missing are no background, but gone with the disk they were on."""
    left_out: str = ""
    """What else the file holds, in words that follow its path; empty where this is all of it."""

    @property
    def _kept(self) -> tuple[int, ...]:
        return tuple(
            index for index, n in enumerate(self.array.shape) if n > 1 or self.stored_axes[index] in ("Y", "X")
        )

    @property
    def axes(self) -> str:
        """One letter per axis; see `core.axes`."""
        return "".join(self.stored_axes[index] for index in self._kept)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each of `axes`."""
        return tuple(int(self.array.shape[index]) for index in self._kept)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pixels along each of `axes` that are read at once."""
        return tuple(self.pieces[index] for index in self._kept)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._kept)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        kind: np.dtype[Any] = np.dtype(self.array.dtype)
        return kind

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels in memory."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part, by slices and whole numbers along the first axes or all.

        Raises
        ------
        DataError
            If the file is damaged there.
        """
        asked = list(key) if isinstance(key, tuple) else [key]
        if ... in asked:
            at = asked.index(...)
            asked[at : at + 1] = [slice(None)] * (self.ndim - len(asked) + 1)
        full: list[Any] = [0] * len(self.stored_axes)
        for index, one in zip(self._kept, asked + [slice(None)] * (self.ndim - len(asked)), strict=True):
            full[index] = one
        try:
            part = np.asarray(self.array[tuple(full)])
            if self.description is not None and not self.description.exists():
                raise DataError(f"{self.path}: is no longer there; see to it that it is, and try again.")
            return part
        except (IndexError, DataError):
            raise
        except MemoryError as error:
            raise DataError(f"{self.path}: {shape_words(self.shape)} pixels do not fit into memory.") from error
        except Exception as error:
            # The libraries of the compressions raise errors of a dozen unrelated types on damaged pieces.
            where, why = self._damaged(full) or ("", error)
            if not where:
                # All pieces can be read by now: one was replaced while it was read, as those of a run that goes on are.
                try:
                    return np.asarray(self.array[tuple(full)])
                except Exception as again:  # noqa: BLE001 (as above)
                    where, why = _words([full[index] for index in self._kept]), again
            raise DataError(f"{self.path}: cannot be read at {where} ({why}); it may be damaged there.") from error

    def _damaged(self, full: Sequence[Any]) -> tuple[str, Exception] | None:
        """Pixels of the first piece of a part that cannot be read, as it is stored, and why; None if all can."""
        ranges = []
        for one, n, piece in zip(full, self.array.shape, self.pieces, strict=True):
            first, stop, _ = (one if isinstance(one, slice) else slice(one, one + 1)).indices(n)
            ranges.append([slice(a, min(a + piece, n)) for a in range(first // piece * piece, stop, piece)])
        for key in itertools.product(*ranges):
            try:
                np.asarray(self.array[key])
            except Exception as found:  # noqa: BLE001 (as above)
                ends = [(letter, key[index]) for letter, index in zip(self.axes, self._kept, strict=True)]
                return ", ".join(f"{letter} {one.start}:{one.stop}" for letter, one in ends), found
        return None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole image in memory."""
        return self[...].astype(self.dtype if dtype is None else dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.opener, (self.path, self.level, self.stored_axes)


class FramesOnDisk:
    """An image along whose first axis one part at a time is read: memory does not grow with its length.

    Parameters
    ----------
    read : callable
        Reads the frame of a number; raises DataError where the file is damaged.
    n : int
        How many there are.
    like : ndarray
        Of the shape and type of each.
    is_packed : bool
        Whether frames are decoded, which shows what is damaged.
    """

    def __init__(
        self, read: Callable[[int], NDArray[Any]], n: int, like: NDArray[Any], *, is_packed: bool = True
    ) -> None:
        self._read, self._like, self._is_packed = read, like, is_packed
        self.shape: tuple[int, ...] = (n, *like.shape)
        self.dtype = like.dtype
        self.ndim, self.size = len(self.shape), math.prod(self.shape)

    @classmethod
    def of(
        cls, read: Callable[[int], NDArray[Any]], shape: Sequence[int], dtype: Any, *, is_packed: bool = True
    ) -> FramesOnDisk:
        """Frames of a whole of this shape and type."""
        like = np.broadcast_to(np.zeros((), np.dtype(dtype).newbyteorder("=")), tuple(shape[1:]))
        return cls(read, shape[0], like, is_packed=is_packed)

    def check(self, should_stop: Callable[[], bool]) -> None:
        """Read all frames once: what is damaged is found before any work is done.

        Raises
        ------
        DataError
            If one cannot be read.
        Stopped
            If `should_stop` returned True.
        """
        for t in range(len(self) if self._is_packed else 0):
            if should_stop():
                raise Stopped("Stopped while the image was read.")
            self._read(t)

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> FramesOnDisk:
        """The same with every frame changed once it is read."""
        read = self._read
        return FramesOnDisk(lambda t: change(read(t)), len(self), change(self._like), is_packed=self._is_packed)

    def transpose(self, order: Sequence[int]) -> Any:
        """With its axes in another order; where frames do not stay in front, all are read."""
        if order[0] != 0:
            return np.asarray(self).transpose(order)
        return self.each(lambda frame: frame.transpose([axis - 1 for axis in order[1:]]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            return self._read(range(len(self))[first])[tuple(rest)]
        if isinstance(first, slice) and first == slice(None):
            return self.each(lambda frame: frame[tuple(rest)])
        return np.asarray(self)[key]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self._read, range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All frames in memory."""
        whole = np.empty(self.shape, self.dtype)
        for t, frame in enumerate(self):
            whole[t] = frame
        return whole if dtype is None else whole.astype(dtype, copy=False)


def frames_or_whole(array: Any, axes: str) -> Any:
    """An array as it is, but in memory if it is on the disk and its first axis is not T."""
    return np.asarray(array) if isinstance(array, FramesOnDisk) and not axes.startswith("T") else array


def check_pieces(path: Path, pieces: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse pieces that take gigabytes before a pixel can be looked at.

    Raises
    ------
    DataError
        If one claims more than `LARGEST_PIECE` bytes.
    """
    n_bytes = int(np.prod(pieces, dtype=object)) * dtype.itemsize
    if n_bytes > LARGEST_PIECE:
        raise DataError(
            f"{path}: is stored in pieces of {shape_words(pieces)} pixels ({n_bytes / 1e9:.1f} GB each), too large to "
            "be read in parts; store it in smaller chunks."
        )


def _words(key: Sequence[Any]) -> str:
    return ", ".join(f"{one.start or 0}:{one.stop or ''}" if isinstance(one, slice) else str(one) for one in key)
