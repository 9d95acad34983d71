"""An image file in memory, and which files are images."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from embedseg_napari.core.files.metadata import Metadata

TIFF = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk")
"""Endings of TIFF and of formats that are TIFF inside."""


@dataclass(frozen=True, slots=True)
class PartOf:
    """Where an image was cut out of the image of a store."""

    store: Path
    """Group of that image, an OME-Zarr."""
    start: tuple[int, ...]
    """First pixel of the part, T(Z)YX."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file in memory, or a part of one."""

    array: np.ndarray
    axes: str
    """One letter per axis; see `core.axes`. Letters the file does not name are guessed from the shape by the caller."""
    spacing: tuple[float, ...] | None = None
    """Physical pixel size per spatial axis of `axes`, in the order (z, y, x); None if the file does not say.

    Without `axes` it has a value for z where the file gives one.
    """
    unit: str | None = None
    """Unit of `spacing`, micrometres as ``"um"``."""
    channel_names: tuple[str, ...] = ()
    path: Path | None = None
    axes_guessed: bool = False
    """Whether the file left the meaning of its axes open; `axes` is then empty."""
    interval: float | None = None
    """Seconds between two time points, where the file says so."""
    part_of: PartOf | None = None
    """Where it was cut out of a larger image."""
    is_colour: bool = False
    """Whether its channels are red, green and blue, and perhaps alpha."""


def same_pixels(one: Any, other: Any) -> bool:
    """Whether two images have the same values; those that are no numbers equal nothing, but their like here."""
    return np.array_equal(one, other, equal_nan=True)


BEGINNING = 512
"""Bytes by which text is told from images."""


class Unlike(ValueError):
    """A file is not what it says it is; the words follow its path."""


def fault_of_place(path: Path) -> str | None:
    """Why there is no file at a path that can be read: it is missing, a folder, or a pipe that would be waited for.

    Links are followed. The words follow the path.
    """
    try:
        kind = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return f"is a link to {path.readlink()}, which is not there"
        return "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    if stat.S_ISREG(kind):
        return None
    return "is a folder, not a file" if stat.S_ISDIR(kind) else "is a pipe, socket or device, not a file on a disk"


def fault_of_content(path: Path, error: Exception) -> str:
    """Why a file that a library failed to read is no image, in words that follow its path."""
    with path.open("rb") as file:
        start = file.read(BEGINNING)
    if not start.strip(b"\0"):
        return "holds nothing but zeros; copy it again" if start else "is empty; copy it again"
    # What is cut off at the end may be half a letter.
    text = start.decode("utf-8", "ignore")
    if len(text.encode()) > len(start) - 4 and all(letter.isprintable() or letter.isspace() for letter in text):
        return f"holds text and no image, though its name ends in {path.suffix}"
    return f"cannot be read as an image ({error}); it may be damaged, or of another format than its name says"


@contextmanager
def faults_told(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a file that cannot be read into a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except Unlike as error:
        raise DataError(f"{path}: {error}.") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory, or is damaged.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:
        # On damaged files the TIFF and compression libraries raise errors of a dozen unrelated types.
        raise DataError(f"{path}: {fault_of_content(path, error)}.") from error


def require_file(path: Path) -> None:
    """Refuse what is no ordinary file before it is opened: a pipe keeps its reader waiting, a device may never end.

    Raises
    ------
    DataError
        If there is none at the path.
    """
    fault = fault_of_place(path)
    if fault is not None:
        raise DataError(f"{path}: {fault}.")


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a reader of one format returns: brightness, or numbers of objects."""

    array: np.ndarray
    axes: str
    """A letter for each axis as the file gives them; I or Q for what it leaves open."""
    metadata: Metadata
    is_colour: bool = False
    """Whether its pixels are colours, not numbers."""
