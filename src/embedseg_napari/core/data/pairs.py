"""Annotated images: from folders or arrays, checked before any training."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import (
    OneChannel,
    check_spacing,
    guess_axes,
    mean_of_channels,
    parse_axes,
    spatial_axes,
    to_frames,
)
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.masks import instances_of, mask_frames
from embedseg_napari.core.data.on_disk import Split, split_by_memory, stored_examples
from embedseg_napari.core.data.sparse import with_ignore_label
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.data.unknown import split_ignore_label, union
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import fault_of_colours
from embedseg_napari.core.files.formats import left_out
from embedseg_napari.core.files.named_axes import as_picture
from embedseg_napari.core.files.ngff import is_prediction
from embedseg_napari.core.files.pairing import by_name, partners, without_partner
from embedseg_napari.core.files.tiff import Picture, list_images, read_image
from embedseg_napari.core.files.units import MICROMETRE
from embedseg_napari.core.files.zarr_image import is_store, labels_in
from embedseg_napari.core.scripts import warn
from embedseg_napari.core.stores.own_labels import own_labels
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.core.data.on_disk import FromDisk

logger = logging.getLogger(__name__)


def _log(where: str, words: str) -> None:
    """Note what was assumed or left out, where nobody else listens."""
    logger.warning("%s: %s", where, words)


def find_dataset(folder: str | Path) -> tuple[Path, Path | None]:
    """Return the training folder and, if there is one, the validation folder of a data set.

    A data set is a folder with `images/` and `masks/`, or one with `train/` (and `val/`) of that kind; or an OME-Zarr
    with labels in it.

    Raises
    ------
    DataError
        If the folder is missing or holds neither.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    if (folder / "images").is_dir() or is_store(folder):
        return folder, None
    if (folder / "train" / "images").is_dir():
        val = folder / "val"
        return folder / "train", val if (val / "images").is_dir() else None
    raise DataError(f"{folder}: found neither images/ and masks/ nor train/images/ and train/masks/ in it.")


