"""What a TIFF holds: its images, told from previews and from promises, as arrays."""

from __future__ import annotations

import math
import struct
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from embedseg_napari.core.files.brightness import PALETTE, WHITE_IS_ZERO, as_brightness
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.metadata import read_metadata
from embedseg_napari.core.files.ome import broken_promise, own_planes
from embedseg_napari.core.files.picture import Unlike, faults_told
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.files.ome import OwnPlanes
    from embedseg_napari.core.files.picture import Pixels

DESCRIBED = ("ome", "imagej", "shaped", "mmstack", "ndtiff", "scanimage", "nih")
"""Kinds of description by which the library arranges pages."""
EXPANSION = {1: 1, 32773: 128, 8: 1040, 32946: 1040}
"""How many times its size a compression can hold: none, PackBits, Deflate."""
LARGEST_EXPANSION = 50_000
"""Of all others: a plane of zeros in Zstandard comes near to it."""
SMALL = 1 << 26
"""Bytes of an image that are never worth a question."""


def read_pages(
    path: Path, ndim: int | None, labels: bool, say: Callable[[str], None], *, lazily: bool = False
) -> Pixels:
    """Read the image of a file, or its images of one size as one array.

    Parameters
    ----------
    path : Path
        The file.
    labels : bool
        Whether its pixels are numbers of objects.
    ndim : int, optional
        Axes that the user says it has. What the file says of itself is then left aside where it does not fit.
    say : callable
        Takes sentences about what was assumed and left out; they follow the path.
    lazily : bool
        Whether its planes may stay on the disk, see `FramesOnDisk`.

    Raises
    ------
    Unlike
        If it holds less than it says; the library has errors of its own for damaged files.
    """
    with ExitStack() as stack:
        tif = stack.enter_context(tifffile.TiffFile(path))
        refuse_cut(tif)
        fault = broken_promise(tif) or _broken_count(tif)
        if fault is None:
            parts = own_planes(tif)
            if parts is None:
                stored = _read_series(tif, ndim, labels, say, stack if lazily else None)
            else:
                stored = _read_parts(tif, parts, labels, say)
            if ndim in (None, stored.array.ndim):
                return stored
    with tifffile.TiffFile(path) as tif:
        # Its descriptions are left unread: it is taken as the pages it has.
        for kind in DESCRIBED:
            setattr(tif, f"is_{kind}", False)
        plain = _read_series(tif, ndim, labels, say if fault else _silent)
    if ndim == plain.array.ndim:
        say(f"{fault or 'its axes are others than it says'}; read as its {shape_words(plain.array.shape)} pixels")
        return plain
    if fault is None:
        return stored
    raise Unlike(
        f"{fault}; it was probably cut short, or copied from another with that one's description. "
        f"What it holds, {shape_words(plain.array.shape)} pixels, is read where its axes are named (--axes)"
    )


def _silent(_: str) -> None:
    """What is read a second time was said the first time."""


def refuse_cut(tif: tifffile.TiffFile) -> None:
    """Say so where a stack lost its end: the library would return the planes that are left, or zeros."""
    last = tif.pages[-1]
    form, handle = tif.tiff, tif.filehandle
    handle.seek(last.offset)
    n_tags = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(last.offset + form.tagnosize + n_tags * form.tagsize)
    following = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0]
    if following >= handle.size:
        raise Unlike(f"was cut short after plane {len(tif.pages)}; copy it again")


