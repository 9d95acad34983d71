"""Layers that a training makes and keeps up to date; those the user takes away stay away until the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.viewer.layers import PREVIEW, RESULT
from embedseg_napari.viewer.result_layers import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from embedseg_napari.viewer.result_layers import Frame


class PreviewLayers:
    """Layers by their first name, made once and then updated in place.

    Parameters
    ----------
    viewer : napari viewer
        Where they are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.viewer = viewer
        self.layers: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._hidden: set[str] = set()
        """Hidden by `hide`, not by the user."""

    def begin(self) -> None:
        """Get ready for a training: what was taken away in the last one may come again."""
        self._refused.clear()
        self.layers = {name: layer for name, layer in self.layers.items() if is_shown(self.viewer, layer)}

    def get(self, name: str) -> Any:
        """The layer of a name, or None where it is not there."""
        layer = self.layers.get(name)
        return layer if is_shown(self.viewer, layer) else None

    def put(
        self,
        show: Callable[..., Any],
        name: str,
        *data: Any,
        frame: Frame,
        on_new: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Any:
        """Show data in the layer of a name.

        Parameters
        ----------
        show : callable
            One of the ``show_*`` of :mod:`embedseg_napari.viewer.layers`.
        name : str
            Name the layer gets; the user may give it another.
        *data
            As `show` takes it.
        frame : Frame
            Where it belongs.
        on_new : callable, optional
            Called with the layer if it is new.
        **options
            For `show`.

        Returns
        -------
        Layer or None
            None if the user has taken the layer away in this training.
        """
        layer = self.layers.pop(name, None)
        if layer is not None and not is_shown(self.viewer, layer):
            self._refused.add(name)
        if name in self._refused:
            return None
        if layer is not None and layer.ndim != frame.ndim:
            self.viewer.layers.remove(layer)
        shown = show(self.viewer, name, *data, frame=frame, into=layer, metadata={RESULT: PREVIEW}, **options)
        if on_new is not None and shown is not layer:
            on_new(shown)
        self.layers[name] = shown
        if name in self._hidden:
            self._hidden.discard(name)
            shown.visible = True
        return shown

    def hide(self, *names: str) -> None:
        """Hide some of the layers, or all, until they are put anew: they are not of what is looked at now."""
        for name in names or tuple(self.layers):
            layer = self.get(name)
            if layer is not None and layer.visible:
                layer.visible = False
                self._hidden.add(name)

    def remove(self) -> None:
        """Take all of them away for now."""
        for name, layer in self.layers.items():
            if is_shown(self.viewer, layer):
                self.viewer.layers.remove(layer)
            else:
                self._refused.add(name)
        self.layers.clear()
