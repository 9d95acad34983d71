"""Objects of an annotation that are accepted: no brush, fill or polygon paints over them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.states import object_ids
from embedseg_napari.viewer.annotation_pixels import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari.layers import Labels
    from numpy.typing import NDArray


class ProtectedObjects:
    """Remembers accepted ids in a Labels layer, and keeps what is painted over them.

    An id is accepted only while it has pixels: undo takes an accepted object back, and the eraser may remove it.
    When a stroke of the brush ends, pixels it took from accepted objects are given back as part of that stroke, so
    that undo and redo of the stroke stay right.

    Parameters
    ----------
    layer : Labels
        The annotation.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self._ids: set[int] = layer.metadata.setdefault(ACCEPTED, set())
        self._unwritten: list[list[Any]] = []
        """Steps of undo whose pixels napari has announced and not written yet."""
        self._is_off = False
        layer.events.paint.connect(self._on_paint)
        layer.events.labels_update.connect(self._on_written)
        layer.events.set_data.connect(self._on_written)
        layer.events.selected_label.connect(self._on_selected)

    def disconnect(self) -> None:
        """Follow the layer no longer."""
        events = self.layer.events
        events.paint.disconnect(self._on_paint)
        events.labels_update.disconnect(self._on_written)
        events.set_data.disconnect(self._on_written)
        events.selected_label.disconnect(self._on_selected)

    def ids(self) -> frozenset[int]:
        """Ids of the accepted objects."""
        return frozenset(self._ids.intersection(object_ids(self._data()).tolist()) if self._ids else ())

    def add(self, ids: Iterable[int]) -> None:
        """Accept objects."""
        self._ids.update(int(one) for one in ids)

    def discard(self, ids: Iterable[int]) -> None:
        """Let objects be painted over again."""
        self._ids.difference_update(int(one) for one in ids)

    def replace(self, ids: Iterable[int]) -> None:
        """Accept these objects and no others."""
        self._ids.clear()
        self.add(ids)

    def forget_unused(self, ids: Iterable[int]) -> None:
        """Take ids that have no pixels, of accepted objects that were undone, for new objects."""
        found = self._ids.intersection(int(one) for one in ids)
        if found:
            self.discard(found.difference(self.ids()))

    @contextmanager
    def off(self) -> Generator[None, None, None]:
        """Let edits that know what is accepted change it."""
        self._is_off = True
        try:
            yield
        finally:
            self._is_off = False

    def _data(self) -> NDArray[Any]:
        data: NDArray[Any] = np.asarray(self.layer.data)
        return data

    def _on_selected(self, event: object = None) -> None:
        self.forget_unused([self.layer.selected_label])

    def _on_paint(self, event: Any) -> None:
        """Look at a step of undo that was just added."""
        if not self._is_off and self._ids:
            self._unwritten.append(event.value)
            # Strokes are announced when they are painted; single edits before, and `_on_written` follows.
            change = event.value[-1]
            if (self._data()[changed_pixels(change)] == change[2 if len(change) == 3 else 3]).all():
                self._on_written()

    def _on_written(self, event: object = None) -> None:
        steps, self._unwritten = self._unwritten, []
        for step in steps:
            self._give_back(step)

    def _give_back(self, step: list[Any]) -> None:
        layer, data = self.layer, self._data()
        flat, before = values_before(step, data.shape)
        is_accepted = np.isin(before, list(self._ids))
        if not is_accepted.any():
            return
        # The first change of a pixel knows what was there.
        flat, first = np.unique(flat, return_index=True)
        before, now = before[first], data.ravel()[flat]
        is_taken = is_accepted[first] & (now != before) & (now != 0)
        if not is_taken.any():
            return
        indices = np.unravel_index(flat[is_taken], data.shape)
        # napari's form of a change: where, the values before, and those after.
        step.append((indices, now[is_taken], before[is_taken]))
        layer.data[indices] = before[is_taken]
        if np.array_equal(is_taken, now != before):
            # Nothing is left of this step; an empty one would make the next undo do nothing.
            step.clear()
            layer.undo()
        layer.refresh()


def changed_pixels(change: Any) -> tuple[NDArray[np.int64], ...]:
    """Pixels of one of the changes that make a step of undo."""
    return change[0] if len(change) == 3 else _masked(change)[0]


def values_before(step: list[Any], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Pixels of the changes in a step of undo, as flat indices, and their values before each."""
    flat, before = [], []
    for change in step:
        indices, old = (change[0], change[1]) if len(change) == 3 else _masked(change)
        flat.append(np.ravel_multi_index(indices, shape))
        before.append(np.broadcast_to(old, flat[-1].shape))
    return np.concatenate(flat), np.concatenate(before)


def _masked(change: Any) -> tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]:
    """Pixels and old values of a change inside a box, as napari 0.9 notes what the brush does."""
    box, mask, old, _ = change
    old = np.asarray(old)
    inside = np.nonzero(np.ones(old.shape, bool) if mask is None else mask)
    return tuple(axis + (side.start or 0) for axis, side in zip(inside, box, strict=True)), old.ravel()
