"""Masks whose numbers are classes, such as nucleus and background, and no objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.objects import sorted_pixels
from embedseg_napari.core.data.unknown import all_open, open_objects
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TINY = 4
"""Objects of at most this many pixels are probably slips of the brush."""
CLASSES = 3
"""Masks of at most this many numbers may hold classes (nucleus, border) instead of objects."""
PIECES_OF_A_CLASS = 5
"""So many large pieces for each number mean that the numbers are classes."""
COUNT_MASKS = "Give each object its own number (in Fiji: Analyze > Analyze Particles > Show: Count Masks)."


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the numbers of a mask look like: touching pixels of equal number make a piece."""

    name: str
    """Of the mask, for sentences."""
    n: int
    """Numbers beside 0."""
    n_large: int
    """Pieces, the crumbs beside larger pieces left out."""
    n_split: int
    """Numbers in several pieces."""
    sizes: np.ndarray
    """(n,) pixels of each number."""
    largest: int
    """Number with most pixels."""


def count_pieces(labels: np.ndarray, name: str, unknown: np.ndarray | None = None) -> Pieces:
    """Count the pieces of each number of a mask that holds some.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        0 is background, and where the class is unknown.
    name : str
        Of the mask, for sentences.
    unknown : ndarray of bool, shape ((Z,) Y, X), optional
        Pixels whose class is unknown. In a volume they cut no object in pieces: one that was labelled on some planes
        only is one piece if the next labelled plane goes on with it.
    """
    part_size, part_label = _parts(labels, unknown)
    ids, of_part = np.unique(part_label, return_inverse=True)
    n = len(ids)
    sizes = np.bincount(of_part, part_size, n)
    largest_part = np.zeros(n, np.int64)
    np.maximum.at(largest_part, of_part, part_size)
    large = part_size > np.maximum(TINY, 0.1 * largest_part[of_part])
    return Pieces(
        name,
        n,
        int(large.sum()),
        int((np.bincount(of_part, minlength=n) > 1).sum()),
        sizes,
        int(ids[sizes.argmax()]),
    )


def _parts(labels: np.ndarray, unknown: np.ndarray | None) -> tuple[NDArray[np.int64], np.ndarray]:
    """Pixels and number of every piece."""
    sizes, numbers = _touching(_on_known_planes(labels, unknown))
    ids, counts = np.unique(numbers, return_counts=True)
    if unknown is None or (counts == 1).all():
        return sizes, numbers
    # Where planes of several axes are known, none may be wholly unknown: each object is looked at by itself.
    open_along = open_objects(labels, unknown)
    cut = np.intersect1d(ids[counts > 1], all_open(open_along))
    if len(cut) == 0:
        return sizes, numbers
    whole = ~np.isin(numbers, cut)
    each, of_each = [sizes[whole]], [numbers[whole]]
    flat, values = sorted_pixels(np.where(np.isin(labels, cut), labels, 0))
    for number, at in zip(cut, np.split(flat, np.searchsorted(values, cut[1:])), strict=True):
        places = [
            np.unique(along, return_inverse=True)[1] if number in ids else along - along.min()
            for along, ids in zip(np.unravel_index(at, labels.shape), open_along, strict=True)
        ]
        inside = np.zeros([int(along.max()) + 1 for along in places], np.uint8)
        inside[tuple(places)] = 1
        each.append(_touching(inside)[0])
        of_each.append(np.full(len(each[-1]), number, numbers.dtype))
    return np.concatenate(each), np.concatenate(of_each)


def _touching(labels: np.ndarray) -> tuple[NDArray[np.int64], np.ndarray]:
    """Pixels and number of every set of touching pixels of one number."""
    from skimage.measure import label

    # All that follows is counted over these, which are few.
    parts, n_parts = label(labels, connectivity=labels.ndim, background=0, return_num=True)
    numbers = np.zeros(n_parts + 1, labels.dtype)
    numbers[parts.ravel()] = labels.ravel()
    return np.bincount(parts.ravel(), minlength=n_parts + 1)[1:], numbers[1:]


