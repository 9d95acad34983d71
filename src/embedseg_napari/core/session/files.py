"""Files of a session: annotations, and folders of them; each is complete on the disk, or not there."""

from __future__ import annotations

import io
import math
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.archives import UNREADABLE, open_archive, read_member
from embedseg_napari.core.files.atomic import bring_to_disk, replace, sync_folder, write_atomically
from embedseg_napari.core.files.leftovers import sweep, temporary_name

if TYPE_CHECKING:
    from pathlib import Path

MOST_IDS = 1 << 24
"""Accepted objects of an image."""
HEADER = 4096
"""Bytes before the numbers of a stored array, at most."""


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
    for name, regions in (("regions", annotation.regions), ("earlier_regions", annotation.earlier_regions)):
        if regions is not None:
            arrays[name] = np.packbits(regions)

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
    n_pixels = math.prod(shape)
    try:
        with open_archive(path) as archive:
            labels = _read_array(archive, "labels", 8 * n_pixels)
            accepted = _read_array(archive, "accepted_ids", 8 * MOST_IDS)
            regions, earlier = (_read_mask(archive, name, shape) for name in ("regions", "earlier_regions"))
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= 1 << 31 or accepted.ndim != 1:
            raise ValueError("it holds values that cannot be object ids")
    except FileNotFoundError:
        return Annotation(np.zeros(shape, np.int32))
    except (*UNREADABLE, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path}: this annotation is damaged ({why}); a round may hold an older one.") from error
    if labels.shape != shape:
        raise DataError(f"{path}: this annotation has shape {labels.shape}, but its image {shape}.")
    return Annotation(labels.astype(np.int32), regions, frozenset(accepted.tolist()), earlier)


def _read_mask(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """A mask that was written as bits; None if there is none."""
    if f"{name}.npy" not in archive.namelist():
        return None
    n_pixels = math.prod(shape)
    n_bytes = -(-n_pixels // 8)
    packed = _read_array(archive, name, n_bytes)
    if packed.size != n_bytes:
        raise ValueError("its regions belong to another image")
    return np.unpackbits(packed, count=n_pixels).astype(bool).reshape(shape)


def _read_array(archive: zipfile.ZipFile, name: str, largest: int) -> np.ndarray:
    """An array of whole numbers; of a shape that is only claimed no memory is taken."""
    stream = io.BytesIO(read_member(archive, f"{name}.npy", largest + HEADER))
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of format {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = header(stream)
    if dtype.kind not in "iu" or is_fortran:
        raise ValueError(f"{name} does not hold whole numbers")
    # Where their number is not that of the shape, reshape says so.
    return np.frombuffer(stream.read(), dtype).reshape(shape)
