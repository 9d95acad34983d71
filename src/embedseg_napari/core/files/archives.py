"""Zips from anywhere: read member by member into memory, never more than was expected, and never unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
)
"""What reading a damaged zip raises."""
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of the members that are read: others may take gigabytes before they yield the first byte."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip; a pipe or a device, which might be waited for without end, is refused.

    Raises
    ------
    ValueError
        If it is no file.
    OSError, BadZipFile
        If it cannot be read, or is no zip.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    return zipfile.ZipFile(path)


def read_member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Read a member by its exact name; never more bytes than it claims, and than `largest`.

    Raises
    ------
    ValueError
        If it claims more, or is compressed in another way than files of this program are.
    KeyError
        If there is none.
    """
    member = archive.getinfo(name)
    if member.file_size > largest:
        raise ValueError(f"{name} in it claims {member.file_size} bytes, more than it can have")
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f"{name} in it is compressed in an unknown way")
    # Never yields more than the size claimed, however much the compressed data would unfold to.
    return archive.read(member)