def _on_known_planes(labels: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
    """A volume without the planes along each axis of which nothing is known; images stay as they are."""
    if unknown is None or unknown.ndim == 2:
        return labels
    for axis in range(3):
        is_known = ~unknown.all(tuple({0, 1, 2} - {axis}))
        if not is_known.all():
            labels = labels.compress(is_known, axis)
    return labels


def classes_in(
    mask: np.ndarray, name: str, *, planes: bool = False, unknown: np.ndarray | None = None
) -> Pieces | None:
    """The pieces of a mask that may hold classes; None if it holds nothing, or too many numbers for that.

    Parameters
    ----------
    mask : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Label image, 0 is background; or planes of one object each.
    name : str
        Of the mask, for sentences.
    planes : bool
        Whether the first axis of `mask` counts planes.
    unknown : ndarray of bool, shape ((Z,) Y, X), optional
        Pixels whose class is unknown, 0 in the mask; see :func:`count_pieces`.
    """
    if planes:
        used = mask[mask.any(tuple(range(1, mask.ndim)))]
        if not 1 <= len(used) <= CLASSES:
            return None
        each = [count_pieces((plane != 0).astype(np.uint8), name, unknown) for plane in used]
        sizes = np.concatenate([one.sizes for one in each])
        n_large, n_split = (sum(getattr(one, what) for one in each) for what in ("n_large", "n_split"))
        return Pieces(name, len(each), n_large, n_split, sizes, 1 + int(sizes.argmax()))
    # The one number of a binary mask is white.
    labels = mask * np.uint8(255) if mask.dtype == bool else mask
    some = labels[labels != 0]
    if len(some) == 0:
        return None
    for _ in range(CLASSES):
        some = some[some != some[0]]
        if len(some) == 0:
            return count_pieces(labels, name, unknown)
    return None


def are_classes(pieces: Pieces) -> bool:
    """Whether the numbers of a mask are classes: few numbers, in many pieces."""
    is_white = pieces.n == 1 and pieces.largest == 255 and pieces.n_large > 1
    return is_white or (pieces.n <= CLASSES and pieces.n_large >= PIECES_OF_A_CLASS * pieces.n)


def is_single_number(pieces: Pieces) -> bool:
    """Whether a mask holds one number in several pieces: an object that is cut, or a binary mask of a few objects."""
    return pieces.n == 1 and pieces.n_large > 1


def doubt(masks: Sequence[Pieces]) -> list[str]:
    """A sentence where masks hold a single number in several pieces, too few of them to be refused."""
    odd = [one for one in masks if is_single_number(one)]
    if not odd:
        return []
    others = f" (and {len(odd) - 1} more like it)" if len(odd) > 1 else ""
    return [
        f"{odd[0].name}: {odd[0].n_large} separate pieces share one number and count as one object{others}. If they "
        f"are objects, this is a binary mask. {COUNT_MASKS}"
    ]


def refuse_classes(pieces: Pieces) -> None:
    """Refuse a mask whose numbers are classes.

    Raises
    ------
    DataError
        Naming the mask.
    """
    if are_classes(pieces):
        kind = "a binary mask" if pieces.n == 1 else "classes, not objects"
        raise DataError(
            f"{pieces.name}: {pieces.n_large} separate pieces share {count(pieces.n, 'number')}; this looks like "
            f"{kind}. {COUNT_MASKS}"
        )


def refuse_single_numbers(masks: Sequence[Pieces]) -> None:
    """Refuse masks that all hold one number in several pieces, though each by itself might be an object.

    Parameters
    ----------
    masks : sequence of Pieces
        Those of a whole data set that hold anything.

    Raises
    ------
    DataError
        Naming the first.
    """
    n_large = sum(one.n_large for one in masks)
    if len(masks) >= CLASSES and all(one.n == 1 for one in masks) and n_large >= 2 * len(masks):
        raise DataError(
            f"{masks[0].name}: like every other mask it contains a single number, but {n_large} pieces lie in "
            f"{len(masks)} masks; they look like binary masks. {COUNT_MASKS}"
        )


def require_objects(masks: Sequence[tuple[np.ndarray, str, bool, np.ndarray | None]]) -> list[str]:
    """Refuse masks that nothing can be scored by: classes instead of objects, or no object in any.

    Parameters
    ----------
    masks : sequence of (mask, name, planes, unknown)
        As :func:`classes_in` takes them.

    Returns
    -------
    list of str
        Warnings, one sentence each.

    Raises
    ------
    DataError
        Naming the mask.
    """
    holding = [one for one in masks if one[0].any()]
    if not holding:
        raise DataError(f"{masks[0][1]}: no objects in this mask or any other, so that nothing can be scored.")
    kinds = [classes_in(mask, name, planes=planes, unknown=unknown) for mask, name, planes, unknown in holding]
    few = [one for one in kinds if one is not None]
    for one in few:
        refuse_classes(one)
    if len(few) == len(kinds):
        refuse_single_numbers(few)
    return doubt(few)
