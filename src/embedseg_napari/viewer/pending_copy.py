"""A predicted object that was copied into an annotation to be corrected: it counts once it is changed or accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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


def _along(indices: Indices, axes: Sequence[int] | None) -> Indices:
    return indices if axes is None else tuple(indices[axis] for axis in axes)
