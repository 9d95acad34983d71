"""Annotated images: from folders or arrays, checked before any training."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import guess_axes, ordered, parse_axes, reorder, result_axes, spatial_axes, to_frames
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.sparse import split_ignore_label, union, with_ignore_label
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture, list_images, read_image

if TYPE_CHECKING:
    from collections.abc import Sequence


logger = logging.getLogger(__name__)

FOREIGN = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".czi", ".nd2", ".lif", ".lsm", ".stk", ".oib", ".ims", ".zarr")
"""Endings of images that are left out of a data set because they are not TIFF."""


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
    ignore_label: int | None = None,
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
    ignore_label : int, optional
        Mask value of pixels whose class is unknown; joins those of the ignore mask.

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
    image_paths, mask_paths = _by_name(images), _by_name(masks)
    left_out = sorted(path for path in images.iterdir() if path.suffix.lower() in FOREIGN)
    if not image_paths:
        raise DataError(f"{images}: holds no TIFF images" + ("; save them as .tif." if left_out else "."))
    if left_out:
        logger.warning(
            "%s: %d image(s) that are not TIFF are left out, such as %s.", images, len(left_out), left_out[0]
        )
    lonely = [name for name in image_paths if name not in mask_paths]
    if lonely:
        others = f" ({len(lonely)} images lack theirs)" if len(lonely) > 1 else ""
        raise DataError(
            f"{image_paths[lonely[0]]}: there is no mask of this name in {masks}{others}; "
            "add one or take the image away."
        )
    ignored = _by_name(folder / "ignore") if (folder / "ignore").is_dir() else {}
    for found in (mask_paths, ignored):
        alone = [name for name in found if name not in image_paths]
        if alone:
            raise DataError(f"{found[alone[0]]}: there is no image of this name in {images}.")
    examples = []
    for name, path in image_paths.items():
        ignore = read_image(ignored[name]).array if name in ignored else None
        picture, mask = read_image(path, axes), read_image(mask_paths[name])
        if axes is not None:
            # What is said of the images holds for their masks, whatever the files call their axes.
            mask = replace(mask, axes="")
        examples.append(_example(name, picture, mask, ignore, channel, spacing, ignore_label))
    return examples


def _by_name(folder: Path) -> dict[str, Path]:
    """Images of a folder by their names without ending; ``.ome`` belongs to the ending."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        name = path.stem.removesuffix(".ome")
        if name in found:
            raise DataError(f"{path}: has the same name as {found[name].name}; keep one of them.")
        found[name] = path
    return found


def from_arrays(
    pairs: Sequence[Any],
    axes: str | None = None,
    spacing: Sequence[float] | None = None,
    channel: int | None = None,
    names: Sequence[str] | None = None,
    ignore_label: int | None = None,
) -> list[Example]:
    """Make examples of (image, labels) or (image, labels, ignore) arrays; see `load_folder`.

    Raises
    ------
    DataError
        If there are none, or an array does not fit.
    """
    if not hasattr(pairs, "__len__"):
        raise DataError(f"{pairs!r} is no list of images; give a folder, or a list of (image, labels).")
    if len(pairs) == 0:
        raise DataError("There are no images to train on.")
    examples = []
    for index, pair in enumerate(pairs):
        if isinstance(pair, Example):
            examples.append(with_ignore_label(pair, ignore_label))
            continue
        n_parts = len(pair) if hasattr(pair, "__len__") else 1
        if n_parts not in (2, 3):
            raise DataError(
                f"Training item {index} has {n_parts} parts; give (image, labels) or (image, labels, ignore)."
            )
        name = names[index] if names is not None else f"image {index}"
        if pair[0] is None or pair[1] is None:
            raise DataError(f"Training item {index} ({name}) lacks its {'image' if pair[0] is None else 'labels'}.")
        image, labels = np.asarray(pair[0]), np.asarray(pair[1])
        ignore = np.asarray(pair[2]) if len(pair) == 3 and pair[2] is not None else None
        known = "" if axes is None else parse_axes(axes)
        picture = Picture(image, known, None, None, (), None, axes is None)
        mask = Picture(labels, "", None, None, (), None, True)
        examples.append(_example(name, picture, mask, ignore, channel, spacing, ignore_label))
    return examples


def _example(
    name: str,
    picture: Picture,
    mask: Picture,
    ignore: np.ndarray | None,
    channel: int | None,
    spacing: Sequence[float] | None,
    ignore_label: int | None,
) -> Example:
    where, mask_where = str(picture.path or name), str(mask.path or f"the mask of {name}")
    axes = picture.axes
    if not axes:
        axes = _axes_beside_mask(picture.array.shape, mask.array.shape, where)
        logger.info("%s: axes of shape %s read as %s.", where, picture.array.shape, axes)
    frames = to_frames(picture.array, axes)
    if len(frames) != 1:
        hint = "; if they are slices of a volume, say so with --axes ZYX" if axes == "TYX" else ""
        raise DataError(
            f"{where}: has {len(frames)} time points; save each with its mask as an image of its own{hint}."
        )
    image = frames[0]
    if image.size == 0:
        raise DataError(f"{where}: has no pixels (shape {picture.array.shape}).")
    if image.dtype == bool or not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
        raise DataError(f"{where}: holds {image.dtype} values; save it as integers or floating-point numbers.")
    image = _pick_channel(image, channel, where, is_colour=axes.endswith("C"))
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise DataError(f"{where}: holds NaN or infinite values; replace them by numbers.")
    space = result_axes(axes).replace("T", "")
    array = _turned_like(space, mask)
    array, unknown = split_ignore_label(array, ignore_label, planes=array.ndim == image.ndim)
    instances = _instances(replace(mask, array=array), image.shape[1:], where, mask_where)
    if ignore is not None:
        ignore = _turned_like(space, replace(mask, array=ignore))
        if ignore.shape != image.shape[1:]:
            raise DataError(f"{where}: its ignore mask has shape {ignore.shape}, the image {image.shape[1:]}.")
        ignore = ignore != 0
    ignore = union(ignore, unknown)
    size = _pixel_size(spacing, spatial_axes(axes), where) if spacing is not None else picture.spacing
    # A file whose axes had to be guessed may give a depth that its picture has no axis for.
    size = size[-(image.ndim - 1) :] if size is not None and len(size) >= image.ndim - 1 else None
    return Example(name, image, instances, ignore, size, picture.unit, picture.path, mask.path)


