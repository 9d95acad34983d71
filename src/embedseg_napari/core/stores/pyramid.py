"""The smaller resolutions of labels, each made from the one before: block by block, in the memory of one block."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embedseg_napari.core.stores.labels import LabelStore


def build_pyramid(store: LabelStore) -> Iterator[tuple[int, int]]:
    """Make all levels below the full resolution by nearest neighbour; whole ids, never means of them.

    It can be stopped after any block, and started again.

    Parameters
    ----------
    store : LabelStore
        Whose full resolution is complete.

    Yields
    ------
    done, of : int
        Blocks, after each.

    Raises
    ------
    DataError
        If the store cannot be read or written.
    """
    factors = store.factors
    todo = [
        (level, place) for level in range(1, len(factors)) for place in _places(store.array(level).shape, store.block())
    ]
    for done, (level, place) in enumerate(todo, 1):
        array = store.array(level)
        ends = zip(place, store.block(), array.shape, strict=True)
        key = tuple(slice(at * edge, min((at + 1) * edge, n)) for at, edge, n in ends)
        steps = [coarse // fine for fine, coarse in zip(factors[level - 1], factors[level], strict=True)]
        source = tuple(slice(part.start * step, part.stop * step, step) for part, step in zip(key, steps, strict=True))
        store.write(key, store.image(level - 1).array[source], level)
        yield done, len(todo)


def _places(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(-(-n // edge)) for n, edge in zip(shape, block, strict=True)))
