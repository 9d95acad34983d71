"""Which objects share pixels, and objects in as few label images as keep all their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.clustering.task import ask
from embedseg_napari.core.clustering.whole_objects import WholeObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

NOTABLE = 0.02
"""Objects cross from this part of the smaller one on; below, they touch, and the model is unsure of the border."""


@dataclass(frozen=True, slots=True)
class Crossings:
    """Which of some objects share pixels."""

    sharing: tuple[frozenset[int], ...]
    """Of each, the others that it shares a pixel with."""
    n_crossing: int
    """How many cross another, and do not only touch it."""

    def groups(self) -> list[list[int]]:
        """Divide the objects into groups of which no two share a pixel, the largest first: few of them.

        The object that has the fewest groups left comes next, of those the one that shares with most (DSATUR).
        """
        taken: list[set[int]] = [set() for _ in self.sharing]
        group = [0] * len(self.sharing)
        queue = [(0, -len(others), index) for index, others in enumerate(self.sharing) if others]
        heapify(queue)
        left = {index for _, _, index in queue}
        while queue:
            n_taken, _, index = heappop(queue)
            if index not in left or -n_taken != len(taken[index]):
                # It is there once more, further ahead.
                continue
            left.discard(index)
            group[index] = next(n for n in range(len(group)) if n not in taken[index])
            for other in self.sharing[index] & left:
                if group[index] not in taken[other]:
                    taken[other].add(group[index])
                    heappush(queue, (-len(taken[other]), -len(self.sharing[other]), other))
        found = sorted(([i for i, n in enumerate(group) if n == number] for number in set(group)), key=len)[::-1]
        largest = set(found[0]) if found else set()
        for members in found[1:]:
            # What shares with none of the largest group may as well be there.
            for index in [i for i in members if not self.sharing[i] & largest]:
                if not self.sharing[index] & largest:
                    largest.add(index)
                    members.remove(index)
        return [sorted(members) for members in [largest, *found[1:]] if members]


def crossings(objects: Sequence[WholeObject], should_stop: Callable[[], bool] | None = None) -> Crossings:
    """Find which objects share pixels.

    Parameters
    ----------
    objects : sequence of WholeObject
        Of one image.
    should_stop : callable, optional
        Looked at before each object.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    sharing: list[set[int]] = [set() for _ in objects]
    crossing: set[int] = set()
    sizes = [int(np.count_nonzero(one.mask)) for one in objects]
    lower = np.array([[side.start for side in one.box] for one in objects])
    upper = np.array([[side.stop for side in one.box] for one in objects])
    for index, one in enumerate(objects):
        ask(should_stop)
        after = slice(index + 1, None)
        near = ((lower[after] < upper[index]) & (upper[after] > lower[index])).all(axis=1)
        for other in (np.flatnonzero(near) + index + 1).tolist():
            shared = _n_shared(one, objects[other])
            if shared:
                sharing[index].add(other)
                sharing[other].add(index)
            if shared > NOTABLE * min(sizes[index], sizes[other]):
                crossing |= {index, other}
    return Crossings(tuple(map(frozenset, sharing)), len(crossing))


def on_planes(planes: Iterable[NDArray[Any]]) -> list[WholeObject]:
    """The objects of planes of one object each, ((Z,) Y, X): that of plane i is number i + 1; empty ones are none."""
    found = []
    for label, plane in enumerate(planes, 1):
        inside = plane != 0
        # By the axes one after the other: coordinates of all pixels would take many times their room.
        along = [np.flatnonzero(inside.any(tuple(set(range(inside.ndim)) - {axis}))) for axis in range(inside.ndim)]
        if len(along[0]):
            box = tuple(slice(int(at[0]), int(at[-1]) + 1) for at in along)
            found.append(WholeObject(label, box, inside[box].copy()))
    return found


def _n_shared(one: WholeObject, other: WholeObject) -> int:
    """How many pixels two objects share."""
    both = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one.box, other.box, strict=True)]
    inside = [
        each.mask[tuple(slice(a - side.start, b - side.start) for (a, b), side in zip(both, each.box, strict=True))]
        for each in (one, other)
    ]
    return int(np.count_nonzero(inside[0] & inside[1]))


def painted(objects: Sequence[WholeObject], members: Sequence[int], shape: Sequence[int]) -> NDArray[np.int32]:
    """A label image ((Z,) Y, X) of those objects of a group, each with its own number."""
    labels = np.zeros(shape, np.int32)
    for index in members:
        one = objects[index]
        labels[one.box][one.mask] = one.label
    return labels


def in_groups(
    objects: Sequence[WholeObject], shape: Sequence[int], should_stop: Callable[[], bool] | None = None
) -> list[NDArray[np.int32]]:
    """Objects as few label images ((Z,) Y, X) in which none is cut; the one with most objects first.

    Parameters
    ----------
    objects : sequence of WholeObject
        Of one image.
    shape : sequence of int
        Of the image.
    should_stop : callable, optional
        Looked at before each object.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    return [painted(objects, members, shape) for members in crossings(objects, should_stop).groups()]
