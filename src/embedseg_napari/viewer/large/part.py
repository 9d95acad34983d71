"""A part of labels in a store as an ordinary layer: opened around the view, painted on, and written back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.stores.parts import WrittenPart, change_part
from embedseg_napari.jobs.large.annotated import require_complete
from embedseg_napari.viewer.camera import in_view, looked_at
from embedseg_napari.viewer.files.live import start_in_store, store_of
from embedseg_napari.viewer.layers import cut_from, of_image
from embedseg_napari.viewer.result_layers import spatial_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.stores.labels import LabelStore
    from embedseg_napari.viewer.files.live import LiveArray

MOST = {2: (2048, 2048), 3: (64, 512, 512)}
"""Pixels per axis (z, y, x) of a part, at most: as much as can be painted on without waiting."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part lies in labels that a layer shows."""

    array: LiveArray
    """The full resolution, with the layer's axes."""
    key: tuple[slice, ...]
    """The part, along each of them."""
    is_cut: bool
    """Whether more than that is in view."""

    @property
    def start(self) -> tuple[int, ...]:
        """First pixel along each axis."""
        return tuple(one.start for one in self.key)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(one.stop - one.start for one in self.key)

    def read(self) -> NDArray[Any]:
        """Its labels, with the axes of the layer.

        Raises
        ------
        DataError
            If they cannot be read, or a run over the image is not through.
        """
        require_complete(self.store.folder)
        return np.array(self.array[self.key])

    @property
    def store(self) -> LabelStore:
        """What is written to."""
        from embedseg_napari.core.stores.labels import LabelStore

        return LabelStore(self.array.image.path)


@dataclass(slots=True, eq=False)
class Part:
    """A part that is open."""

    layer: Labels
    place: Place
    before: NDArray[Any]
    """As it is in the store, as far as is known here."""

    @property
    def has_changes(self) -> bool:
        """Whether something was painted that is not in the store."""
        return not np.array_equal(np.asarray(self.layer.data), self.before)

    def write(
        self, after: NDArray[Any], should_stop: Callable[[], bool]
    ) -> Generator[tuple[int, int], None, WrittenPart | None]:
        """Put labels in the place of the part; None where that was stopped.

        Raises
        ------
        DataError
            If the store was changed there meanwhile, or cannot be written.
        """
        array, store = self.place.array, self.place.store
        start = start_in_store(array, self.place.start)
        shape = dict(zip(array.axes, self.before.shape, strict=True))
        own = [shape.get(letter, 1) for letter in array.image.stored_axes]
        require_complete(store.folder)
        for event in change_part(store, start, self.before.reshape(own), after.reshape(own), should_stop):
            if isinstance(event, WrittenPart):
                return event
            yield event
        return None


def place_in_view(viewer: Viewer, labels: Labels) -> Place:
    """The part of a store's labels that is in view: of planes those around the current one, and the current frame.

    Nothing is read.

    Raises
    ------
    DataError
        If nothing of it is in view.
    """
    array: LiveArray = labels.data[0]
    space = [letter for letter in "ZYX" if letter in array.axes]
    most = dict(zip(space, MOST[max(len(space), 2)], strict=True))
    middle, (low, high) = looked_at(viewer, labels), in_view(viewer, labels, array.axes)
    key, is_cut = [], False
    for letter, n, at, a, b in zip(array.axes, array.shape, middle, low, high, strict=True):
        first, last = max(0, a), min(n, b)
        largest = most.get(letter, 1)
        if last <= first:
            raise DataError(f"Nothing of {labels.name} is in view.")
        if last - first > largest:
            is_cut = is_cut or letter in "YX"
            first = int(np.clip(round(float(at)) - largest // 2, first, last - largest))
            last = first + largest
        key.append(slice(first, last))
    return Place(array, tuple(key), is_cut)


def show_part(viewer: Viewer, labels: Labels, place: Place, before: NDArray[Any]) -> Part:
    """Show a part that was read as an ordinary layer, ready to be painted on."""
    axes = place.array.axes
    starts = dict(zip(axes, place.start, strict=True))
    start = [starts[letter] for letter in ordered(result_axes(axes))]
    layer = viewer.add_labels(
        before.copy(),
        name=f"{labels.name} part",
        metadata=of_image(labels) | cut_from(labels, start),
        **spatial_frame(labels, axes).at(start).options(),
    )
    layer.selected_label = int(before.max(initial=0)) + 1
    return Part(layer, place, before)


def store_layer(viewer: Viewer) -> Any:
    """The Labels layer of a store that is selected, or else the uppermost one; None where there is none."""
    active = viewer.layers.selection.active
    if store_of(active) is not None:
        return active
    return next((layer for layer in reversed(viewer.layers) if store_of(layer) is not None), None)
