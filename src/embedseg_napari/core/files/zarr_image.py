"""OME-Zarr images, opened to be read in parts: versions 0.1 to 0.5, on a disk of this computer."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import KNOWN, parse_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.lazy_image import FramesOnDisk, LazyImage, check_pieces
from embedseg_napari.core.files.leftovers import run_beside
from embedseg_napari.core.files.metadata import spacing_along
from embedseg_napari.core.files.ngff import ImageGroup, find_group, is_plate, names_of_labels
from embedseg_napari.core.files.picture import Pixels
from embedseg_napari.core.machine import memory_of_machine
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable

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


CHUNK = re.compile(r"(c[\\/.])?[0-9]+([\\/.][0-9]+)*")
"""Names of files with pixels inside the folder of an array."""


def is_store(path: Path) -> bool:
    """Whether a path is a folder of Zarr, or is called like one, and no folder of image files."""
    return os.path.isdir(path) and (path.suffix.lower() == ".zarr" or has_documents(path))


def has_documents(path: Path) -> bool:
    """Whether a folder describes itself as one of Zarr."""
    return any((path / name).is_file() for name in DOCUMENTS)


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
    letters = group.axes if axes is None else _with_all(parse_axes(axes), array.shape)
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
    stored = _as_stored(group, letters, kept)
    spacing = spacing_along(metadata.steps, kept, stored, array.ndim)
    names, origin = metadata.channel_names, group.origins[level]
    if "C" not in kept or len(names) != array.shape[letters.index("C")]:
        names = ()
    if origin is not None:
        starts = dict(zip(spatial_axes(group.axes), origin, strict=True))
        names_of = dict(zip(kept, stored, strict=True))
        origin = tuple(starts.get(names_of[letter], 0.0) for letter in spatial_axes(kept))
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
        next((file for name in DOCUMENTS if (file := group.folder / group.levels[level] / name).is_file()), None),
        f"holds {len(group.images)} images; the first, {group.images[0]}, is read; name another by its path"
        if len(group.images) > 1
        else "",
    )


def read_zarr(
    path: Path, axes: str | None, labels: bool, say: Callable[[str], None], *, lazily: bool = False
) -> Pixels:
    """Read an image of an OME-Zarr whole, at its full resolution or the one that is named.

    Parameters
    ----------
    path : Path
        As for `open_zarr`. Where labels are wanted and an image is named, the label image in it is read.
    axes : str, optional
        One letter per axis, with those of length 1 or without.
    labels : bool
        Whether its pixels are numbers of objects.
    say : callable
        Takes what was assumed and left out; it follows the path.
    lazily : bool
        Whether frames, where each has pieces of its own, may stay on the disk.

    Raises
    ------
    DataError
        If it cannot be read, or does not fit into memory.
    """
    image, group = _chosen(path, axes, labels, say)
    stored = _as_stored(group, image.stored_axes, image.axes)
    if lazily and image.axes.startswith("T") and image.chunks[0] == 1 and axes in (None, image.axes):
        frames: Any = FramesOnDisk.of(lambda t: image[t], image.shape, image.dtype)
        return Pixels(frames, stored, group.metadata[image.level])
    total = memory_of_machine()
    if total is not None and image.nbytes > total:
        raise DataError(
            f"{path}: {shape_words(image.shape)} pixels ({image.nbytes / 1e9:.1f} GB) do not fit into memory; segment "
            "it in blocks, or name one of its smaller resolutions."
        )
    counts_all = axes is not None and len(axes) == len(image.stored_axes)
    array = image[...]
    if counts_all:
        array = array.reshape(image.array.shape)
        stored = _as_stored(group, image.stored_axes, image.stored_axes)
    return Pixels(array, stored, group.metadata[image.level])


def open_chosen(path: Path, axes: str | None, labels: bool, say: Callable[[str], None]) -> LazyImage:
    """:func:`read_zarr`, but opened to be read in parts."""
    return _chosen(path, axes, labels, say)[0]


def _chosen(path: Path, axes: str | None, labels: bool, say: Callable[[str], None]) -> tuple[LazyImage, ImageGroup]:
    place = labels_in(path) if labels else path
    image = open_zarr(place, 0, axes)
    group = find_group(place)
    assert group is not None
    if image.left_out:
        say(image.left_out)
    if labels and run_beside(group.folder).exists():
        say("is not complete: the run that makes it goes on or was stopped, and the same embedseg predict finishes it")
    return image, group


def labels_in(path: Path) -> Path:
    """The label image that is meant by a path: itself, or the only one of the image there.

    Raises
    ------
    DataError
        If the image has several.
    """
    group = find_group(path)
    names = () if group is None or group.is_labels else names_of_labels(group.folder)
    if len(names) > 1:
        raise DataError(
            f"{path}: has several label images ({', '.join(names)}); name one, such as {path / 'labels' / names[0]}."
        )
    return group.folder / "labels" / names[0] if names and group is not None and group.named is None else path


def has_labels(path: Path) -> bool:
    """Whether a path is that of an image which has label images of its own."""
    group = find_group(path) if is_store(path) else None
    return group is not None and not group.is_labels and names_of_labels(group.folder) != ()


def _as_stored(group: ImageGroup, letters: str, kept: str) -> str:
    """Letters that the file has for axes which may have been given others; those where it has none that fit."""
    own = group.axes if len(group.axes) == len(letters) else letters
    return "".join(name for name, letter in zip(own, letters, strict=True) if letter in kept)


def _kept(shape: tuple[int, ...], letters: str, kept: str) -> tuple[int, ...]:
    return tuple(shape[letters.index(letter)] for letter in kept)


def _with_all(axes: str, shape: tuple[int, ...]) -> str:
    """Letters for all axes, where someone left out those of length 1."""
    if len(axes) != sum(n > 1 for n in shape) or len(axes) == len(shape):
        return axes
    named, rest = iter(axes), iter(letter for letter in KNOWN if letter not in axes)
    return "".join(next(named) if n > 1 else next(rest, "") for n in shape)


def _no_image(path: Path) -> str:
    if not has_documents(path):
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
    # Labels of nothing but background are labels.
    if needed and not group.is_labels and not _has_pieces(folder):
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


def count_missing(image: LazyImage) -> tuple[int, int]:
    """How many files of pixels an OME-Zarr lacks, and of how many; (0, 0) for other images."""
    root = getattr(getattr(image.array, "store", None), "root", None)
    if not image.ngff or root is None:
        return 0, 0
    edges = image.array.shards or image.array.chunks
    n = math.prod(-(-side // edge) for side, edge in zip(image.array.shape, edges, strict=True))
    there = 0
    for folder, _, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        there += sum(bool(CHUNK.fullmatch(os.path.normpath(os.path.join(inside, name)))) for name in files)
    return max(0, n - there), n


def missing_words(n_missing: int, of: int) -> str:
    """A sentence on files of pixels that an OME-Zarr lacks, see `count_missing`; empty where it lacks none.

    It may well do so: what holds nothing need not be written. But a copy that was broken off looks the same.
    """
    if not n_missing:
        return ""
    return (
        f"{n_missing} of its {of} chunks are not on the disk and are read as background. So are stored those that hold "
        "nothing; if that cannot be, copy the image again."
    )


def _has_pieces(folder: Path) -> bool:
    """Whether there is anything in an array beside its description."""
    with os.scandir(folder) as entries:
        return any(entry.name not in DOCUMENTS for entry in entries)