def _turned_like(space: str, mask: Picture) -> np.ndarray:
    """A mask, or planes of one object each, in the order (Z)YX.

    Parameters
    ----------
    space : str
        Spatial axes of its image in the image's own order: those of the mask, unless its file names them.
    mask : Picture
        As read.
    """
    own = mask.axes if sorted(mask.axes) == sorted(space) else space
    extra = mask.array.ndim - len(own)
    if extra not in (0, 1):
        return mask.array
    planes = "D" * extra
    turned: np.ndarray = reorder(mask.array, planes + own, planes + ordered(own))
    return turned


def _pixel_size(spacing: Sequence[float], space: str, where: str) -> tuple[float, ...]:
    if len(spacing) != len(space):
        raise DataError(f"{where}: spacing needs one value for each of the axes {space}, got {len(spacing)}.")
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        raise DataError(f"Spacing {tuple(spacing)}: pixel sizes are positive numbers.")
    return tuple(float(step) for step in spacing)


def _axes_beside_mask(shape: tuple[int, ...], mask_shape: tuple[int, ...], where: str) -> str:
    """Read axes off the shapes: what the mask shares is space, what it lacks are channels."""
    if shape != mask_shape and len(shape) == len(mask_shape) + 1 and len(mask_shape) in (2, 3):
        space = "YX" if len(mask_shape) == 2 else "ZYX"
        for position in (0, len(space), 1):
            if shape[:position] + shape[position + 1 :] == mask_shape:
                return f"{space[:position]}C{space[position:]}"
    try:
        return guess_axes(shape, min(len(shape), 3))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _pick_channel(image: np.ndarray, channel: int | None, where: str, is_colour: bool) -> np.ndarray:
    """Take one channel, or refuse colour pictures (channels last) that hold nothing but grey."""
    if channel is not None:
        if not 0 <= channel < len(image):
            raise DataError(f"{where}: has {len(image)} channel(s), counted from 0; there is no channel {channel}.")
        return image[channel : channel + 1]
    if is_colour and len(image) in (3, 4):
        red, green, blue = image[:3]
        if np.array_equal(red, green) and np.array_equal(green, blue):
            raise DataError(
                f"{where}: is a grey image saved as RGB (its colours are equal); save it as grey, "
                "or take one colour with --channel 0."
            )
        used = [index for index, colour in enumerate((red, green, blue)) if colour.any()]
        if len(used) == 1:
            raise DataError(
                f"{where}: is an RGB image with one colour only; save it as grey, or take that colour with "
                f"--channel {used[0]}."
            )
    return image


def _instances(mask: Picture, shape: tuple[int, ...], where: str, mask_where: str) -> np.ndarray:
    array = mask.array
    if np.issubdtype(array.dtype, np.floating):
        whole = bool(np.isfinite(array).all()) and bool((array == np.round(array)).all())
        kind = "whole numbers stored as" if whole else "fractions, stored as"
        raise DataError(
            f"{mask_where}: holds {kind} {array.dtype}; a mask needs an integer type, one number per object "
            f"({'in Fiji: Image > Type > 16-bit, with scaling off' if whole else 'is it a probability map?'})."
        )
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{mask_where}: holds {array.dtype} values; a mask needs whole numbers, one per object.")
    if array.shape[:-1] == shape and array.shape[-1] in (3, 4):
        raise DataError(f"{mask_where}: is a colour picture; a mask needs one number per pixel, saved as 16-bit grey.")
    is_planes = array.ndim == len(shape) + 1
    found = array.shape[1:] if is_planes else array.shape
    if found != shape:
        hint = "; X and Y are swapped" if found == (*shape[:-2], shape[-1], shape[-2]) else ""
        if len(found) != len(shape):
            hint = "; if axes were read wrongly, name them, for example --axes CYX"
        raise DataError(f"{mask_where}: has shape {array.shape}, but its image {where} has {shape}{hint}.")
    if np.issubdtype(array.dtype, np.signedinteger) and array.min() < 0:
        raise DataError(f"{mask_where}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
    if is_planes:
        return _planes(array, mask_where)
    if array.dtype != bool and array.max() >= 2**31:
        values, dense = np.unique(array, return_inverse=True)
        return np.asarray(dense.reshape(array.shape) + int(values[0] != 0), np.int32)
    return np.ascontiguousarray(array, np.int32)


def _planes(array: np.ndarray, mask_where: str) -> np.ndarray:
    planes: np.ndarray = np.asarray(array != 0)
    if array.dtype != bool:
        for index, (plane, inside) in enumerate(zip(array, planes, strict=True)):
            if np.count_nonzero(plane == plane.max()) != np.count_nonzero(inside) and inside.any():
                raise DataError(
                    f"{mask_where}: plane {index} holds several numbers, but in a stack of planes each holds one "
                    "object; if it is a volume of labels, its image needs as many axes (for example --axes ZYX)."
                )
    return planes
