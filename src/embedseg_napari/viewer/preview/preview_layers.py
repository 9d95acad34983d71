"""Layers that a training makes and keeps up to date; those the user takes away stay away until the next one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

from embedseg_napari.viewer.layers import FOUND, PREVIEW, RESULT
from embedseg_napari.viewer.old_objects import OldObjects
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.stage import stage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import napari
    from numpy.typing import NDArray

    from embedseg_napari.viewer.result_layers import Frame

# Objects of previews are outlines in planes and full in 3D, as they shall be; napari warns of it each time.
warnings.filterwarnings("ignore", "Contours are not displayed during 3D rendering")

PREFIX = "preview: "
"""Of the names of layers that come and go with a training."""


def as_seen(image: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Pixels and options of a layer for what a network sees, C(Z)YX: colours of three channels of a plane, or grey."""
    if len(image) != 3 or image.ndim != 3:
        return image[0], {"colormap": "gray"}
    # The same for all colours, so that they stay what they are beside each other.
    low, high = np.nanpercentile(image, (0.2, 99.8))
    seen = (np.moveaxis(image, 0, -1) - low) / max(high - low, np.finfo(np.float32).eps)
    return np.clip(np.nan_to_num(seen), 0, 1).astype(np.float32), {"rgb": True}


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
        self._ended: list[tuple[Any, dict[str, Any], str]] = []
        """What was shown last in a training that is over: data, options and kinds of layers."""
        self._refused: set[str] = set()
        self._hidden: set[str] = set()
        """Hidden by `hide`, or not shown yet, and not by the user."""

    def begin(self) -> None:
        """Get ready for a training: what was taken away in the last one may come again."""
        self._refused.clear()
        self._ended = []
        self.layers = {name: layer for name, layer in self.layers.items() if is_shown(self.viewer, layer)}

    def fade(self) -> None:
        """Let nothing be seen of them before they are taken away; :meth:`keep` can still make results of them."""
        self._ended = [layer.as_layer_data_tuple() for layer in self._shown()]
        for layer in self._shown():
            # With layers that are hidden, napari may crash when others are taken away.
            layer.opacity = 0

    def end_steps(self) -> Iterator[None]:
        """Take all of them away, one at a time."""
        for name in tuple(self.layers):
            self.remove(name)
            yield

    def keep(self, suffix: str) -> int:
        """Add copies that stay, as results: of what is shown, or after a training of what was shown last.

        Parameters
        ----------
        suffix : str
            What follows the names of the layers.

        Returns
        -------
        int
            Number of layers that were added.
        """
        kept = [layer.as_layer_data_tuple() for layer in self._shown()] or self._ended
        for data, earlier, kind in kept:
            options = earlier | {"name": f"{earlier['name'].removeprefix(PREFIX)}{suffix}", "metadata": {RESULT: FOUND}}
            # Labels may be painted on.
            self.viewer.add_layer(Layer.create(np.array(data) if kind == "labels" else data, options, kind))
        return len(kept)

    def _shown(self) -> list[Any]:
        """Those that are in the viewer, from the bottom."""
        return [layer for layer in self.viewer.layers if layer in self.layers.values()]

    def holds(self, layer: Layer) -> bool:
        """Whether a layer is one of these."""
        return layer in self.layers.values()

    def get(self, name: str) -> Any:
        """The layer of a name, or None where it is not there."""
        layer = self.layers.get(name)
        return layer if is_shown(self.viewer, layer) else None

    def put(self, show: Callable[..., Any], name: str, *data: Any, frame: Frame, **options: Any) -> None:
        """As :meth:`put_steps`, at once."""
        for _ in self.put_steps(show, name, *data, frame=frame, **options):
            pass

    def put_steps(
        self,
        show: Callable[..., Any],
        name: str,
        *data: Any,
        frame: Frame,
        on_new: Callable[[Any], None] | None = None,
        look: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Iterator[None]:
        """Show data in the layer of a name, unless the user has taken that away in this training.

        A new layer is made in one step and seen in the next: napari takes as long to draw it first as to make it.

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
        look : mapping, optional
            Properties of the layer, which it gets whether it is new or not.
        **options
            For `show`.
        """
        layer = self.layers.pop(name, None)
        if layer is not None and not is_shown(self.viewer, layer):
            self._refused.add(name)
        if name in self._refused:
            return
        is_other = layer is not None and getattr(layer, "rgb", False) != options.get("rgb", False)
        if layer is not None and (is_other or layer.ndim != frame.ndim):
            self.viewer.layers.remove(layer)
        options = {"metadata": {RESULT: PREVIEW}, **options, **(look or {})}
        is_seen = options.pop("visible", True)
        shown = show(self.viewer, name, *data, frame=frame, into=layer, visible=False, **options)
        if shown is layer:
            for one, value in (look or {}).items():
                setattr(shown, one, value)
        if on_new is not None and shown is not layer:
            on_new(shown)
        self.layers[name] = shown
        if is_seen and shown is not layer:
            # If the next step is left out, what is put next shows it.
            self._hidden.add(name)
            yield
        if name in self._hidden and self.get(name) is shown:
            self._hidden.discard(name)
            stage_of(self.viewer).set_visible(shown, True)

    def raise_over(self, image: Layer | None) -> None:
        """Bring what is shown above the image that it is of, which may have come to the front since."""
        if image is None or not is_shown(self.viewer, image):
            return
        layers = self.viewer.layers
        # From the top, each to the same place: their order stays.
        for layer in reversed(self._shown()):
            if layers.index(layer) < layers.index(image):
                layers.move(layers.index(layer), layers.index(image) + 1)

    def hide(self, *names: str) -> None:
        """Hide some of the layers, or all, until they are put anew: they are not of what is looked at now."""
        for name in names or tuple(self.layers):
            layer = self.get(name)
            if layer is not None and stage_of(self.viewer).set_visible(layer, False):
                self._hidden.add(name)

    def remove(self, *names: str) -> None:
        """Take some of the layers away for now, or all of them."""
        with OldObjects():
            for name in names or tuple(self.layers):
                layer = self.layers.pop(name, None)
                if is_shown(self.viewer, layer):
                    self.viewer.layers.remove(layer)
                elif layer is not None:
                    self._refused.add(name)
