"""Which pixels of a layer that annotates an image are objects.

Painted background is none, and a predicted object that was copied there to be corrected counts once it is changed or
accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.states import without_background
from embedseg_napari.viewer.layers import ANNOTATION, ITSELF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Indices

ACCEPTED = "embedseg-accepted"
"""Key in a layer's metadata: ids that were accepted."""
PENDING = "embedseg-pending"
"""Key in a layer's metadata: the object that was copied into it last, a `PendingCopy`."""


@dataclass(frozen=True, slots=True, eq=False)
class PendingCopy:
    """What was copied, by pixels of the layer."""

    object_id: int
    pixels: Indices
    """Those of the object then."""
    at: Indices
    """Where it was copied to."""
    before: NDArray[Any]
    """What was there."""

    def is_pending(self, array: NDArray[Any], metadata: Mapping[str, Any], axes: Sequence[int] | None = None) -> bool:
        """Whether it is neither changed nor accepted; the array is that of :func:`without_copy`."""
        if self.object_id in metadata.get(ACCEPTED, ()):
            return False
        is_own = array == self.object_id
        return bool(is_own[_along(self.pixels, axes)].all()) and np.count_nonzero(is_own) == len(self.pixels[0]) > 0


def without_copy(array: NDArray[Any], metadata: Mapping[str, Any], axes: Sequence[int] | None = None) -> NDArray[Any]:
    """The pixels of a layer with these metadata, as they are if a copy that is still pending is taken back.

    Parameters
    ----------
    array : ndarray
        The array of the layer, or with other axes.
    metadata : mapping
        Metadata of the layer.
    axes : sequence of int, optional
        Which axes of the layer those of the array are; default all in their order.
    """
    copy = metadata.get(PENDING)
    if copy is None or not copy.is_pending(array, metadata, axes):
        return array
    array = array.copy()
    array[_along(copy.at, axes)] = copy.before
    return array


def free_copy(event: Any) -> None:
    """Let a layer that came to the viewer be the user's own if it is a copy of one that annotates an image.

    napari copies the metadata of a layer that is duplicated or converted. Painted background, which only annotating
    knows, would be an object of the copy.
    """
    layer = event.value
    if layer.metadata.get(ITSELF, str(layer.unique_id)) != str(layer.unique_id):
        if isinstance(layer.data, np.ndarray):
            layer.data = objects_alone(layer.data, layer.metadata)
        layer.metadata = {key: value for key, value in layer.metadata.items() if not str(key).startswith("embedseg")}


def objects_alone(array: NDArray[Any], metadata: Mapping[str, Any]) -> NDArray[Any]:
    """The pixels of a layer with these metadata, whose background is 0 also where a person painted it.

    What was only copied into an annotation to be corrected is no object of it yet.
    """
    return without_background(without_copy(array, metadata)) if ANNOTATION in metadata else array


def _along(indices: Indices, axes: Sequence[int] | None) -> Indices:
    return indices if axes is None else tuple(indices[axis] for axis in axes)
