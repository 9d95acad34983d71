"""OME-Zarr images, opened to be read in parts: versions 0.1 to 0.5, on a disk of this computer."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import parse_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.lazy_image import LazyImage, check_pieces
from embedseg_napari.core.files.metadata import spacing_along
from embedseg_napari.core.files.ngff import ImageGroup, find_group, is_plate, names_of_labels
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    import zarr

DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""Files that make a folder one of Zarr."""
# fmt: off
CODECS = {
    "bytes", "transpose", "sharding_indexed", "endian",
    "blosc", "gzip", "zlib", "zstd", "lz4", "bz2", "lzma", "lzf", "pcodec", "zfpy",
    "crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3",
    "shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype",
}
# fmt: on
"""What turns numbers into bytes and back and can do nothing else: others, such as pickles, may run code."""


def is_store(path: Path) -> bool:
    """Whether a path is a folder of Zarr, or is called like one, and no folder of image files."""
    return path.is_dir() and (path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in DOCUMENTS))


def open_zarr(path: Path, level: int = 0, axes: str | None = None) -> LazyImage:
    """Open an image of an OME-Zarr; see `core.files.lazy_image.open_image`.

    Parameters
    ----------
    path : Path
        The group of an image or of labels, one of its resolutions (then `level` is not used), or a folder of images,
        of which the first is opened.
    level : int
        Resolution, 0 for the full one.
    axes : str, optional
        One letter per axis as stored.

    Raises
    ------
    DataError
        If it holds no such image, or one that cannot be read.
    """
    group = find_group(path)
    if group is None:
        raise DataError(_no_image(path))
    if group.named is not None:
        level = group.named
    if not 0 <= level < len(group.levels):
        raise DataError(
            f"{path}: has {count(len(group.levels), 'resolution level')} (0 to {len(group.levels) - 1}), no level "
            f"{level}."
        )
    arrays = [_open_array(group, name, number == level) for number, name in enumerate(group.levels)]
    array = arrays[level]
    assert array is not None
    letters = group.axes if axes is None else parse_axes(axes)
    if not letters:
        raise DataError(
            f"{path}: the axes in its metadata are not such as images have here (T, C, Z, Y, X, each once); name them "
            "with --axes."
        )
    if len(letters) != array.ndim:
        raise DataError(
            f"{path}: its level {group.levels[level]} has {array.ndim} axes (shape {array.shape}), but "
            f"{letters!r} names {len(letters)}."
        )
    metadata = group.metadata[level]
    kept = "".join(one for one, n in zip(letters, array.shape, strict=True) if n > 1 or one in "YX")
    spacing = spacing_along(metadata.steps, kept, kept, array.ndim)
    names, origin = metadata.channel_names, group.origins[level]
    if "C" not in kept or len(names) != array.shape[letters.index("C")]:
        names = ()
    if origin is not None:
        space = [letter for letter in "ZYX" if letter in letters]
        origin = tuple(start for letter, start in zip(space, origin, strict=True) if letter in kept)
    shapes = [None if one is None or one.ndim != array.ndim else one.shape for one in arrays]
    return LazyImage(
        array,
        letters,
        group.folder,
        open_zarr,
        array.chunks,
        tuple(_kept(shape, letters, kept) for shape in shapes if shape is not None),
        level,
        spacing,
        metadata.unit if spacing else None,
        origin,
        names,
        metadata.interval,
        group.version,
        group.is_labels,
    )


def _kept(shape: tuple[int, ...], letters: str, kept: str) -> tuple[int, ...]:
    return tuple(shape[letters.index(letter)] for letter in kept)


def _no_image(path: Path) -> str:
    if not any((path / name).is_file() for name in DOCUMENTS):
        return f"{path}: is no OME-Zarr: the folder holds neither zarr.json nor .zattrs."
    if is_plate(path):
        return f"{path}: is a plate; name the image of one of its wells, such as {path / 'A' / '1' / '0'}."
    labels = names_of_labels(path.parent) if path.name == "labels" else ()
    if labels:
        return f"{path}: is a group of label images; name one of them: {', '.join(labels)}."
    return f"{path}: is a Zarr, but no OME-Zarr image: its metadata has no multiscales."


def _open_array(group: ImageGroup, name: str, needed: bool) -> zarr.Array[Any] | None:
    """The array of a level; one that is only looked at for its shape may be missing."""
    import zarr
    import zarr.errors

    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name:
        raise DataError(f"{group.folder}: its level {name!r} lies outside of the store, which is refused.")
    folder = group.folder / Path(*place.parts)
    if not folder.is_dir():
        if needed:
            raise DataError(f"{group.folder}: its resolution level {name!r} is missing; copy the store again.")
        return None
    try:
        array = zarr.open_array(store=str(folder), mode="r")
        check_array(folder, array)
    except DataError:
        if needed:
            raise
        return None
    except Exception as error:
        # What is wrong in the description of an array comes as errors of many types, from Zarr, its codecs and NumPy.
        if needed:
            raise DataError(f"{folder}: is no array that can be read ({error}).") from error
        return None
    if needed and not _has_pieces(folder):
        raise DataError(f"{folder}: holds no pixels: all of its chunks are missing; copy the store again.")
    return array


def check_array(folder: Path, array: zarr.Array[Any]) -> None:
    """Refuse arrays that are no images, that could run code when read, or whose pieces claim gigabytes.

    Raises
    ------
    DataError
        If it is one of these.
    """
    if np.dtype(array.dtype).kind not in "buif":
        raise DataError(f"{folder}: holds values of type {array.dtype}, no numbers; it is no image.")
    described = array.metadata.to_dict()
    strange = sorted(set(_codecs(described)) - CODECS)
    if strange:
        raise DataError(
            f"{folder}: is stored by {', '.join(map(repr, strange))}, which is not read here, because such codecs can "
            "run code; store it with Blosc or Zstandard."
        )
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(f"{folder}: contains no image (shape {array.shape}).")
    check_pieces(folder, array.chunks, np.dtype(array.dtype))


def _codecs(described: Any) -> list[str]:
    """Names of all codecs in the metadata of an array, those inside of shards as well."""
    found = []
    for key in ("codecs", "index_codecs", "filters"):
        for codec in described.get(key) or ():
            if hasattr(codec, "get_config"):
                codec = codec.get_config()
            name = codec.get("name", codec.get("id", ""))
            found.append(str(name).removeprefix("numcodecs."))
            configuration = codec.get("configuration")
            found += _codecs(configuration) if isinstance(configuration, dict) else []
    compressor = described.get("compressor")
    if compressor is not None:
        config = compressor.get_config() if hasattr(compressor, "get_config") else compressor
        found.append(str(config.get("id", "")))
    return found


def _has_pieces(folder: Path) -> bool:
    """Whether there is anything in an array beside its description."""
    with os.scandir(folder) as entries:
        return any(entry.name not in DOCUMENTS for entry in entries)
