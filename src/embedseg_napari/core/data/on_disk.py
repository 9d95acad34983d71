"""Which images of a data set stay on the disk while a network learns from them, and how they are opened."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedseg_napari.core.axes import check_spacing, ordered, result_axes, spatial_axes
from embedseg_napari.core.data.masks import require_ids
from embedseg_napari.core.data.piece_cache import PieceCache
from embedseg_napari.core.data.stored import StoredExample, StoredLabels, StoredPixels, measured
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.picture import TIFF
from embedseg_napari.core.files.region import choose_region, places_in
from embedseg_napari.core.files.units import MICROMETRE
from embedseg_napari.core.files.zarr_image import count_missing, is_store, labels_in, missing_words
from embedseg_napari.core.machine import memory_of_machine
from embedseg_napari.core.wording import count, memory_words, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.core.files.region import Region

SHARE = 0.5
"""Of the machine's memory that images may take, where nothing else is said."""
LEAST_SHARE = 0.25
"""Of that memory that held-out images may take, whatever the others leave."""
UNSAID = 4e9
"""The same in bytes where the system does not say what it has."""
EXPANSION = 20
"""Bytes in memory for a byte of a file, hardly ever more: files that small are not looked into."""
FOR_LABELS = 8
"""Bytes per pixel that labels take in memory."""
FOR_VALUES = 4
"""Bytes per pixel of each channel that normalised values take beside the image."""
LEAST_CACHE = 64e6


@dataclass(frozen=True, slots=True)
class FromDisk:
    """How images that do not fit into memory are learned from.

    Parameters
    ----------
    memory : float, optional
        Bytes that images may take; by default half of the machine's memory.
    center : {"medoid", "approximate-medoid", "centroid"}
        Which centres of objects are measured.
    kept_in : Path, optional
        Folder where what is measured is kept.
    watch : callable, optional
        Called with the name of an image and the fraction of it that is measured; what it raises ends the work.
    """

    memory: float | None = None
    center: CenterKind = "medoid"
    kept_in: Path | None = None
    watch: Callable[[str, float], None] | None = None

    @property
    def limit(self) -> float:
        """Bytes that images may take."""
        if self.memory is not None:
            return self.memory
        total = memory_of_machine()
        return UNSAID if total is None else SHARE * total

    def beside(self, examples: Sequence[Example]) -> FromDisk:
        """How others are learned from beside images that were read: in what these leave of the memory."""
        is_full = any(isinstance(example, StoredExample) for example in examples)
        taken = self.limit if is_full else sum(_taken(example) for example in examples)
        return replace(self, memory=max(self.limit - taken, LEAST_SHARE * self.limit))


class Split(NamedTuple):
    """Which images of a data set stay on the disk."""

    names: frozenset[str]
    cache: PieceCache | None
    """What they are read through."""
    words: str
    """A sentence about it; empty where there are none."""


def split_by_memory(images: Mapping[str, Path], limit: float, axes: str | None = None) -> Split:
    """Choose the images that stay on the disk: none if all fit into memory, else the largest.

    Parameters
    ----------
    images : mapping of str to Path
        By name.
    limit : float
        Bytes that images may take.
    axes : str, optional
        Axes of the images, where the files do not say.
    """
    guessed = sum(EXPANSION * path.stat().st_size for path in images.values() if path.is_file())
    stores = [path for path in images.values() if is_store(path)]
    if guessed + sum(_needed(path, axes) or 0 for path in stores) <= limit:
        return Split(frozenset(), None, "")
    needed = {name: _needed(path, axes) for name, path in images.items()}
    left = limit - sum(EXPANSION * images[name].stat().st_size for name, n in needed.items() if n is None)
    known = sorted(((n, name) for name, n in needed.items() if n is not None), reverse=True)
    total, out = sum(n for n, _ in known), []
    # All but those that stay on the disk take no more than half: the rest is for what is read.
    for n, name in known:
        if total <= left:
            break
        out.append(name)
        total -= n
        left = min(left, limit / 2)
    if not out:
        return Split(frozenset(), None, "")
    size = sum(needed[name] or 0 for name in out)
    words = (
        f"{count(len(out), 'image')} would need {memory_words(size)} of memory, and {memory_words(limit)} are allowed; "
        f"{'it is' if len(out) == 1 else 'they are'} read from the disk while training."
    )
    return Split(frozenset(out), PieceCache(int(max(limit - total, LEAST_CACHE))), words)


def _taken(example: Example) -> float:
    """Bytes of memory that training on an image that was read takes."""
    image = example.image
    return float(image.size * (image.dtype.itemsize + FOR_VALUES) + image[0].size * FOR_LABELS)


def _needed(path: Path, axes: str | None) -> float | None:
    """Bytes of memory that training on an image takes; None if it can only be read whole."""
    if not (is_store(path) or path.suffix.lower() in TIFF):
        return None
    try:
        image = open_image(path, axes=axes)
    except DataError:
        if is_store(path):
            raise
        return None
    sides = dict(zip(image.axes, image.shape, strict=True))
    n_channels = sides.pop("C", 1)
    return float(math.prod(sides.values())) * (n_channels * (image.dtype.itemsize + FOR_VALUES) + FOR_LABELS)