def load_folder(
    folder: str | Path,
    *,
    axes: str | None = None,
    channel: OneChannel | None = None,
    spacing: Sequence[float] | None = None,
    ignore_label: int | None = None,
    labels: str | Path | None = None,
    from_disk: FromDisk | None = None,
    tell: Callable[[str, str], None] = _log,
) -> list[Example]:
    """Read every image of a folder with its mask, and with its ignore mask where `ignore/` holds one.

    Parameters
    ----------
    folder : path
        Holds `images/` and `masks/` with files of the same names, see `core.files.pairing`; or an OME-Zarr with labels
        in it. Images that are such need no mask in `masks/`. Each frame of a time-lapse
        is an image of its own; those without labels are left out.
    axes : str, optional
        Axes of the images, where the files do not say.
    channel : int or "mean", optional
        Take only this channel, counted from 0, or the mean of all.
    spacing : sequence of float, optional
        Physical pixel size (z, y, x) in micrometres, instead of the files' own.
    ignore_label : int, optional
        Mask value of pixels whose class is unknown; joins those of the ignore mask.
    labels : str or path, optional
        Of images that are OME-Zarr: which of their own label images are meant, by its name, also where `masks/` holds
        others; or, of a single image, where its labels are.
    from_disk : FromDisk, optional
        Images that do not fit into memory stay on the disk and become a `StoredExample`; without it all are read.
    tell : callable
        Takes a file or folder and a sentence for each thing that was assumed or left out there; by default they are
        logged as warnings.

    Raises
    ------
    DataError
        Naming the file and its fault.
    """
    folder = Path(folder)
    images, masks = folder / "images", folder / "masks"
    image_paths = by_name([folder] if is_store(folder) else list_images(images) if images.is_dir() else [])
    mask_paths = by_name(list_images(masks)) if masks.is_dir() else {}
    masked = partners(image_paths, mask_paths)
    labelled = own_labels(image_paths, labels, masked)
    if labels is not None and image_paths and not labelled:
        tell(str(folder), f"None of its images has labels called {str(labels)!r}; the masks in {masks.name}/ count.")
    if is_store(folder) and not labelled:
        raise DataError(f"{folder}: has no label image in labels/; say where its labels are with --labels.")
    for part in (images, masks):
        if not part.is_dir() and not (image_paths and len(labelled) == len(image_paths)):
            raise DataError(f"{folder}: has no folder {part.name}/.")
    unread = [f"{path.name}: {fault}" for path, fault in left_out(images).items()] if images.is_dir() else []
    if not image_paths:
        raise DataError(f"{images}: holds no images that can be read{f' ({unread[0]})' if unread else ''}.")
    if unread:
        tell(str(images), f"{count(len(unread), 'image')} left out, such as {unread[0]}.")
    ignore_paths = by_name(list_images(folder / "ignore")) if (folder / "ignore").is_dir() else {}
    # An OME-Zarr may hold its labels itself; those that are named are meant.
    mask_of = labelled | masked if labels is None else masked | labelled
    ignore_of = partners(image_paths, ignore_paths)
    own = [labels_in(path) for name, path in labelled.items() if labels is None and mask_of[name] == path]
    predicted = [place for place in own if is_prediction(place)]
    if predicted:
        others = f" (and those of {count(len(predicted) - 1, 'other image')})" if len(predicted) > 1 else ""
        words = f"These labels{others} are what a model found, not corrected by hand; here they count as the truth."
        tell(str(predicted[0]), words)
    lonely = [name for name in image_paths if name not in mask_of]
    if lonely:
        others = f" ({len(lonely)} images lack theirs)" if len(lonely) > 1 else ""
        raise DataError(
            f"{image_paths[lonely[0]]}: there is no mask of this name in {masks}{others}; "
            "add one or take the image away."
        )
    for paired, found in ((masked, mask_paths), (ignore_of, ignore_paths)):
        alone = list(without_partner(paired, found).values())
        if alone:
            raise DataError(f"{alone[0]}: there is no image of this name in {images}.")
    examples: list[Example] = []
    stays = Split(frozenset(), None, "") if from_disk is None else split_by_memory(image_paths, from_disk.limit, axes)
    if stays.words:
        tell(str(folder), stays.words)
    for name, path in image_paths.items():
        if stays.cache is not None and from_disk is not None and name in stays.names:
            examples += stored_examples(
                name,
                (path, mask_of[name], ignore_of.get(name)),
                stays.cache,
                from_disk,
                axes=axes,
                channel=channel,
                spacing=spacing,
                ignore_label=ignore_label,
                check=lambda part, where, is_colour: _checked_image(part, channel, where, is_colour=is_colour),
                tell=tell,
            )
            continue
        picture = read_image(path, axes, say=partial(tell, str(path)))
        mask = read_image(mask_of[name], labels=True, say=partial(tell, str(mask_of[name])))
        ignore = None
        if name in ignore_of:
            ignore = read_image(ignore_of[name], labels=True, say=partial(tell, str(ignore_of[name])))
        if axes is not None:
            # What is said of the images holds for their masks, whatever the files call their axes.
            mask = replace(mask, axes="")
            ignore = None if ignore is None else replace(ignore, axes="")
        examples += _examples(name, picture, mask, ignore, channel, spacing, ignore_label, tell)
    return examples


