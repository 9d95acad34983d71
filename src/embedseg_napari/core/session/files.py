"""Files that are whole or not there: written beside their place, brought to the disk, then moved."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEMPORARY = ".tmp-"
"""How names begin of files that are not complete; what a killed process left is removed when the session is opened."""
DAMAGED = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive raises."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is annotated in one image, at one moment; shares no memory with layers."""

    labels: np.ndarray
    """int32 ((Z,) Y, X), see `states`."""
    regions: np.ndarray | None = None
    """bool ((Z,) Y, X), fully annotated; None if nothing is."""
    accepted_ids: frozenset[int] = frozenset()
    """Objects that are accepted and protected."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is annotated."""
        return not self.labels.any() and self._region is None

    @property
    def _region(self) -> np.ndarray | None:
        """The regions; a mask without pixels is none."""
        return self.regions if self.regions is not None and self.regions.any() else None

    def is_same(self, other: Annotation | None) -> bool:
        """Whether nothing was changed in between."""
        if other is None or self.accepted_ids != other.accepted_ids or not np.array_equal(self.labels, other.labels):
            return False
        mine, its = self._region, other._region
        return mine is its if mine is None or its is None else np.array_equal(mine, its)


def write_durably(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path` and move it there when it is on the disk.

    Raises
    ------
    DataError
        If it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f"{TEMPORARY}{uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a flat folder; it appears under its name when it is complete. One that a broken attempt left is replaced.

    Files are never changed in place, only replaced, so a second name for the same file serves as a copy.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    temporary = target.with_name(f"{TEMPORARY}{uuid4().hex[:8]}-{target.name}")
    try:
        temporary.mkdir(parents=True)
        for file in source.iterdir() if source.is_dir() else ():
            if file.name.startswith(TEMPORARY):
                continue
            try:
                os.link(file, temporary / file.name)
            except OSError:
                # Some file systems know one name per file only.
                shutil.copyfile(file, temporary / file.name)
        _sync_folder(temporary)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a process left that was killed while it wrote."""
    for left in list(folder.rglob(f"{TEMPORARY}*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the system knows such a thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_annotation(path: Path, annotation: Annotation) -> None:
    """Write an annotation as an `.npz` file.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    labels = annotation.labels
    largest = int(labels.max(initial=0))
    arrays: dict[str, np.ndarray] = {
        "labels": labels.astype(np.uint16 if largest < 1 << 16 else np.int32),
        "accepted_ids": np.array(sorted(annotation.accepted_ids), np.int64),
    }
    if annotation.regions is not None:
        arrays["regions"] = np.packbits(annotation.regions)

    def write(target: Path) -> None:
        # The quickest compression is enough for areas of one value.
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    write_durably(path, write)


def read_annotation(path: Path, shape: tuple[int, ...]) -> Annotation:
    """Read an annotation; empty if there is no such file.

    Raises
    ------
    DataError
        If it is damaged, or has another shape.
    """
    if not path.exists():
        return Annotation(np.zeros(shape, np.int32))
    try:
        stored: dict[str, np.ndarray] = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    stored[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
        labels = np.ascontiguousarray(stored["labels"], np.int32)
        regions = None
        if "regions" in stored:
            regions = np.unpackbits(stored["regions"], count=labels.size).astype(bool).reshape(labels.shape)
        accepted = frozenset(int(value) for value in stored["accepted_ids"])
    except DAMAGED as error:
        raise DataError(f"{path}: this annotation is damaged ({error}); a round may hold an older one.") from error
    if labels.shape != shape:
        raise DataError(f"{path}: this annotation has shape {labels.shape}, but its image {shape}.")
    return Annotation(labels, regions, accepted)
