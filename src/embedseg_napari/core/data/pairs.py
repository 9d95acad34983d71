"""Annotated images: from folders or arrays, checked before any training."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from embedseg_napari.core.axes import guess_axes, parse_axes, spatial_axes, to_frames
from embedseg_napari.core.data.images import Picture, list_images, read_image
from embedseg_napari.core.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

NETWORK_REACH = 300
"""Objects wider than this in pixels are beyond what the network's effective reach serves well."""
TINY = 4
"""Objects of at most this many pixels are probably slips of the brush."""


@dataclass(frozen=True, slots=True)
class Example:
    """One annotated image."""

    name: str
    image: np.ndarray
    """C(Z)YX, as stored."""
    instances: np.ndarray
    """Label image int32 (Z)YX, 0 is background; or planes bool (K, (Z)YX) of one object each, which may overlap."""
    ignore: np.ndarray | None = None
    """(Z)YX bool, pixels of unknown class."""
    spacing: tuple[float, ...] | None = None
    """Physical pixel size (z, y, x)."""
    unit: str | None = None
    path: Path | None = None

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.image.ndim - 1

    @property
    def is_planes(self) -> bool:
        """Whether objects are planes of their own."""
        return self.instances.ndim == self.image.ndim


def find_dataset(folder: str | Path) -> tuple[Path, Path | None]:
    """Return the training folder and, if there is one, the validation folder of a data set.

    A data set is a folder with `images/` and `masks/`, or one with `train/` (and `val/`) of that kind.

    Raises
    ------
    DataError
        If the folder is missing or holds neither.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    if (folder / "images").is_dir():
        return folder, None
    if (folder / "train" / "images").is_dir():
        val = folder / "val"
        return folder / "train", val if (val / "images").is_dir() else None
    raise DataError(f"{folder}: found neither images/ and masks/ nor train/images/ and train/masks/ in it.")


def load_folder(
    folder: str | Path,
    *,
    axes: str | None = None,
    channel: int | None = None,
    spacing: Sequence[float] | None = None,
) -> list[Example]:
    """Read every image of a folder with its mask, and with its ignore mask where `ignore/` holds one.

    Parameters
    ----------
    folder : path
        Holds `images/` and `masks/` with files of the same names.
    axes : str, optional
        Axes of the images, where the files do not say.
    channel : int, optional
        Take only this channel, counted from 0.
    spacing : sequence of float, optional
        Physical pixel size (z, y, x), instead of the files' own.

    Raises
    ------
    DataError
        Naming the file and its fault.
    """
    folder = Path(folder)
    images, masks = folder / "images", folder / "masks"
    for part in (images, masks):
        if not part.is_dir():
            raise DataError(f"{folder}: has no folder {part.name}/.")
    paths = list_images(images)
    if not paths:
        raise DataError(f"{images}: holds no TIFF images.")
    mask_paths = {p.stem: p for p in list_images(masks)}
    alone = sorted(set(mask_paths) - {p.stem for p in paths})
    if alone:
        raise DataError(f"{mask_paths[alone[0]]}: there is no image of this name in {images}.")
    ignored = {p.stem: p for p in list_images(folder / "ignore")} if (folder / "ignore").is_dir() else {}
    examples = []
    for path in paths:
        if path.stem not in mask_paths:
            raise DataError(f"{path}: there is no mask of this name in {masks}; add one or take the image away.")
        picture = read_image(path, axes)
        mask = read_image(mask_paths[path.stem])
        ignore = read_image(ignored[path.stem]).array if path.stem in ignored else None
        examples.append(_example(path.stem, picture, mask.array, ignore, channel, spacing, mask.path))
    return examples


def from_arrays(
    pairs: Sequence[Any],
    axes: str | None = None,
    spacing: Sequence[float] | None = None,
    channel: int | None = None,
    names: Sequence[str] | None = None,
) -> list[Example]:
    """Make examples of (image, labels) or (image, labels, ignore) arrays; see `load_folder`.

    Raises
    ------
    DataError
        If there are none, or an array does not fit.
    """
    if len(pairs) == 0:
        raise DataError("There are no images to train on.")
    examples = []
    for index, pair in enumerate(pairs):
        if isinstance(pair, Example):
            examples.append(pair)
            continue
        if len(pair) not in (2, 3):
            raise DataError(f"Training item {index} has {len(pair)} parts; give (image, labels) or (image, labels, ignore).")
        image, labels, *rest = (np.asarray(part) if part is not None else None for part in pair)
        assert image is not None
        name = names[index] if names is not None else f"image {index}"
        picture = Picture(image, "" if axes is None else parse_axes(axes), None, None, (), None, axes is None)
        examples.append(_example(name, picture, labels, rest[0] if rest else None, channel, spacing, None))
    return examples


def _example(
    name: str,
    picture: Picture,
    mask: np.ndarray,
    ignore: np.ndarray | None,
    channel: int | None,
    spacing: Sequence[float] | None,
    mask_path: Path | None,
) -> Example:
    where, mask_where = str(picture.path or name), str(mask_path or f"labels of {name}")
    axes = picture.axes or _axes_beside_mask(picture.array.shape, mask.shape)
    space = spatial_axes(axes)
    ndim = len(space)
    frames = to_frames(picture.array, axes)
    if len(frames) != 1:
        raise DataError(f"{where}: has {len(frames)} time points; save each with its mask as an image of its own.")
    image = _pick_channel(frames[0], channel, where)
    if not np.issubdtype(image.dtype, np.number) or np.issubdtype(image.dtype, np.complexfloating):
        raise DataError(f"{where}: holds {image.dtype} values; save it as integers or floating-point numbers.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise DataError(f"{where}: holds NaN or infinite values; replace them by numbers.")
    instances = _instances(mask, image.shape[1:], where, mask_where)
    if ignore is not None:
        if ignore.shape != image.shape[1:]:
            raise DataError(f"{where}: its ignore mask has shape {ignore.shape}, the image {image.shape[1:]}.")
        ignore = ignore != 0
    given = tuple(float(v) for v in spacing) if spacing is not None else picture.spacing
    if given is not None and len(given) != ndim:
        if spacing is not None:
            raise DataError(f"{where}: spacing needs one value for each of the axes {space}, got {len(given)}.")
        given = None
    return Example(name, image, instances, ignore, given, picture.unit, picture.path)


def _axes_beside_mask(shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> str:
    """Read axes off the shapes: what the mask shares is space, what it lacks are channels."""
    if shape == mask_shape or len(shape) == 2:
        return guess_axes(shape, min(len(shape), 3))
    if len(shape) == len(mask_shape) + 1 and len(mask_shape) in (2, 3):
        space = "YX" if len(mask_shape) == 2 else "ZYX"
        if shape[1:] == mask_shape:
            return f"C{space}"
        if shape[:-1] == mask_shape:
            return f"{space}C"
    return guess_axes(shape, min(len(shape), 3))


def _pick_channel(image: np.ndarray, channel: int | None, where: str) -> np.ndarray:
    if channel is not None:
        if not 0 <= channel < len(image):
            raise DataError(f"{where}: has {len(image)} channel(s), counted from 0; there is no channel {channel}.")
        return image[channel : channel + 1]
    if len(image) in (3, 4) and image.dtype == np.uint8 and image.ndim == 3 and np.array_equal(image[0], image[1]):
        raise DataError(
            f"{where}: is a grey image saved as RGB (its colours are equal); save it as grey, or take one with --channel 0."
        )
    return image


def _instances(mask: np.ndarray, shape: tuple[int, ...], where: str, mask_where: str) -> np.ndarray:
    if not (np.issubdtype(mask.dtype, np.integer) or mask.dtype == bool):
        raise DataError(
            f"{mask_where}: holds {mask.dtype} values; a mask needs whole numbers, one per object "
            "(in Fiji: Image > Type > 16-bit)."
        )
    is_planes = mask.ndim == len(shape) + 1
    found = mask.shape[1:] if is_planes else mask.shape
    if found != shape:
        raise DataError(f"{mask_where}: has shape {mask.shape}, but its image {where} has {shape}.")
    if np.issubdtype(mask.dtype, np.signedinteger) and mask.size and mask.min() < 0:
        raise DataError(f"{mask_where}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
    if is_planes:
        return mask != 0
    if mask.size and mask.max() >= 2**31:
        _, dense = np.unique(mask, return_inverse=True)
        return np.asarray(dense.reshape(mask.shape) + (0 if (mask == 0).any() else 1), np.int32)
    return np.ascontiguousarray(mask, np.int32)


def check_examples(examples: Sequence[Example]) -> list[str]:
    """Look for faults that would spoil a training.

    Parameters
    ----------
    examples : sequence of Example
        All images, those for validation included.

    Returns
    -------
    list of str
        Warnings, one sentence each.

    Raises
    ------
    DataError
        If the images cannot be trained on.
    """
    if not examples:
        raise DataError("There are no images to train on.")
    first = examples[0]
    for example in examples:
        if example.ndim != first.ndim:
            raise DataError(f"{_where(example)}: is {example.ndim}D, but {_where(first)} is {first.ndim}D; train on one kind.")
        if len(example.image) != len(first.image):
            raise DataError(
                f"{_where(example)}: has {len(example.image)} channel(s), but {_where(first)} has {len(first.image)}; "
                "use images of one kind, or choose one channel with --channel."
            )
    warnings: list[str] = []
    empty, pieces, tiny, wide = [], [], [], []
    total = 0
    for example in examples:
        n, in_pieces, n_tiny, widest = _check_masks(example)
        total += n
        if n == 0:
            empty.append(example)
        if in_pieces:
            pieces.append((example, in_pieces))
        if n_tiny:
            tiny.append((example, n_tiny))
        if widest > NETWORK_REACH:
            wide.append((example, widest))
    if total == 0:
        raise DataError(f"{_where(first)}: no object in this mask nor in any other; label some objects first.")
    if empty:
        warnings.append(f"{len(empty)} mask(s) are empty, the first of {_where(empty[0])}: they teach background only.")
    if pieces:
        count = sum(n for _, n in pieces)
        warnings.append(
            f"{count} label(s) are in several pieces, the first in {_where(pieces[0][0])}: each counts as one object; "
            "if they are several, give each its own number."
        )
    if tiny:
        count = sum(n for _, n in tiny)
        warnings.append(f"{count} object(s) have at most {TINY} pixels, the first in {_where(tiny[0][0])}: slips of the brush?")
    if wide:
        warnings.append(
            f"{_where(wide[0][0])}: an object is {wide[0][1]} pixels wide, more than the network can see at once "
            f"(about {NETWORK_REACH}); scale the images down."
        )
    if total < 10:
        warnings.append(f"Only {total} object(s) are labelled; expect a rough model.")
    return warnings


def _check_masks(example: Example) -> tuple[int, int, int, int]:
    """Objects, objects in several pieces, tiny objects, and the largest extent."""
    if example.is_planes:
        boxes = [ndimage.find_objects(plane.astype(np.uint8)) for plane in example.instances]
        extents = [max(s.stop - s.start for s in found[0]) for found in boxes if found]
        counts = example.instances.reshape(len(example.instances), -1).sum(1)
        return len(extents), 0, int(((counts > 0) & (counts <= TINY)).sum()), max(extents, default=0)
    labels = example.instances
    ids, counts = np.unique(labels, return_counts=True)
    if len(ids) and ids[0] != 0 and len(ids) == 1:
        raise DataError(f"{_where(example)}: its mask holds one number everywhere; use 0 for background.")
    counts, ids = counts[ids > 0], ids[ids > 0]
    if len(ids) == 0:
        return 0, 0, 0, 0
    # Pieces of equal number that touch are one; neighbours of another number are not joined.
    parts = _count_parts(labels)
    if len(ids) == 1 and parts >= 5:
        raise DataError(
            f"{_where(example)}: its mask holds only the number {int(ids[0])}, in {parts} separate pieces; "
            "it looks like a binary mask. Give each object its own number (in Fiji: Analyze > Analyze Particles > Count Masks)."
        )
    if counts.max() > 0.8 * labels.size and len(ids) > 1:
        raise DataError(
            f"{_where(example)}: label {int(ids[counts.argmax()])} covers {100 * counts.max() / labels.size:.0f} % of the "
            "image; if it is the background, give it the number 0."
        )
    extents = [max(s.stop - s.start for s in box) for box in ndimage.find_objects(np.searchsorted(np.r_[0, ids], labels)) if box]
    return len(ids), max(0, parts - len(ids)), int((counts <= TINY).sum()), max(extents)


def _count_parts(labels: np.ndarray) -> int:
    """Connected pieces of equal number."""
    from skimage.measure import label

    return int(label(labels, connectivity=labels.ndim, background=0, return_num=True)[1])


def _where(example: Example) -> str:
    return str(example.path or example.name)


def split_validation(
    examples: Sequence[Example], fraction: float, group: str | None = None, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Hold out a random part of the images.

    Parameters
    ----------
    examples : sequence of Example
        All images.
    fraction : float
        Part to hold out; at least one image or group, never all.
    group : str, optional
        Regular expression searched in file names; files whose match (its first group, if it has one) is the same stay
        together, such as frames of one embryo.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    SettingsError
        If the expression is wrong, or there are not two groups to split.
    """
    keys = [_group(example.name, group) for example in examples]
    names = sorted(set(keys))
    if len(names) < 2:
        raise SettingsError(
            "Only one image was given; nothing can be held out."
            if group is None
            else f"--val-group {group!r} puts all images into one group; at least two are needed."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    wanted = fraction * len(examples)
    held: set[str] = set()
    count = 0
    for index in order[: len(names) - 1]:
        size = keys.count(names[index])
        # Stop where adding another group would miss the fraction by more than leaving it out.
        if held and count + size / 2 > wanted:
            break
        held.add(names[index])
        count += size
    train = [e for e, key in zip(examples, keys, strict=True) if key not in held]
    return train, [e for e, key in zip(examples, keys, strict=True) if key in held]


def _group(name: str, pattern: str | None) -> str:
    if pattern is None:
        return name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise SettingsError(f"--val-group {pattern!r} is no regular expression: {error}.") from error
    if found is None:
        raise SettingsError(f"--val-group {pattern!r} matches nothing in the file name {name!r}.")
    return found.group(1) if found.groups() else found.group(0)
