"""Files of a session: annotations, and folders of them; each is complete on the disk, or not there."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import bring_to_disk, replace, sync_folder, write_atomically
from embedseg_napari.core.files.leftovers import sweep, temporary_name

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive raises."""


def copy_folder(source: Path, target: Path) -> None:
    """Copy a flat folder; it appears under its name when it is complete. One that a broken attempt left is replaced.

    Files are never changed in place, only replaced, so a second name for the same file serves as a copy.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    temporary = target.with_name(temporary_name())
    try:
        temporary.mkdir(parents=True)
        for file in source.iterdir() if source.is_dir() else ():
            try:
                os.link(file, temporary / file.name)
            except OSError:
                # Some file systems know one name per file only.
                shutil.copyfile(file, temporary / file.name)
                bring_to_disk(temporary / file.name)
        sync_folder(temporary)
        if target.exists():
            shutil.rmtree(target)
        replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes left in a session that were killed while they wrote."""
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sweep(place)


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

    write_atomically(path, write)


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