def stored_examples(
    name: str,
    paths: tuple[Path, Path, Path | None],
    cache: PieceCache,
    settings: FromDisk,
    *,
    axes: str | None,
    channel: OneChannel | None,
    spacing: Sequence[float] | None,
    ignore_label: int | None,
    check: Callable[[np.ndarray, str, bool], Any],
    tell: Callable[[str, str], None],
) -> list[StoredExample]:
    """Open an image with its labels and measure its objects; of a time-lapse every frame with labels by itself.

    Parameters
    ----------
    name : str
        What it is called.
    paths : (Path, Path, Path or None)
        The image, its labels, and its ignore mask.
    cache : PieceCache
        What it is read through.
    settings : FromDisk
        What is measured, and where that is kept.
    axes, channel, spacing, ignore_label, tell
        As `core.data.pairs.load_folder` takes them.
    check : callable
        Refuses an image by what is seen of it, shape (C, n), its name and whether its colours can be judged.

    Raises
    ------
    DataError
        If they do not fit together, or cannot be read.
    """
    where, mask_where = str(paths[0]), str(labels_in(paths[1]))
    image = _told(paths[0], axes, tell)
    if words := missing_words(*count_missing(image)):
        tell(where, words)
    pixels = _opened(image, cache)
    is_colour, middle = image.axes.endswith("C"), places_in(pixels.shape, 1)
    parts, every = places_in(pixels.shape) if is_colour else middle, replace(pixels, channel="all")
    seen = np.concatenate([every.read(0, part).reshape(every.n_channels, -1) for part in parts], 1)
    # Bare glass, or what was never written, has no colour.
    check(seen, where, is_colour and bool((seen.min(1) < seen.max(1)).any()))
    pixels = replace(pixels, channel="all" if channel is None or "C" not in image.axes else channel)
    masks = [
        _opened(_beside(own, image, axes is not None, tell), cache)
        for own in (labels_in(paths[1]), *([] if paths[2] is None else [paths[2]]))
    ]
    for mask in masks:
        _require_alike(mask, pixels, where)
    labels, ignore = masks[0], masks[1] if len(masks) > 1 else None
    require_ids(StoredLabels(labels, 0, ignore, ignore_label).read(middle[0])[0], mask_where)
    size, unit = image.spacing, image.unit
    if spacing is not None:
        size, unit = check_spacing(spacing, spatial_axes(image.axes)), MICROMETRE
    out = []
    for frame in range(pixels.n_frames):
        own = f"{name} {frame}" if pixels.n_frames > 1 else name
        stored = StoredLabels(labels, frame, ignore, ignore_label)
        watch = None if settings.watch is None else partial(settings.watch, own)
        survey = measured(stored, settings.center, size, settings.kept_in, watch)
        out.append(
            StoredExample(
                own,
                StoredPixels(pixels, frame),
                stored,
                None,
                size,
                unit,
                paths[0],
                paths[1],
                survey=survey,
                center=settings.center,
                kept_in=settings.kept_in,
            )
        )
    labelled = [one for one in out if len(one.survey.table.ids) or one.has_unknown]
    if 0 < len(labelled) < len(out):
        tell(where, f"{len(out) - len(labelled)} of {len(out)} frames are left out: they have no labels.")
    return labelled or out


def _opened(image: LazyImage, cache: PieceCache) -> Region:
    return choose_region(cache.of(image), image.axes, "all")


def _told(path: Path, axes: str | None, tell: Callable[[str, str], None]) -> LazyImage:
    """An image; what else its file holds is told."""
    image = open_image(path, axes=axes)
    if image.left_out:
        tell(str(path), f"{image.left_out}.")
    return image


def _beside(path: Path, image: LazyImage, is_told: bool, tell: Callable[[str, str], None]) -> LazyImage:
    """Labels of an image; their axes are those of the image where it was said, or their file leaves them open."""
    return _told(path, None if is_store(path) and not is_told else result_axes(image.axes), tell)


def _require_alike(mask: Region, image: Region, where: str) -> None:
    """Refuse labels that do not lie on their image."""
    path = mask.array.path
    wanted = result_axes(image.axes)
    if "T" in wanted and "T" not in mask.axes and mask.n_frames != image.n_frames:
        raise DataError(
            f"{path}: is one image, but {where} has {count(image.n_frames, 'frame')}; a mask needs as many frames."
        )
    if ordered(mask.axes) != ordered(wanted):
        raise DataError(
            f"{path}: has the axes {mask.axes}, but its image {where} has {image.axes}; labels of an image that is "
            "read from the disk have its axes without channels."
        )
    if (mask.shape, mask.n_frames) != (image.shape, image.n_frames):
        raise DataError(
            f"{path}: has {shape_words(mask.shape)} pixels, but its image {where} has {shape_words(image.shape)}."
            if mask.shape != image.shape
            else f"{path}: has {count(mask.n_frames, 'frame')}, but {where} has {image.n_frames}."
        )
