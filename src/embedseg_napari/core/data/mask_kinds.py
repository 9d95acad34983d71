"""Masks whose numbers are classes, such as nucleus and background, and no objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def count_pieces(labels: np.ndarray, name: str) -> Pieces:
    """Count the pieces of each number of a mask that holds some.

    Parameters
    ----------
    labels : ndarray of int, shape ((Z,) Y, X)
        0 is background.
    name : str
        Of the mask, for sentences.
    """
    from skimage.measure import label

    # All that follows is counted over pieces, which are few.
    parts, n_parts = label(labels, connectivity=labels.ndim, background=0, return_num=True)
    part_size = np.bincount(parts.ravel(), minlength=n_parts + 1)[1:]
    part_label = np.zeros(n_parts + 1, labels.dtype)
    part_label[parts.ravel()] = labels.ravel()
    ids, of_part = np.unique(part_label[1:], return_inverse=True)
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


def classes_in(mask: np.ndarray, name: str, *, planes: bool = False) -> Pieces | None:
    """The pieces of a mask that may hold classes; None if it holds nothing, or too many numbers for that.

    Parameters
    ----------
    mask : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Label image, 0 is background; or planes of one object each.
    name : str
        Of the mask, for sentences.
    planes : bool
        Whether the first axis of `mask` counts planes.
    """
    if planes:
        used = mask[mask.any(tuple(range(1, mask.ndim)))]
        if not 1 <= len(used) <= CLASSES:
            return None
        each = [count_pieces((plane != 0).astype(np.uint8), name) for plane in used]
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
            return count_pieces(labels, name)
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


def require_objects(masks: Sequence[tuple[np.ndarray, str, bool]]) -> list[str]:
    """Refuse masks that nothing can be scored by: classes instead of objects, or no object in any.

    Parameters
    ----------
    masks : sequence of (mask, name, planes)
        As :func:`classes_in` takes them, unknown pixels 0.

    Returns
    -------
    list of str
        Warnings, one sentence each.

    Raises
    ------
    DataError
        Naming the mask.
    """
    holding = [(mask, name, planes) for mask, name, planes in masks if mask.any()]
    if not holding:
        raise DataError(f"{masks[0][1]}: no objects in this mask or any other, so that nothing can be scored.")
    kinds = [classes_in(mask, name, planes=planes) for mask, name, planes in holding]
    few = [one for one in kinds if one is not None]
    for one in few:
        refuse_classes(one)
    if len(few) == len(kinds):
        refuse_single_numbers(few)
    return doubt(few)