def from_arrays(
    pairs: Sequence[Any],
    axes: str | None = None,
    spacing: Sequence[float] | None = None,
    channel: OneChannel | None = None,
    names: Sequence[str] | None = None,
    ignore_label: int | None = None,
    called: str = "image",
) -> list[Example]:
    """Make examples of (image, labels) or (image, labels, ignore) arrays; see `load_folder`.

    Without `names` they are `called` so, with a number.

    Of arrays that name their axes, as those of xarray do, the names, coordinates and units count unless `axes` and
    `spacing` say otherwise. An Example stays C(Z)YX whatever `axes` says; `channel` and `spacing` hold for it as well.

    Raises
    ------
    DataError
        If there are none, or an array does not fit.
    """
    if isinstance(pairs, str | PathLike | dict | np.ndarray) or not hasattr(pairs, "__len__"):
        raise DataError(
            f"A {type(pairs).__name__} is no list of images; give a folder, or a list of (image, labels) arrays."
        )
    if len(pairs) == 0:
        raise DataError("There are no images to train on.")
    examples = []
    for index, pair in enumerate(pairs):
        if isinstance(pair, Example):
            examples.append(_chosen(with_ignore_label(pair, ignore_label), channel, spacing))
            continue
        if not isinstance(pair, tuple | list) or len(pair) not in (2, 3):
            raise DataError(f"Training item {index} is no pair; give (image, labels) or (image, labels, ignore).")
        name = names[index] if names is not None else f"{called} {index}"
        if pair[0] is None or pair[1] is None:
            raise DataError(f"Training item {index} ({name}) lacks its {'image' if pair[0] is None else 'labels'}.")
        image, *others = [_described(array, index > 0) for index, array in enumerate(pair) if array is not None]
        if axes is not None:
            # What is said of the images holds for their masks, whatever the arrays call their axes.
            own = image.spacing if image.axes == parse_axes(axes) else None
            image = replace(image, axes=parse_axes(axes), spacing=own)
            others = [replace(other, axes="") for other in others]
        mask, ignore = others[0], others[1] if len(others) > 1 else None
        examples += _examples(name, image, mask, ignore, channel, spacing, ignore_label)
    return examples


def _described(array: Any, mask: bool) -> Picture:
    """An array as a picture, with axes where it names them itself."""
    if isinstance(array, str | PathLike):
        raise DataError(f"{array}: this is the name of a file; read it first, or give a folder of images and masks.")
    named = as_picture(array, mask=mask)
    if named is not None:
        return replace(named, array=np.asarray(named.array))
    try:
        return Picture(np.asarray(array), "", axes_guessed=True)
    except ValueError as error:
        raise DataError(f"A {type(array).__name__} among the training images is no array: {error}") from error


def _chosen(example: Example, channel: OneChannel | None, spacing: Sequence[float] | None) -> Example:
    """An Example with one of its channels and with another pixel size, where they are given."""
    if isinstance(example, StoredExample):
        # Said when it was opened.
        return example
    if channel is not None:
        image = _pick_channel(example.image, channel, example.name, is_colour=False)
        example = replace(example, image=image)
    if spacing is not None:
        example = replace(example, spacing=check_spacing(spacing, "ZYX"[-example.ndim :]), unit=MICROMETRE)
    return example


def _examples(
    name: str,
    picture: Picture,
    mask: Picture,
    ignore: Picture | None,
    channel: OneChannel | None,
    spacing: Sequence[float] | None,
    ignore_label: int | None,
    tell: Callable[[str, str], None] = _log,
) -> list[Example]:
    """The example of an image, or of each frame of a time-lapse; of frames, those without any label are left out."""
    where, mask_where = str(picture.path or name), str(mask.path or f"the mask of {name}")
    axes = picture.axes
    if not axes:
        axes = _axes_beside_mask(picture.array.shape, mask, where)
        logger.info("%s: axes of shape %s read as %s.", where, picture.array.shape, axes)
        if picture.path is None and picture.array.ndim > 2:
            # The shape alone, so that Python tells it once for all images that have it.
            warn(f"Axes of arrays of shape {picture.array.shape} were guessed to be {axes}; name them to be sure.")
    frames = to_frames(picture.array, axes)
    n_frames = len(frames)
    if frames.size == 0:
        raise DataError(f"{where}: has no pixels (shape {picture.array.shape}).")
    masks = mask_frames(axes, n_frames, mask, where, mask_where)
    if n_frames > 1 and "Z" not in axes and "Z" in mask.axes:
        tell(
            mask_where,
            "calls slices what its image calls frames; each is an image of its own. If they are slices of a volume, "
            "say so with --axes ZYX.",
        )
    unknown: Sequence[np.ndarray | None] = [None] * n_frames
    if ignore is not None:
        unknown = mask_frames(axes, n_frames, ignore, where, str(ignore.path or f"the ignore mask of {name}"))
    size, unit = picture.spacing, picture.unit
    if spacing is not None:
        size, unit = check_spacing(spacing, spatial_axes(axes)), MICROMETRE
    # A file whose axes had to be guessed may give a depth that its picture has no axis for.
    ndim = len(spatial_axes(axes))
    size = size[-ndim:] if size is not None and len(size) >= ndim else None
    is_colour = axes.endswith("C")
    examples = []
    for t, (image, array, hidden) in enumerate(zip(frames, masks, unknown, strict=True)):
        example = Example(
            f"{name} {t}" if n_frames > 1 else name,
            _checked_image(image, channel, where, is_colour=is_colour),
            *_objects(array, hidden, image.shape[1:], where, mask_where, ignore_label),
            size,
            unit,
            picture.path,
            mask.path,
            source=name if n_frames > 1 else None,
        )
        examples.append(example)
    # Frames that nobody has labelled would teach that nothing is there.
    labelled = [one for one in examples if one.instances.any() or one.ignore is not None]
    if 0 < len(labelled) < n_frames:
        tell(where, f"{n_frames - len(labelled)} of {n_frames} frames are left out: they have no labels.")
    return labelled or examples


