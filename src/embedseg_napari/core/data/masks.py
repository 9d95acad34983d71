"""Masks as arrays of objects: in the order of their image, frame by frame, of types that objects may have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from embedseg_napari.core.files.tiff import Picture

LARGEST_ID = 2**63 - 1
"""Of an object: what whole numbers with a sign can be."""


def mask_frames(axes: str, n_frames: int, mask: Picture, where: str, mask_where: str) -> list[np.ndarray]:
    """Split a mask into those of the frames of its image, each (Z)YX or planes of one object each in front of that.

    Parameters
    ----------
    axes : str
        Axes of the image in its own order: those of the mask, unless its file names them.
    n_frames : int
        Frames of the image.
    mask : Picture
        As read.
    where, mask_where : str
        Names of image and mask.

    Raises
    ------
    DataError
        If the mask has other frames than its image.
    """
    own = result_axes(axes)
    named = "" if "C" in mask.axes else mask.axes
    if "T" in named and "T" not in own and mask.array.ndim == len(own):
        raise DataError(
            f"{mask_where}: has frames (axes {named}), but its image {where} has the axes {own}; say what both are: "
            f"--axes {named} or --axes {own}."
        )
    if "T" not in own:
        return [_turned_like(own, mask)]
    space = own.replace("T", "")
    if mask.array.ndim == len(space):
        if n_frames == 1:
            return [_turned_like(space, mask)]
        raise DataError(
            f"{mask_where}: is one image, but {where} has {count(n_frames, 'frame')}; a mask needs as many frames."
        )
    letters = named if sorted(named) == sorted(own) else own
    array = np.moveaxis(mask.array, letters.index("T") if len(letters) == mask.array.ndim else 0, 0)
    if len(array) != n_frames:
        hint = "; if they are slices of a volume, say so with --axes ZYX" if own == "TYX" else ""
        raise DataError(f"{mask_where}: has {count(len(array), 'frame')}, but {where} has {n_frames}{hint}.")
    letters = letters.replace("T", "")
    return [_turned_like(space, replace(mask, array=one, axes=letters)) for one in array]


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


def instances_of(array: np.ndarray, shape: tuple[int, ...], where: str, mask_where: str) -> np.ndarray:
    """Objects of a mask (Z)YX, or of planes of one object each: ids as int32, or bool planes.

    Parameters
    ----------
    array : ndarray
        As read.
    shape : tuple of int
        Of its image, (Z)YX.
    where, mask_where : str
        Names of image and mask.

    Raises
    ------
    DataError
        If the values are no objects, or the shape is another one.
    """
    _require_whole(array, mask_where)
    if array.shape[:-1] == shape and array.shape[-1] in (3, 4):
        raise DataError(f"{mask_where}: is a colour picture; a mask needs one number per pixel, saved as 16-bit grey.")
    is_planes = array.ndim == len(shape) + 1
    found = array.shape[1:] if is_planes else array.shape
    if found != shape:
        hint = "; X and Y are swapped" if found == (*shape[:-2], shape[-1], shape[-2]) else ""
        if len(found) != len(shape):
            hint = "; if axes were read wrongly, name them, for example --axes CYX"
        raise DataError(f"{mask_where}: has shape {array.shape}, but its image {where} has {shape}{hint}.")
    _require_positive(array, mask_where)
    if is_planes:
        return _planes(array, mask_where)
    if array.dtype != bool and array.max() >= 2**31:
        values, dense = np.unique(array, return_inverse=True)
        return np.asarray(dense.reshape(array.shape) + int(values[0] != 0), np.int32)
    return np.ascontiguousarray(array, np.int32)


def require_ids(array: np.ndarray, where: str) -> None:
    """Refuse what cannot be numbers of objects.

    Parameters
    ----------
    array : ndarray
        As read.
    where : str
        Name of the label image.

    Raises
    ------
    DataError
        If the values are no whole numbers, or some are negative.
    """
    _require_whole(array, where)
    _require_positive(array, where)


def require_kept_ids(array: np.ndarray, where: str) -> None:
    """The same for labels whose numbers are kept as they are.

    Raises
    ------
    DataError
        As `require_ids`, and if a number has more than 63 bits.
    """
    require_ids(array, where)
    if array.dtype == np.uint64 and array.max(initial=0) > LARGEST_ID:
        raise DataError(f"{where}: holds numbers above {LARGEST_ID}; number the objects 1, 2, 3 ...")


def _require_whole(array: np.ndarray, where: str) -> None:
    if np.issubdtype(array.dtype, np.floating):
        if not array.size:
            # Of what is read later, the type is known and the values are not.
            raise DataError(
                f"{where}: holds {array.dtype} values; a mask needs an integer type, one number per object."
            )
        whole = bool(np.isfinite(array).all()) and bool((array == np.round(array)).all())
        kind = "whole numbers stored as" if whole else "fractions, stored as"
        raise DataError(
            f"{where}: holds {kind} {array.dtype}; a mask needs an integer type, one number per object "
            f"({'in Fiji: Image > Type > 16-bit, with scaling off' if whole else 'is it a probability map?'})."
        )
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{where}: holds {array.dtype} values; a mask needs whole numbers, one per object.")


def _require_positive(array: np.ndarray, where: str) -> None:
    if np.issubdtype(array.dtype, np.signedinteger) and array.min(initial=0) < 0:
        raise DataError(f"{where}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")


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
