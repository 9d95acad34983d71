"""Every change of a Labels layer's pixels, however it comes about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels
    from numpy.typing import NDArray


class PixelChanges:
    """Follows a Labels layer and tells when its pixels change: painted, filled, replaced, undone, done again.

    Parameters
    ----------
    tell : callable
        Called with napari's event.
    """

    def __init__(self, tell: Callable[[Any], object]) -> None:
        self._tell = tell
        self.layer: Labels | None = None
        """The layer that is followed."""
        self._history: tuple[int, ...] = ()

    def follow(self, layer: Labels | None) -> None:
        """Follow this layer, or none, instead of the one before."""
        for events, is_followed in ((self.layer, False), (layer, True)):
            if events is None:
                continue
            for name in ("paint", "labels_update", "data", "set_data"):
                emitter = getattr(events.events, name)
                do = emitter.connect if is_followed else emitter.disconnect
                do(self.look if name == "set_data" else self._take)
        self.layer, self._history = layer, _history(layer)

    def _take(self, event: Any) -> None:
        self._history = _history(self.layer)
        self._tell(event)

    def look(self, event: Any = None) -> None:
        """Notice undo and redo: napari tells of them as of any other plane that is shown, and not of a hidden layer."""
        if _history(self.layer) != self._history:
            self._take(event)


def take_back(layer: Labels, indices: tuple[NDArray[Any], ...], before: Any) -> None:
    """Change pixels back that one step has changed, as if it had never been: undo and redo do not know it any more.

    Parameters
    ----------
    layer : Labels
        Their layer.
    indices : tuple of ndarray
        All pixels that the step has changed, one array per axis.
    before : int or ndarray
        What was there.
    """
    layer.data[indices] = before
    steps = getattr(getattr(layer, "__wrapped__", layer), "_undo_history", None) or []
    for number in reversed(range(len(steps))):
        if len(steps[number]) == 1 and np.array_equal(np.asarray(steps[number][0][0]), np.asarray(indices)):
            del steps[number]
            break
    layer.refresh()


def _history(layer: Labels | None) -> tuple[int, ...]:
    """How many strokes can be undone, and done again."""
    # Plugins get a proxy of each layer, without private names.
    whole = getattr(layer, "__wrapped__", layer)
    return tuple(len(getattr(whole, name, ())) for name in ("_undo_history", "_redo_history"))