def _checked_image(image: np.ndarray, channel: OneChannel | None, where: str, *, is_colour: bool) -> np.ndarray:
    """Channels and pixels of one image C(Z)YX that can be trained on."""
    if image.dtype == bool or not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
        raise DataError(f"{where}: holds {image.dtype} values; save it as integers or floating-point numbers.")
    return _pick_channel(image, channel, where, is_colour)


def _objects(
    mask: np.ndarray,
    ignore: np.ndarray | None,
    shape: tuple[int, ...],
    where: str,
    mask_where: str,
    ignore_label: int | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Objects of one image of this shape, (Z)YX, and its pixels of unknown class."""
    mask, unknown = split_ignore_label(mask, ignore_label, planes=mask.ndim > len(shape))
    instances = instances_of(mask, shape, where, mask_where)
    if ignore is not None:
        if ignore.shape != shape:
            raise DataError(f"{where}: its ignore mask has shape {ignore.shape}, the image {shape}.")
        ignore = ignore != 0
    return instances, union(ignore, unknown)


def _axes_beside_mask(shape: tuple[int, ...], mask: Picture, where: str) -> str:
    """Read axes off the mask's, or off the shapes: what the mask shares is space, what it lacks are channels."""
    mask_shape = mask.array.shape
    if shape == mask_shape and mask.axes and "C" not in mask.axes:
        return mask.axes
    if shape != mask_shape and len(shape) == len(mask_shape) + 1 and len(mask_shape) in (2, 3):
        space = "YX" if len(mask_shape) == 2 else "ZYX"
        for position in (0, len(space), 1):
            if shape[:position] + shape[position + 1 :] == mask_shape:
                return f"{space[:position]}C{space[position:]}"
    try:
        return guess_axes(shape, min(len(shape), 3))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _pick_channel(image: np.ndarray, channel: OneChannel | None, where: str, is_colour: bool) -> np.ndarray:
    """Take one channel, or refuse colour pictures (channels last) that hold nothing but grey."""
    if channel == "mean":
        return mean_of_channels(image, keepdims=True)
    if channel is not None:
        if not hasattr(channel, "__index__"):
            raise DataError(f"Channel {channel!r} is no whole number and not 'mean'; channels are counted from 0.")
        if not 0 <= channel < len(image):
            raise DataError(
                f"{where}: has {count(len(image), 'channel')}, counted from 0; there is no channel {channel}."
            )
        return image[channel : channel + 1]
    fault = fault_of_colours(image) if is_colour and len(image) in (3, 4) else None
    if fault is not None:
        raise DataError(
            f"{where}: {fault[0]}; save it as grey, or take that colour with --channel {fault[1]} (in napari, under "
            "Channel)."
        )
    return image