def _broken_count(tif: tifffile.TiffFile) -> str | None:
    """How the counts in a description of ImageJ or of tifffile contradict what the file holds."""
    page, n_pages = tif.pages.first, len(tif.pages)
    # Both may keep all planes behind each other under a single page.
    if n_pages == 1 and page.is_final and page.is_contiguous:
        n_pages = max((tif.filehandle.size - page.dataoffsets[0]) // max(page.nbytes, 1), 1)
    if tif.is_imagej and not tif.is_ome:
        info = tif.imagej_metadata or {}
        slices, frames, channels, images = (
            int(info.get(name, 1)) for name in ("slices", "frames", "channels", "images")
        )
        # Colours in a pixel are channels as well.
        promised = max(slices * frames * (1 if channels == page.samplesperpixel else channels), images)
        if promised > n_pages:
            return f"its ImageJ description promises {promised} planes, but the file holds {n_pages}"
    elif tif.is_shaped and tif.shaped_metadata:
        promised = math.prod(tif.shaped_metadata[0]["shape"]) // max(math.prod(page.shape), 1)
        if promised > n_pages:
            return f"its description promises {promised} planes, but the file holds {n_pages}"
    return None


def _read_parts(tif: tifffile.TiffFile, parts: Sequence[OwnPlanes], labels: bool, say: Callable[[str], None]) -> Pixels:
    if not parts:
        raise Unlike("none of the planes that its OME metadata names lies in this file")
    part = max(parts, key=lambda one: len(one.pages))
    if len(parts) > 1:
        say(f"holds planes of {len(parts)} images; those of the largest are read, {len(part.pages)} planes")
    pages = [tif.pages[index] for index in part.pages]
    first = tif.pages.first
    refuse_bomb(tif, pages, first.nbytes * len(pages))
    say("its OME metadata names other files as parts of the same image; the planes in this one are read")
    array = np.stack([page.asarray() for page in pages]).reshape(*part.shape, *first.shape)
    axes = part.axes + first.axes
    return as_brightness(array, axes, first, read_metadata(tif, part.image), labels, tif.is_imagej, say)


def _read_series(
    tif: tifffile.TiffFile,
    ndim: int | None,
    labels: bool,
    say: Callable[[str], None],
    held: ExitStack | None = None,
) -> Pixels:
    """What `largest_images` finds, several counted by an axis of their own.

    What holds the file open is given where its planes may stay on the disk.
    """
    alike, left_out = largest_images(tif, ndim)
    largest = alike[0]
    if left_out:
        say(left_out)
    pages = [page for one in alike for page in one.pages]
    if any(page is None for page in pages):
        raise Unlike("some of its planes lie in other files that are missing")
    refuse_bomb(tif, pages, sum(one.nbytes for one in alike))
    metadata = read_metadata(tif, tif.series.index(largest))
    if len(alike) == 1:
        kept = _kept(largest.shape, largest.axes, ndim)
        shape, axes = [largest.shape[index] for index in kept], "".join(largest.axes[index] for index in kept)
        painted = int(largest.keyframe.photometric) in (WHITE_IS_ZERO, PALETTE) and not tif.is_imagej
        array: Any = None if held is None or painted else _on_disk(tif, largest, shape, held)
        if array is None:
            array = largest.asarray().reshape(shape)
    else:
        array = np.stack([one.asarray() for one in alike])
        axes = ("P" if "T" in largest.axes else "T") + largest.axes
        say(f"holds {len(alike)} images of one size ({shape_words(largest.shape)}); all are read, each by itself")
    return as_brightness(array, axes, largest.keyframe, metadata, labels, tif.is_imagej, say)


def largest_images(tif: tifffile.TiffFile, ndim: int | None) -> tuple[list[tifffile.TiffPageSeries], str]:
    """Find the largest image of a file, and with it those of its size and kind.

    Parameters
    ----------
    tif : TiffFile
        The file.
    ndim : int, optional
        Axes that the user says it has; of images that have as many, the first is meant.

    Returns
    -------
    images : list of TiffPageSeries
        At least one.
    left_out : str
        What else the file holds, in words that follow its path; empty where there is nothing else.

    Raises
    ------
    Unlike
        If it holds no pixels.
    """
    series = [one for one in tif.series if math.prod(one.shape)]
    if not series:
        raise Unlike("it holds no pixels")
    largest = max(series, key=lambda one: math.prod(one.shape))
    alike = [one for one in series if (one.shape, one.dtype, one.axes) == (largest.shape, largest.dtype, largest.axes)]
    if ndim == len(largest.shape):
        alike = [largest]
    rest = [one for one in series if one not in alike]
    if rest:
        sizes = ", ".join(shape_words(one.shape) for one in rest[:3]) + (" and others" if len(rest) > 3 else "")
        return alike, (
            f"holds {len(series)} images; the largest ({shape_words(largest.shape)}) is read, left out: {sizes}. "
            "Save those you need as files of their own"
        )
    n_named = len(largest.pages)
    if len(alike) == len(largest.levels) == 1 and largest.kind == "ome" and n_named < len(tif.pages):
        return alike, f"holds {len(tif.pages)} planes, but its OME metadata names {n_named}; the others are left out"
    return alike, ""


def _kept(shape: Sequence[int], axes: str, ndim: int | None) -> list[int]:
    """Axes but those of length 1, unless the user counts these."""
    return [index for index, n in enumerate(shape) if n > 1 or axes[index] in "YX" or ndim == len(shape)]


def _on_disk(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, shape: Sequence[int], held: ExitStack
) -> FramesOnDisk | None:
    """An image whose pixels are read later; None where its first axis does not count planes."""
    n, path, offset = shape[0], Path(tif.filehandle.path), series.dataoffset
    if len(shape) < 3 or (offset is None and len(series.pages) % n):
        return None
    size, n_pages = math.prod(shape[1:]), len(series.pages) // n
    kind = np.dtype(tif.byteorder + series.dtype.char)

    def read(t: int) -> NDArray[Any]:
        with faults_told(path):
            if offset is None:
                frame = tif.asarray(slice(t * n_pages, (t + 1) * n_pages), series=series)
            else:
                frame = tif.filehandle.read_array(kind, size, offset + t * size * kind.itemsize)
            return frame.reshape(shape[1:])

    # The file stays open as long as it may be read.
    weakref.finalize(read, held.pop_all().close)
    return FramesOnDisk.of(read, shape, kind, is_packed=offset is None)


def refuse_bomb(tif: tifffile.TiffFile, pages: Sequence[object], n_bytes: int) -> None:
    """Refuse an image that the bytes of its file cannot hold, before memory is taken for it."""
    frames = [page for page in pages if isinstance(page, (tifffile.TiffPage, tifffile.TiffFrame))]
    end = tif.filehandle.size
    counts = [(start, n) for page in frames for start, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if any(start + n > end for start, n in counts):
        raise Unlike("was cut short, its last pixels are missing; copy it again")
    keyframe = tif.pages.first if frames[0].keyframe is None else frames[0].keyframe
    compression = int(keyframe.compression)
    ratio = EXPANSION.get(compression, LARGEST_EXPANSION)
    # Tiles without bytes are background by agreement.
    filled = sum(n > 0 for _, n in counts) / max(len(counts), 1)
    in_file = sum(n for _, n in counts)
    if len(pages) == 1 and ratio == 1:
        # Planes behind each other under a single page.
        in_file = max(in_file, end - (counts[0][0] if counts else end))
    bits = keyframe.bitspersample / max(8 * (keyframe.dtype.itemsize if keyframe.dtype else 1), 1)
    if not in_file or (n_bytes * filled * min(bits, 1.0) > ratio * in_file and (ratio == 1 or n_bytes > SMALL)):
        raise Unlike(f"it claims {n_bytes} bytes of pixels, which its {end} bytes cannot hold")
