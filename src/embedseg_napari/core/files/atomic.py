"""The one way to write a file: under another name first, under its own only when it is complete."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORARY = ".tmp-"
"""How names begin of files and folders that are not complete."""


def locked_place(folder: Path) -> Path | None:
    """What keeps a folder from being made or written to, found out before the work; None where nothing does."""
    place = next(here for here in (folder.absolute(), *folder.absolute().parents) if here.exists())
    return None if place.is_dir() and os.access(place, os.W_OK) else place


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its final name in one step.

    Missing folders are made; where nothing comes of the file, they are taken away again. With `durable` the file is on
    the disk when this returns: it outlasts a crash of the machine.

    Raises
    ------
    DataError
        If the folder cannot be written or the disk is full.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        write(temporary)
        if durable:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        # mkstemp makes private files; a result has the rights that any new file would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if not path.exists():
            for folder in missing:
                # Another run may have put something there meanwhile.
                with contextlib.suppress(OSError):
                    folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a text, UTF-8; see :func:`write_atomically`."""
    write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the system knows such a thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
