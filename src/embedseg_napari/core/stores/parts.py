"""Parts of a label image on the disk, in all its resolutions at once: shown while others are missing, and corrected."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import alone
from embedseg_napari.core.files.ngff import add_notes, read_notes
from embedseg_napari.core.stores.labels import largest_in
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.stores.labels import LabelStore


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """What came of a part that was written back."""

    n_changed: int
    """Objects that were there and are no longer as they were."""
    n_new: int
    """Objects that were not there; they have numbers beyond all others."""
    n_reaching_out: int
    """Changed objects that go on beyond the part, where they stay as they were."""
    labels: NDArray[Any]
    """The part as it is in the store now."""


def write_part(store: LabelStore, start: Sequence[int], labels: NDArray[Any]) -> None:
    """Write a part of the full resolution, and what the smaller ones show of it.

    Only one process may do so at a time: at smaller resolutions parts share files.

    Parameters
    ----------
    store : LabelStore
        Where.
    start : sequence of int
        First pixel of the part, one value per axis of the store.
    labels : ndarray
        0 or more; with all axes of the store.

    Raises
    ------
    DataError
        As `LabelStore.write`.
    """
    for level, factors in enumerate(store.factors):
        # A pixel of a smaller level shows the first of those that it stands for.
        firsts = [-(-at // factor) for at, factor in zip(start, factors, strict=True)]
        own = tuple(
            slice(first * factor - at, None, factor) for first, factor, at in zip(firsts, factors, start, strict=True)
        )
        part = labels[own]
        if part.size:
            key = tuple(slice(first, first + n) for first, n in zip(firsts, part.shape, strict=True))
            store.write(key, part, level)


def largest_id(store: LabelStore) -> Iterator[tuple[int, int, int]]:
    """Look for the largest number in a label image, block by block.

    Yields
    ------
    done, of, largest : int
        Blocks, and the largest number so far, after each block.
    """
    array, largest = store.array(), 0
    edges = store.block()
    places = [range(-(-n // edge)) for n, edge in zip(array.shape, edges, strict=True)]
    of = math.prod(map(len, places))
    for done, place in enumerate(itertools.product(*places), 1):
        key = tuple(slice(at * edge, (at + 1) * edge) for at, edge in zip(place, edges, strict=True))
        largest = max(largest, int(np.asarray(array[key]).max(initial=0)))
        yield done, of, largest


def change_part(
    store: LabelStore,
    start: Sequence[int],
    before: NDArray[Any],
    after: NDArray[Any],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, int] | WrittenPart]:
    """Put a part that was changed by hand back in its place, if the store still holds what was read there.

    Objects that are new get numbers beyond the largest in the whole store.

    Parameters
    ----------
    store : LabelStore
        Where.
    start : sequence of int
        First pixel of the part, one value per axis of the store.
    before, after : ndarray
        The part as it was read, and as it shall be; with all axes of the store.
    should_stop : callable
        Looked at between blocks; nothing is written then.

    Yields
    ------
    (int, int) or WrittenPart
        Blocks that were looked at for the largest number, and how many there are; and at the end what was written.

    Raises
    ------
    DataError
        If the store was changed there meanwhile, cannot be written, or has no numbers left.
    """
    key = tuple(slice(at, at + n) for at, n in zip(start, before.shape, strict=True))
    new = np.setdiff1d(after, np.unique(before))
    new = new[new > 0]
    changed = np.unique(before[before != after])
    changed = changed[changed > 0]
    # Whether the store can hold them is looked at where they are written.
    numbered = after.astype(np.int64)
    # Whoever else writes here must not give the same numbers.
    with alone(store.folder):
        if len(new):
            largest = 0
            for done, of, so_far in largest_id(store):
                if should_stop():
                    return
                largest = so_far
                yield done, of
            if largest + len(new) > largest_in(store.array().dtype):
                raise DataError(f"{store.folder}: has no numbers left for {count(len(new), 'new object')}.")
            is_new = np.isin(after, new)
            numbered[is_new] = largest + 1 + np.searchsorted(new, after[is_new])
        if not np.array_equal(np.asarray(store.array()[key]), before):
            raise DataError(
                f"{store.folder}: was changed in this part since it was opened; nothing was written. Open the part "
                "anew, and copy your changes there."
            )
        if read_notes(store.folder):
            # Before, not after: they are never said to be as a run made them and are not.
            add_notes(store.folder, changed=datetime.now(UTC).isoformat(timespec="seconds"))
        write_part(store, start, numbered)
    n_reaching_out = int(np.isin(changed, _at_ends(before, start, store.array().shape)).sum())
    yield WrittenPart(len(changed), len(new), n_reaching_out, numbered)


def numbers_now(numbers: Sequence[int], after: NDArray[Any], written: NDArray[Any]) -> list[int]:
    """Numbers that were painted with while a part was written, as they are to be once its new objects have others.

    Parameters
    ----------
    numbers : sequence of int
        Of pixels, as the person knows them.
    after, written : ndarray
        The part as it was given, and as it is in the store now.
    """
    is_new = after != written
    known = dict(zip(after[is_new].tolist(), written[is_new].tolist(), strict=True))
    largest = max(int(written.max(initial=0)), max(numbers))
    for number in sorted(set(known.values()) & set(numbers) - set(known)):
        # An object that is not in the store yet gives way to one that is.
        largest += 1
        known[number] = largest
    return [known.get(int(number), int(number)) for number in numbers]


def _at_ends(part: NDArray[Any], start: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
    """Numbers at those ends of a part that are not the image's own."""
    found = [np.zeros(0, part.dtype)]
    for axis, (at, n, whole) in enumerate(zip(start, part.shape, shape, strict=True)):
        if at > 0:
            found.append(np.unique(part.take(0, axis)))
        if at + n < whole:
            found.append(np.unique(part.take(-1, axis)))
    return np.unique(np.concatenate(found))


def with_objects(before: NDArray[Any], labels: NDArray[Any], ids: Iterable[int]) -> NDArray[np.int64]:
    """Labels with objects of an annotation of the same place in them.

    An object that is there with the very same pixels keeps its number. Of those that were there, one gives way that
    lies for the greater part under the new ones; another loses only the pixels that they take.

    Parameters
    ----------
    before : ndarray
        Labels of the place.
    labels : ndarray, same shape
        The annotation.
    ids : iterable of int
        Its objects that are wanted.

    Returns
    -------
    ndarray
        New objects have numbers that `before` has not.
    """
    after = before.astype(np.int64)
    objects = [(own, np.unique(before[own])) for own in (labels == one for one in ids) if own.any()]
    new = [
        own for own, there in objects if len(there) != 1 or not there[0] or not np.array_equal(before == there[0], own)
    ]
    if not new:
        return after
    covered = np.logical_or.reduce(new)
    # Numbers may be as large as the type allows: what is counted is a row for each that is there.
    numbers, sizes = np.unique(before, return_counts=True)
    under, n_covered = np.unique(before[covered], return_counts=True)
    gone = under[2 * n_covered > sizes[np.searchsorted(numbers, under)]]
    after[np.isin(before, gone[gone > 0])] = 0
    first = int(before.max(initial=0)) + 1
    for number, own in enumerate(new, first):
        after[own] = number
    return after
